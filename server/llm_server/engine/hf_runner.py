"""The model runner for any Hugging Face causal language model: the fallback that always works.

Prompts are computed one sequence at a time, unpadded, in the scheduler's chunks. Sequences that
decode share a forward pass: their caches are joined into groups of rows (``hf_cache``), packed so
that padding stays bounded (``decode_groups``). Whether a model's cache allows chunks and groups is
not looked up but measured at load (``hf_check``); a model that does not allow them is computed
whole and row by row, which is slower and equally right.

Greedy output equals ``generate(do_sample=False)`` with a neutral generation config, token for
token, alone and in a batch: tested for many architectures in float32.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from llm_server.engine.batch import (
    Batch,
    BatchRow,
    Draw,
    RowFailed,
    RowOutcome,
    RunnerCapacity,
    Sampled,
)
from llm_server.engine.decode_groups import PADDING_FACTOR, SLACK_TOKENS, fits, plan_groups
from llm_server.engine.hf_cache import CacheGroup, cached_bytes, join, keep
from llm_server.engine.hf_check import Abilities, measure_abilities
from llm_server.engine.hf_forward import ForwardPass
from llm_server.engine.sampler import sample

_PROBE_TOKENS = 64


@dataclass(frozen=True, slots=True)
class CacheBudget:
    """``max_bytes`` bounds the cache with its padding.

    ``max_tokens`` is all that can be used, ``max_model_len`` by one sequence.
    """

    max_bytes: int
    max_tokens: int
    max_model_len: int


class HFRunner:
    """A ``ModelRunner`` over an unmodified model and its own cache classes."""

    def __init__(
        self,
        forward: ForwardPass,
        vocab_size: int,
        budget: CacheBudget,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._forward = forward
        self._vocab_size = vocab_size
        self._budget = budget
        self._clock = clock
        self._abilities = Abilities(chunks=False, groups=False)
        self._prompts: dict[str, CacheGroup] = {}  # computed in part, or not decoded yet
        self._pending: dict[str, tuple[int, ...]] = {}  # chunks that wait to be computed whole
        self._groups: list[CacheGroup] = []

    @torch.inference_mode()
    def warm_up(self) -> RunnerCapacity:
        """Measure what the model's cache allows, how much of it fits, and the prefill rate."""
        self._abilities = measure_abilities(self._forward)
        cache = self._forward.new_cache()
        probe = min(_PROBE_TOKENS, self._budget.max_model_len)
        began = self._clock()
        logits = self._forward([[1] * probe], cache, [0])
        logits.argmax().item()  # waits for the device
        seconds = self._clock() - began
        return RunnerCapacity(
            kv_capacity_tokens=self._fitting_tokens(cached_bytes(cache) // probe),
            vocab_size=self._vocab_size,
            prefill_tokens_per_second=probe / max(seconds, 1e-6),
        )

    @torch.inference_mode()
    def execute(self, batch: Batch) -> list[RowOutcome]:
        """Compute one step: first what decodes, then the prompts."""
        decodes = {row.request_id: row for row in batch.rows if self._is_computed(row)}
        outcomes = self._decode(decodes) if decodes else []
        for row in batch.rows:
            if row.request_id not in decodes:
                outcomes += self._prefill(row)
        return outcomes

    def release(self, request_id: str) -> None:
        """Forget a sequence; its row's memory goes with the next step, or with its group."""
        self._pending.pop(request_id, None)
        if self._prompts.pop(request_id, None) is None:
            for group in self._groups:
                group.leave(request_id)
            self._groups = [group for group in self._groups if group.live_rows()]

    def _is_computed(self, row: BatchRow) -> bool:
        """Whether all but the row's one token is in a cache, so that it can share a pass."""
        return row.is_decode and row.request_id not in self._pending

    def _fitting_tokens(self, bytes_per_token: int) -> int:
        fitting = self._budget.max_bytes // max(bytes_per_token, 1)
        if self._abilities.groups:
            fitting = max(fitting // PADDING_FACTOR - SLACK_TOKENS, fitting // (2 * PADDING_FACTOR))
        return min(fitting, self._budget.max_tokens)

    def _prefill(self, row: BatchRow) -> list[RowOutcome]:
        token_ids = row.token_ids
        if not self._abilities.chunks:
            token_ids = self._pending.pop(row.request_id, ()) + token_ids
            if row.draw is None:
                self._pending[row.request_id] = token_ids
                return []
        group = self._prompts.get(row.request_id)
        if group is None:
            group = CacheGroup(self._forward.new_cache(), [row.request_id], [0])
            self._prompts[row.request_id] = group
        logits = self._forward([token_ids], group.cache, group.lengths)
        group.lengths = [group.lengths[0] + len(token_ids)]
        return _outcomes(logits, [row.request_id], [row.draw]) if row.draw else []

    def _decode(self, rows: dict[str, BatchRow]) -> list[RowOutcome]:
        self._regroup(rows)
        outcomes: list[RowOutcome] = []
        for group in self._groups:
            members = [rows[request_id] for request_id in group.request_ids if request_id]
            tokens = [member.token_ids for member in members]
            logits = self._forward(tokens, group.cache, group.lengths)
            group.lengths = [length + 1 for length in group.lengths]
            ids = [member.request_id for member in members]
            outcomes += _outcomes(logits, ids, [member.draw for member in members])
        return outcomes

    def _regroup(self, rows: dict[str, BatchRow]) -> None:
        """Drop rows that left and let new ones in; nothing is copied when neither happened."""
        joining = [
            self._prompts.pop(request_id) for request_id in rows if request_id in self._prompts
        ]
        if not joining and not any(None in group.request_ids for group in self._groups):
            return
        units = [unit for group in self._groups for unit in _fitting_units(group)] + joining
        if not self._abilities.groups:
            self._groups = units
            return
        plan = plan_groups([unit.lengths for unit in units])
        self._groups = [join([units[index] for index in members]) for members in plan]


def _fitting_units(group: CacheGroup) -> list[CacheGroup]:
    """Return the live rows together, or one by one when what left kept the padding in bounds."""
    live = group.live_rows()
    if fits([group.lengths[row] for row in live]):
        return [keep(group, live)]
    return [keep(group, [row]) for row in live]


def _outcomes(
    logits: Tensor, request_ids: Sequence[str], draws: Sequence[Draw | None]
) -> list[RowOutcome]:
    tokens = sample(logits, [draw for draw in draws if draw is not None])
    return [
        RowFailed(request_id) if token is None else Sampled(request_id, token)
        for request_id, token in zip(request_ids, tokens, strict=True)
    ]
