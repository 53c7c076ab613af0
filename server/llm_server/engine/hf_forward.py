"""One forward pass of an unmodified Hugging Face causal language model over a cache.

Inputs are prepared by the model's own ``prepare_inputs_for_generation``, with the arguments that
``generate`` gives it, so that what a model does differently it does here too.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache


class CacheUnsupported(Exception):
    """The model keeps its state in a way that ``DynamicCache`` cannot hold."""


class ForwardPass:
    """Calls the model; holds nothing between calls."""

    def __init__(self, model: Any) -> None:  # any causal LM of transformers
        """Raise ``CacheUnsupported`` for a model without a dynamic cache."""
        if not model._supports_default_dynamic_cache():  # noqa: SLF001  # generate asks this too
            raise CacheUnsupported(f"{type(model).__name__} has no dynamic cache")
        self._model = model
        parameters = inspect.signature(model.forward).parameters
        self._cache_name = "past_key_values" if "past_key_values" in parameters else "cache_params"
        self._takes_positions = "position_ids" in parameters
        self._options: dict[str, Any] = {"use_cache": True}
        if "logits_to_keep" in parameters:
            self._options["logits_to_keep"] = 1

    @property
    def device(self) -> torch.device:
        """Where the model's inputs belong."""
        device: torch.device = self._model.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The weight format."""
        dtype: torch.dtype = self._model.dtype
        return dtype

    def new_cache(self) -> Cache:
        """Return an empty cache of the layers that this model wants."""
        return DynamicCache(config=self._model.config)

    def __call__(
        self, token_ids: Sequence[Sequence[int]], cache: Cache, lengths: Sequence[int]
    ) -> Tensor:
        """Append tokens ``[rows][n]`` to the cache and return the last logits ``[rows, vocab]``.

        ``lengths`` are the rows' own tokens in the cache before the call; a row that is shorter
        than the longest is padded on the left. The logits are float32, as ``generate`` takes them.
        """
        tokens = torch.tensor(token_ids, device=self.device)
        before = torch.tensor(lengths, device=self.device)
        arguments = {**self._options, self._cache_name: cache}
        if self._takes_positions:
            arguments["position_ids"] = before[:, None] + torch.arange(
                tokens.shape[1], device=self.device
            )
        inputs = self._model.prepare_inputs_for_generation(
            tokens,
            next_sequence_length=tokens.shape[1],
            attention_mask=_mask(before, lengths, tokens.shape[1]),
            is_first_iteration=max(lengths) == 0,
            **arguments,
        )
        logits: Tensor = self._model(**inputs, return_dict=True).logits
        return logits[:, -1, :].to(dtype=torch.float32)


def _mask(before: Tensor, lengths: Sequence[int], new_tokens: int) -> Tensor | None:
    """Return ``[rows, columns]`` with 0 over padding; None when there is none, like generate."""
    width = max(lengths)
    if min(lengths) == width:
        return None
    columns = torch.arange(width + new_tokens, device=before.device)
    return (columns[None, :] >= (width - before)[:, None]).to(torch.long)
