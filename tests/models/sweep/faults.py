"""The faults, and the one that a run meets at one of its writes."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from llm_operator.cluster.transport import Request


class Fault(StrEnum):
    """What goes wrong at one write."""

    KILLED_BEFORE = "killed before the call is sent"
    KILLED_AFTER = "killed after the call was carried out"
    CONFLICT = "409 conflict"
    EXPIRED = "410 on every watch and on the next list"
    THROTTLED = "429 with Retry-After"
    ERROR = "500"
    TIMED_OUT = "no answer in time, not carried out"
    TIMED_OUT_AFTER = "no answer in time, carried out"
    DISCONNECTED = "connection lost after the call was carried out"
    STALE = "response lost, and the cache lags behind the write"
    DELAYED = "watch events delayed"
    DROPPED = "watch events dropped until the next list"


RETRY_AFTER_SECONDS: Final = 5
LAG_SECONDS: Final = 15
"""How late watch events come."""
DEAF_SECONDS: Final = 30
"""How long watch events are dropped."""

NEVER: Final = 0


@dataclass(frozen=True, slots=True)
class Trial:
    """One fault at one write, numbered from 1."""

    fault: Fault
    call: int

    def __str__(self) -> str:
        return f"{self.fault} at write {self.call}"


@dataclass(slots=True)
class Faults:
    """Counts the writes and reads of a run and brings its fault about once."""

    trial: Trial | None
    is_counting: bool = False
    """Whether the rollout has begun."""
    calls: list[str] = field(default_factory=list)
    """Every write as it was tried: verb and path."""
    reads: list[str] = field(default_factory=list)
    """Every read: LIST or GET, and path; watches apart."""
    armed: Fault | None = None
    """What the API server does with the next write."""

    def meet(self, request: Request) -> Fault | None:
        """Count a write that is about to be sent, and return the fault that it meets."""
        if not self.is_counting:
            return None
        self.calls.append(f"{request.method} {request.path}")
        if self.trial is None or len(self.calls) != self.trial.call:
            return None
        if self.trial.fault is not Fault.KILLED_BEFORE:
            self.armed = self.trial.fault
        return self.trial.fault

    def read(self, request: Request) -> None:
        """Count a read that is about to be sent; of lists the client says how many it takes."""
        if self.is_counting:
            verb = "LIST" if "limit" in request.query else "GET"
            self.reads.append(f"{verb} {request.path}")

    def take(self) -> Fault | None:
        """Return what the server is to do with a write, once."""
        armed, self.armed = self.armed, None
        return armed
