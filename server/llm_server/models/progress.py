"""How far a start has come: phase, bytes and seconds, for ``/startupz``.

The loading thread writes, the probe thread reads; every method is safe from any thread.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from llm_server.contract import StartupPhase


@dataclass(frozen=True, slots=True)
class ProgressSnapshot:
    """One consistent reading; ``bytes_total`` is None in phases that move no bytes."""

    phase: StartupPhase
    bytes_done: int
    bytes_total: int | None
    seconds: float
    phase_seconds: float


class Progress:
    """The progress of one start, from construction to ``READY`` or ``FAILED``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds from any fixed origin."""
        self._clock = clock
        self._lock = threading.Lock()
        self._phase = StartupPhase.STARTING
        self._bytes_done = 0
        self._bytes_total: int | None = None
        self._started = self._phase_started = clock()

    def enter(self, phase: StartupPhase) -> None:
        """Begin ``phase``; the byte counts start again. Entering the current phase does nothing."""
        with self._lock:
            if phase is self._phase:
                return
            self._phase = phase
            self._bytes_done = 0
            self._bytes_total = None
            self._phase_started = self._clock()

    def expect(self, bytes_total: int) -> None:
        """Say how many bytes this phase will move, from the first one; begins a new attempt."""
        with self._lock:
            self._bytes_done = 0
            self._bytes_total = bytes_total

    def advance(self, byte_count: int) -> None:
        """Add bytes that arrived; negative when a transfer had to start again.

        The count is kept within zero and the expected total, so that a reader never sees
        more than everything.
        """
        with self._lock:
            done = max(0, self._bytes_done + byte_count)
            self._bytes_done = done if self._bytes_total is None else min(done, self._bytes_total)

    def snapshot(self) -> ProgressSnapshot:
        """Read everything at one instant."""
        with self._lock:
            now = self._clock()
            return ProgressSnapshot(
                phase=self._phase,
                bytes_done=self._bytes_done,
                bytes_total=self._bytes_total,
                seconds=now - self._started,
                phase_seconds=now - self._phase_started,
            )
