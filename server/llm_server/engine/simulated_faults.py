"""What the simulated model can be asked to do wrong, so that changes can be tried against it.

A ``ModelRunner`` around ``SimulatedRunner``; without a fault ``assembly`` leaves it away. No other
runner has any of this. Requests are counted from 0 in the order in which their first token is due,
so the same requests in the same order meet the same faults, preempted or not.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llm_server.engine.batch import (
    Batch,
    BatchRow,
    ModelRunner,
    RowFailed,
    RowOutcome,
    RunnerCapacity,
    RunnerLost,
)
from llm_server.errors import FailureKind

_LOST = "the simulated device was lost, as --simulated-crash-after-requests asks"
_FAILED = "The simulated model failed this request, as --simulated-error-percent asks"


@dataclass(frozen=True, slots=True)
class SimulatedFaults:
    """What goes wrong inside the engine; the default is nothing.

    ``error_percent`` of the requests fail, evenly spread, once they have ``error_after_tokens``
    tokens. After so many requests the device is lost, or a step never ends; None: never.
    """

    error_percent: int = 0
    error_after_tokens: int = 0
    crash_after_requests: int | None = None
    hang_after_requests: int | None = None

    def fails(self, number: int) -> bool:
        """Whether the request of this number (from 0) is one that fails.

        At 30 percent these are 3, 6, 9, 13, …: 30 of every 100, never two in a row.
        """
        return (number + 1) * self.error_percent // 100 > number * self.error_percent // 100


def _never_return() -> None:
    threading.Event().wait()


class FaultyRunner:
    """Computes as ``inner`` does until a fault is due."""

    def __init__(
        self,
        inner: ModelRunner,
        faults: SimulatedFaults,
        hang: Callable[[], None] = _never_return,
    ) -> None:
        self._inner = inner
        self._faults = faults
        self._hang = hang
        self._num_begun = 0
        self._failing: set[str] = set()

    def warm_up(self) -> RunnerCapacity:
        """Return the pretended capacity."""
        return self._inner.warm_up()

    def execute(self, batch: Batch) -> Sequence[RowOutcome]:
        """Compute one step. Raises ``RunnerLost`` once the device is lost."""
        for row in batch.rows:
            if row.draw is not None and row.draw.position == 0:
                self._begin(row.request_id)
        failed = {row.request_id for row in batch.rows if self._fails_now(row)}
        return [
            RowFailed(outcome.request_id, FailureKind.ENGINE_FAULT, _FAILED)
            if outcome.request_id in failed
            else outcome
            for outcome in self._inner.execute(batch)
        ]

    def release(self, request_id: str) -> None:
        """Forget the sequence; one that is preempted before its fault gets away."""
        self._failing.discard(request_id)
        self._inner.release(request_id)

    def _begin(self, request_id: str) -> None:
        number, self._num_begun = self._num_begun, self._num_begun + 1
        if number == self._faults.crash_after_requests:
            raise RunnerLost(_LOST)
        if number == self._faults.hang_after_requests:
            self._hang()
        if self._faults.fails(number):
            self._failing.add(request_id)

    def _fails_now(self, row: BatchRow) -> bool:
        return (
            row.request_id in self._failing
            and row.draw is not None
            and row.draw.position == self._faults.error_after_tokens
        )
