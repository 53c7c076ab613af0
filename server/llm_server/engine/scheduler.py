"""Which sequences run in the next step: first come, first served, within three bounds.

Plain data: no torch, no clock, no threads. Used by ``core`` on the engine thread.

A sequence waits, then runs, then leaves. A step decodes every running sequence whose tokens are
computed, and spends what is left of ``max_prefill_tokens`` on prompts: first on those already
running, then on the head of the queue. KV capacity is counted in tokens and taken as it is used.
When a decode finds none left, the youngest running sequence is preempted: it gives back all that
it holds and waits again, at the head of the queue, to be computed anew.

Invariants, checked by ``check_integrity``: a sequence waits or runs, never both; the tokens held
are those computed for running sequences; bounds hold; whoever waits holds nothing.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from llm_server.engine.batch import Batch, BatchRow, Draw
from llm_server.engine.request import Sequence


@dataclass(frozen=True, slots=True)
class SchedulerLimits:
    """``max_prefill_tokens`` bounds one step's prompt tokens, so that decodes never wait long."""

    max_batch_size: int
    max_waiting: int
    kv_capacity_tokens: int
    max_prefill_tokens: int


class WaitingFull(Exception):
    """The queue holds ``max_waiting`` sequences; admission is meant to prevent this."""


class Scheduler:
    """The waiting queue, the running batch and the KV tokens between them."""

    def __init__(self, limits: SchedulerLimits) -> None:
        self._limits = limits
        self._waiting: deque[Sequence] = deque()
        self._running: dict[str, Sequence] = {}  # in the order of admission, oldest first
        self._held_tokens = 0

    @property
    def num_waiting(self) -> int:
        """Sequences in the queue, preempted ones included."""
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        """Sequences in the batch."""
        return len(self._running)

    @property
    def kv_usage(self) -> float:
        """The part of the KV capacity in use, 0..1."""
        return self._held_tokens / self._limits.kv_capacity_tokens

    @property
    def has_work(self) -> bool:
        """Whether a step would compute anything."""
        return bool(self._waiting or self._running)

    def sequences(self) -> Iterator[Sequence]:
        """Every sequence, running ones first."""
        yield from self._running.values()
        yield from self._waiting

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises ``WaitingFull`` at the bound."""
        if len(self._waiting) >= self._limits.max_waiting:
            raise WaitingFull
        self._waiting.append(sequence)

    def remove(self, request_id: str) -> Sequence | None:
        """Take a sequence out, wherever it is; None if it is not here."""
        sequence = self._running.pop(request_id, None)
        if sequence is not None:
            self._held_tokens -= sequence.num_computed_tokens
            return sequence
        for waiting in self._waiting:
            if waiting.request_id == request_id:
                self._waiting.remove(waiting)
                return waiting
        return None

    def schedule(self, now: float) -> Batch:
        """Decide the next step; its tokens count as computed from here on."""
        preempted = self._make_room_for_decodes()
        rows = [
            self._take(sequence, 1) for sequence in self._running.values() if _decodes(sequence)
        ]
        budget = self._limits.max_prefill_tokens
        for sequence in [s for s in self._running.values() if s.num_pending_tokens > 0]:
            chunk = min(sequence.num_pending_tokens, budget, self._free_tokens)
            if chunk > 0:
                budget -= chunk
                rows.append(self._take(sequence, chunk))
        while budget > 0 and not preempted and self._head_fits():
            sequence = self._start_head(now)
            chunk = min(sequence.num_pending_tokens, budget)
            budget -= chunk
            rows.append(self._take(sequence, chunk))
        return Batch(rows=tuple(rows), preempted=preempted)

    def append(self, request_id: str, token_id: int) -> Sequence:
        """Record the sampled token of a running sequence and return the sequence."""
        sequence = self._running[request_id]
        sequence.output_token_ids.append(token_id)
        return sequence

    def check_integrity(self) -> None:
        """Raise AssertionError if an invariant of the module does not hold."""
        limits = self._limits
        held = sum(sequence.num_computed_tokens for sequence in self._running.values())
        waiting_ids = [sequence.request_id for sequence in self._waiting]
        assert held == self._held_tokens <= limits.kv_capacity_tokens
        assert len(self._running) <= limits.max_batch_size
        assert len(set(waiting_ids)) == len(waiting_ids)
        assert not set(waiting_ids) & set(self._running)
        assert all(sequence.num_computed_tokens == 0 for sequence in self._waiting)
        assert all(s.num_computed_tokens <= s.num_tokens for s in self._running.values())

    @property
    def _free_tokens(self) -> int:
        return self._limits.kv_capacity_tokens - self._held_tokens

    def _make_room_for_decodes(self) -> tuple[str, ...]:
        """Preempt the youngest until each decode has its token; the oldest always keeps going."""
        preempted: list[str] = []
        while sum(map(_decodes, self._running.values())) > self._free_tokens:
            request_id, sequence = self._running.popitem()
            self._held_tokens -= sequence.num_computed_tokens
            sequence.num_computed_tokens = 0
            sequence.num_preemptions += 1
            self._waiting.appendleft(sequence)
            preempted.append(request_id)
        return tuple(preempted)

    def _head_fits(self) -> bool:
        """Whether the head of the queue fits whole, and leaves every running one its next token."""
        if not self._waiting or len(self._running) >= self._limits.max_batch_size:
            return False
        owed = sum(sequence.num_pending_tokens + 1 for sequence in self._running.values())
        return self._waiting[0].num_tokens + owed <= self._free_tokens

    def _start_head(self, now: float) -> Sequence:
        sequence = self._waiting.popleft()
        self._running[sequence.request_id] = sequence
        if sequence.started_at is None:
            sequence.started_at = now
        return sequence

    def _take(self, sequence: Sequence, num_tokens: int) -> BatchRow:
        start = sequence.num_computed_tokens
        end = start + num_tokens
        sequence.num_computed_tokens = end
        self._held_tokens += num_tokens
        request = sequence.request
        draw = None
        if end == sequence.num_tokens:
            draw = Draw(request.sampling, position=len(sequence.output_token_ids))
        return BatchRow(request.request_id, start, sequence.token_ids(start, end), draw)


def _decodes(sequence: Sequence) -> bool:
    return sequence.num_computed_tokens > 0 and sequence.num_pending_tokens == 1
