"""Rows of several Hugging Face caches side by side, without touching the model.

A group holds rows that are decoded in one forward pass. They are aligned at their right end and
padded on the left, as ``generate`` does it for a batch of prompts; the attention mask hides the
padding. Right alignment is what keeps sliding windows true: for every row the last columns are
its last tokens. Layers: keys and values ``[rows, heads, columns, head_dim]``.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer


@dataclass(slots=True)
class CacheGroup:
    """A cache and whose rows it holds; None marks a row whose sequence has left.

    ``lengths`` counts each row's own tokens, without padding.
    """

    cache: Cache
    request_ids: list[str | None]
    lengths: list[int]

    @property
    def width(self) -> int:
        """Columns of a layer that keeps them all."""
        return max(self.lengths)

    @property
    def is_padded(self) -> bool:
        """Whether any row is shorter than another."""
        return min(self.lengths) < self.width

    def leave(self, request_id: str) -> bool:
        """Mark the sequence's row as free; return whether it had one."""
        if request_id not in self.request_ids:
            return False
        self.request_ids[self.request_ids.index(request_id)] = None
        return True

    def live_rows(self) -> list[int]:
        """Return the indices of rows whose sequence is still here."""
        return [row for row, request_id in enumerate(self.request_ids) if request_id is not None]


def can_group(cache: Cache) -> bool:
    """Whether every layer is of a kind whose rows can be aligned, dropped and joined here."""
    return all(
        type(layer) in (DynamicLayer, DynamicSlidingWindowLayer)
        and (not layer.is_initialized or layer.keys.dim() == 4)
        for layer in cache.layers
    )


def join(groups: Sequence[CacheGroup]) -> CacheGroup:
    """Return one group with the rows of all, in order. The parts are used up."""
    if len(groups) == 1:
        return groups[0]
    width = max(group.width for group in groups)
    layers = [
        _join_layers([group.cache.layers[index] for group in groups], width)
        for index in range(len(groups[0].cache.layers))
    ]
    return CacheGroup(
        cache=_with_layers(groups[0].cache, layers),
        request_ids=[request_id for group in groups for request_id in group.request_ids],
        lengths=[length for group in groups for length in group.lengths],
    )


def keep(group: CacheGroup, rows: Sequence[int]) -> CacheGroup:
    """Return a group with these rows alone, without columns that none of them needs."""
    if len(rows) == len(group.lengths):
        return group
    lengths = [group.lengths[row] for row in rows]
    width = max(lengths)
    layers = [_keep_in_layer(layer, rows, width) for layer in group.cache.layers]
    return CacheGroup(
        cache=_with_layers(group.cache, layers),
        request_ids=[group.request_ids[row] for row in rows],
        lengths=lengths,
    )


def cached_bytes(cache: Cache) -> int:
    """Return what keys, values and any other state of the layers take."""
    tensors = [value for layer in cache.layers for value in vars(layer).values()]
    flat = [t for value in tensors for t in (value if isinstance(value, list) else [value])]
    return sum(t.numel() * t.element_size() for t in flat if isinstance(t, Tensor))


def _join_layers(layers: Sequence[DynamicLayer], width: int) -> DynamicLayer:
    joined = copy.copy(layers[0])
    if not joined.is_initialized:  # a layer that reads another one's keys and values
        return joined
    columns = _columns(joined, width)
    joined.keys = torch.cat([_pad_left(layer.keys, columns) for layer in layers])
    joined.values = torch.cat([_pad_left(layer.values, columns) for layer in layers])
    _set_length(joined, width)
    return joined


def _keep_in_layer(layer: DynamicLayer, rows: Sequence[int], width: int) -> DynamicLayer:
    kept = copy.copy(layer)
    if not kept.is_initialized:
        return kept
    columns = min(_columns(layer, width), layer.keys.shape[2])
    index = torch.tensor(rows, device=layer.keys.device)
    kept.keys = layer.keys.index_select(0, index)[:, :, layer.keys.shape[2] - columns :]
    kept.values = layer.values.index_select(0, index)[:, :, layer.values.shape[2] - columns :]
    _set_length(kept, width)
    return kept


def _columns(layer: DynamicLayer, width: int) -> int:
    """Return how many columns the layer keeps of a sequence of ``width`` tokens."""
    if isinstance(layer, DynamicSlidingWindowLayer):
        window: int = layer.sliding_window
        return min(width, window - 1)
    return width


def _set_length(layer: DynamicLayer, width: int) -> None:
    if isinstance(layer, DynamicSlidingWindowLayer):
        layer.cumulative_length = width


def _pad_left(states: Tensor, columns: int) -> Tensor:
    return torch.nn.functional.pad(states, (0, 0, columns - states.shape[2], 0))


def _with_layers(cache: Cache, layers: list[DynamicLayer]) -> Cache:
    changed = copy.copy(cache)
    changed.layers = layers
    return changed
