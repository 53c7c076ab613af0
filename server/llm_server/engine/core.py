"""One engine step: expire, schedule, compute, turn tokens into events. Synchronous, one thread.

Drivable without thread or HTTP: ``add`` requests and call ``step`` until ``has_work`` is false.
Every request that was added gets exactly one terminal event, from ``step``, ``cancel`` or
``fail_all``.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from llm_server.engine.batch import Batch, ModelRunner, RowFailed, RowOutcome, RunnerLost
from llm_server.engine.events import Cancelled, Delta, Event, Failed, Finished, Usage
from llm_server.engine.output import Detokenizer, OutputBuilder
from llm_server.engine.request import GenerationRequest, Sequence
from llm_server.engine.scheduler import Scheduler
from llm_server.engine.stats import EngineGauges, StepStats
from llm_server.errors import FailureKind

Clock: TypeAlias = Callable[[], float]


class StepFailed(Exception):
    """The runner raised ``cause``; ``events`` end the requests of the batch, the others go on."""

    def __init__(self, events: list[Event], cause: Exception) -> None:
        super().__init__("the model runner failed")
        self.events = events
        self.cause = cause


@dataclass(frozen=True, slots=True)
class TextRules:
    """How tokens become text and which of them end an answer."""

    new_detokenizer: Callable[[], Detokenizer]
    eos_token_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class StepResult:
    """The events of a step in order, and its figures."""

    events: list[Event]
    stats: StepStats


class EngineCore:
    """Scheduler, runner and output builders, and the bookkeeping between them."""

    def __init__(
        self, scheduler: Scheduler, runner: ModelRunner, text: TextRules, clock: Clock
    ) -> None:
        self._scheduler = scheduler
        self._runner = runner
        self._text = text
        self._clock = clock
        self._builders: dict[str, OutputBuilder] = {}

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return self._scheduler.has_work

    def gauges(self) -> EngineGauges:
        """Return the present state."""
        scheduler = self._scheduler
        return EngineGauges(scheduler.num_running, scheduler.num_waiting, scheduler.kv_usage)

    def add(self, request: GenerationRequest) -> None:
        """Queue a request. Raises ``WaitingFull`` at the scheduler's bound."""
        self._scheduler.add(Sequence(request))
        self._builders[request.request_id] = OutputBuilder(
            self._text.new_detokenizer(),
            eos_token_ids=self._text.eos_token_ids,
            stop_strings=request.stop_strings,
            max_tokens=request.max_tokens,
        )

    def cancel(self, request_id: str) -> list[Event]:
        """End a request that its caller gave up; nothing if it has ended already."""
        sequence = self._leave(request_id)
        return [Cancelled(request_id, _usage(sequence))] if sequence else []

    def fail_all(self, kind: FailureKind, message: str) -> list[Event]:
        """End every request."""
        ids = [sequence.request_id for sequence in self._scheduler.sequences()]
        return self._fail(ids, kind, message)

    def step(self) -> StepResult:
        """Compute one step. Raises ``StepFailed`` when the runner raised, or ``RunnerLost``."""
        began = self._clock()
        events = self._expire(began)
        batch = self._scheduler.schedule(began)
        for request_id in batch.preempted:
            self._runner.release(request_id)
        outcomes = self._execute(batch, events)
        now = self._clock()
        timings = _Timings()
        for outcome in outcomes:
            events += self._absorb(outcome, now, timings)
        return StepResult(events, timings.stats(batch, now - began))

    def check_integrity(self) -> None:
        """Raise AssertionError when scheduler and builders disagree."""
        self._scheduler.check_integrity()
        known = {sequence.request_id for sequence in self._scheduler.sequences()}
        assert known == set(self._builders)

    def _execute(self, batch: Batch, events: list[Event]) -> list[RowOutcome]:
        if not batch.rows:
            return []
        try:
            return _complete(batch, self._runner.execute(batch))
        except RunnerLost:
            raise
        # Whatever a model raises ends the requests of this batch, never the thread.
        except Exception as error:
            ids = [row.request_id for row in batch.rows]
            message = f"The engine failed while computing: {type(error).__name__}"
            events += self._fail(ids, FailureKind.ENGINE_FAULT, message)
            raise StepFailed(events, error) from error

    def _expire(self, now: float) -> list[Event]:
        late = [s.request_id for s in self._scheduler.sequences() if s.request.deadline <= now]
        return self._fail(
            late, FailureKind.DEADLINE_EXCEEDED, "The request did not finish before its deadline"
        )

    def _absorb(self, outcome: RowOutcome, now: float, timings: "_Timings") -> list[Event]:
        if isinstance(outcome, RowFailed):
            return self._fail([outcome.request_id], outcome.kind, outcome.message)
        sequence = self._scheduler.append(outcome.request_id, outcome.token_id)
        timings.token(sequence, now)
        piece = self._builders[outcome.request_id].accept(outcome.token_id)
        delta = Delta(outcome.request_id, outcome.token_id, piece.text)
        if piece.finish_reason is None:
            return [delta]
        self._leave(outcome.request_id)
        return [delta, Finished(outcome.request_id, piece.finish_reason, _usage(sequence))]

    def _fail(self, ids: list[str], kind: FailureKind, message: str) -> list[Event]:
        return [
            Failed(request_id, kind, message, _usage(sequence))
            for request_id in ids
            if (sequence := self._leave(request_id))
        ]

    def _leave(self, request_id: str) -> Sequence | None:
        sequence = self._scheduler.remove(request_id)
        if sequence is not None:
            del self._builders[request_id]
            self._runner.release(request_id)
        return sequence


def _complete(batch: Batch, outcomes: Iterable[RowOutcome]) -> list[RowOutcome]:
    """Return the outcomes. Raises when a row has none: its sequence would never get further."""
    complete = list(outcomes)
    expected = {row.request_id for row in batch.rows if row.draw is not None}
    if len(complete) != len(expected) or {o.request_id for o in complete} != expected:
        raise RuntimeError(f"{len(expected)} rows were to be sampled, {len(complete)} were")
    return complete


class _Timings:
    """Collects the latencies of one step."""

    def __init__(self) -> None:
        self._prompt_tokens = 0
        self._queue: list[float] = []
        self._first: list[float] = []
        self._inter: list[float] = []

    def token(self, sequence: Sequence, now: float) -> None:
        """Record a token of ``sequence`` that came out at ``now``."""
        request = sequence.request
        if sequence.last_token_at is None:
            started = sequence.started_at if sequence.started_at is not None else now
            self._queue.append(started - request.arrived_at)
            self._first.append(now - request.arrived_at)
            self._prompt_tokens += len(request.prompt_token_ids)
        else:
            self._inter.append(now - sequence.last_token_at)
        sequence.last_token_at = now

    def stats(self, batch: Batch, seconds: float) -> StepStats:
        """Return the figures of the step."""
        return StepStats(
            prompt_tokens=self._prompt_tokens,
            generation_tokens=len(self._first) + len(self._inter),
            preemptions=len(batch.preempted),
            queue_seconds=tuple(self._queue),
            first_token_seconds=tuple(self._first),
            inter_token_seconds=tuple(self._inter),
            seconds=seconds,
        )


def _usage(sequence: Sequence) -> Usage:
    return Usage(len(sequence.request.prompt_token_ids), len(sequence.output_token_ids))
