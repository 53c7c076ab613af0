"""The work queue: which resource is looked at next, and when.

After client-go's work queue: a key that waits is held once however often it is added, no key is
ever handed out twice at a time, and one that is added while it is being worked on comes again
afterwards. On top of that: two lanes, delayed adds of which the earliest counts, and exponential
back-off with full jitter per key. Clock and random numbers are arguments; all calls but ``get``
are synchronous and must come from the event loop's thread.
"""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable, Hashable
from enum import Enum, auto
from typing import Final, Generic, TypeVar

BACKOFF_BASE_SECONDS: Final = 0.2
BACKOFF_LIMIT_SECONDS: Final = 300.0
EDITS_IN_A_ROW: Final = 16
"""So many keys of the first lane are handed out before one of the second must have its turn."""

K = TypeVar("K", bound=Hashable)


class Lane(Enum):
    """What a key waits for; the first lane goes first."""

    EDIT = auto()
    """Something changed."""
    RESYNC = auto()
    """Nothing is known to have changed: start-up, resync, a planned wake-up."""


class QueueClosed(Exception):
    """The queue hands nothing out any more."""


class WorkQueue(Generic[K]):
    """Keys to work on, one worker at a time each."""

    def __init__(self, clock: Callable[[], float], rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._lanes: dict[Lane, deque[K]] = {lane: deque() for lane in Lane}
        self._dirty: dict[K, Lane] = {}
        self._processing: dict[K, float] = {}
        self._due: dict[K, float] = {}
        self._timers: list[tuple[float, int, K]] = []
        self._sequence = 0
        self._failures: dict[K, int] = {}
        self._edits_in_a_row = 0
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def depth(self) -> int:
        """How many keys wait to be handed out now; delayed ones do not count."""
        return len(self._dirty)

    @property
    def longest_in_hand_seconds(self) -> float:
        """For how long the key has been worked on that was handed out first; 0 if none is."""
        started = min(self._processing.values(), default=None)
        return 0.0 if started is None else self._clock() - started

    def add(self, key: K, lane: Lane) -> None:
        """Have ``key`` handed out; one that already waits moves to the earlier lane."""
        known = self._dirty.get(key)
        if known is lane or known is Lane.EDIT:
            return
        self._dirty[key] = lane
        if key not in self._processing:
            self._lanes[lane].append(key)  # an entry left in the other lane is skipped later
        self._changed.set()

    def add_after(self, key: K, delay_seconds: float) -> None:
        """Add ``key`` to the second lane after a delay, unless it is due earlier already."""
        due = self._clock() + max(0.0, delay_seconds)
        if due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        self._sequence += 1
        heapq.heappush(self._timers, (due, self._sequence, key))
        self._changed.set()

    def retry(self, key: K, at_least_seconds: float = 0.0) -> float:
        """Add ``key`` again after its back-off, which doubles each time; return the delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        ceiling = min(BACKOFF_LIMIT_SECONDS, BACKOFF_BASE_SECONDS * 2 ** min(failures, 32))
        delay = at_least_seconds + self._rng.uniform(0.0, ceiling)
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Begin the back-off of ``key`` anew: it succeeded."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """Wait for a key and hand it out; it must be given back by ``done``.

        The delayed add of a key ends when it is handed out: whoever works on it plans anew.

        Raises:
            QueueClosed: the queue was closed.
        """
        while True:
            if self._closed:
                raise QueueClosed
            key = self.take()
            if key is not None:
                return key
            self._changed.clear()
            await self._wait(self.seconds_to_next())

    async def _wait(self, timeout_seconds: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def take(self) -> K | None:
        """Hand out the next key that waits, or None."""
        self._ring_due()
        key = self._next_waiting()
        if key is not None:
            del self._dirty[key]
            self._due.pop(key, None)
            self._processing[key] = self._clock()
        return key

    def done(self, key: K) -> None:
        """Give a key back; if it was added meanwhile it waits again."""
        self._processing.pop(key, None)
        lane = self._dirty.get(key)
        if lane is not None:
            self._lanes[lane].append(key)
            self._changed.set()

    def close(self) -> None:
        """Hand nothing out any more and wake everybody who waits."""
        self._closed = True
        self._changed.set()

    def seconds_to_next(self) -> float | None:
        """How long until the next delayed add is due; None when there is none."""
        while self._timers and self._due.get(self._timers[0][2]) != self._timers[0][0]:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - self._clock()) if self._timers else None

    def _ring_due(self) -> None:
        while self.seconds_to_next() == 0.0:
            _, _, key = heapq.heappop(self._timers)
            del self._due[key]
            self.add(key, Lane.RESYNC)

    def _next_waiting(self) -> K | None:
        order = [Lane.EDIT, Lane.RESYNC]
        if self._edits_in_a_row >= EDITS_IN_A_ROW:
            order.reverse()
        for lane in order:
            key = self._pop(lane)
            if key is not None:
                self._edits_in_a_row = self._edits_in_a_row + 1 if lane is Lane.EDIT else 0
                return key
        return None

    def _pop(self, lane: Lane) -> K | None:
        waiting = self._lanes[lane]
        while waiting:
            key = waiting.popleft()
            if self._dirty.get(key) is lane and key not in self._processing:
                return key
        return None
