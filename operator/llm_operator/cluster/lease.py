"""Leader election over a ``coordination.k8s.io`` Lease.

A candidate may take the lease when its holder gave it up, or when the candidate has not seen it
change for the lease's whole duration on its own monotonic clock; no clock is ever compared with
another machine's. The holder counts from the moment it *sent* its last successful renewal, so its
own deadline always passes before anybody else's wait. Every write carries the resourceVersion that
was read; of two candidates one gets a conflict.

``is_leader`` is the gate of all writes: it closes a request time-out before the lease can end, so
that a request in flight ends in time as well. When no renewal succeeds until the renew deadline,
leadership is over and the process must end; whoever still believes otherwise is fenced by the gate
and by the resourceVersion of every status write.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import structlog

from llm_operator import kinds
from llm_operator.cluster.errors import ApiError, Conflict, NotFound

Object = dict[str, Any]

_JITTER: Final = 1.2
_log = structlog.stdlib.get_logger(__name__)


class LeadershipLost(Exception):
    """The lease is somebody else's, or could not be renewed in time; the process must end."""


class LeaseStore(Protocol):
    """What the elector needs of the client; every call may raise ``ApiError``."""

    async def read_lease(self, namespace: str, name: str) -> Object:
        """Return the Lease."""

    async def create_lease(self, namespace: str, lease: Mapping[str, Any]) -> Object:
        """Create it; Conflict when it exists."""

    async def replace_lease(self, namespace: str, lease: Mapping[str, Any]) -> Object:
        """Replace it; Conflict when it is no longer at its resourceVersion."""


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """The times of the game, all in seconds."""

    duration: int = 15
    """For how long a renewal holds; whole seconds, because that is what a Lease can say."""
    renew_deadline: float = 10.0
    """How long the holder tries to renew before it gives up."""
    retry: float = 2.0
    """Between two attempts, times a jitter of up to 1.2."""
    request_timeout: float = 8.0
    """The longest that a write, once sent, can take to be refused or done."""

    def __post_init__(self) -> None:
        """Refuse times by which two could write, or a healthy leader could not."""
        if not self.retry < self.renew_deadline < self.duration:
            raise ValueError("a Lease needs retry < renew deadline < duration")
        if self.request_timeout + 2 * self.retry > self.duration:
            raise ValueError("a Lease needs request time-out + 2 retries <= duration")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Which Lease is contended for, and by whom."""

    namespace: str
    name: str
    identity: str
    """Unique per process, not per pod: a restarted container is another candidate."""


@dataclass(frozen=True, slots=True)
class _Sighting:
    lease: Object
    since: float
    """When this resourceVersion was first seen, on our clock."""


class Elector:
    """One process's part in the election."""

    def __init__(
        self,
        store: LeaseStore,
        candidate: Candidate,
        timing: LeaseTiming,
        wall_clock: Callable[[], datetime],
        rng: random.Random,
    ) -> None:
        self._store = store
        self._candidate = candidate
        self._timing = timing
        self._wall_clock = wall_clock
        self._rng = rng
        self._clock = asyncio.get_running_loop().time
        self._seen: _Sighting | None = None
        self._renewed_at: float | None = None
        self.elected = asyncio.Event()
        """Set for good once the lease has been won."""

    def is_leader(self) -> bool:
        """Whether a write sent now is sure to end within the lease."""
        if self._renewed_at is None:
            return False
        ends = self._renewed_at + self._timing.duration
        return self._clock() + self._timing.request_timeout < ends

    @property
    def term(self) -> int:
        """How often the lease has changed hands, as last seen: rises with every new leader."""
        return int(_spec(self._seen.lease).get("leaseTransitions") or 0) if self._seen else 0

    @property
    def seconds_since_renewal(self) -> float | None:
        """The age of the last successful renewal; None before the election is won."""
        return None if self._renewed_at is None else self._clock() - self._renewed_at

    async def run(self) -> None:
        """Contend for the lease, then keep it; does not return.

        Raises:
            LeadershipLost: it was ours and is not any more.
        """
        await self._win()
        _log.info("lease.acquired", identity=self._candidate.identity, term=self.term)
        self.elected.set()
        try:
            while True:
                await asyncio.sleep(min(self._pause(), self._seconds_to_deadline()))
                await self._attempt(self._renew)
        except LeadershipLost:
            self._renewed_at = None
            raise

    async def _win(self) -> None:
        while True:
            if await self._attempt(self._acquire):
                return
            await asyncio.sleep(self._seconds_to_next_attempt())

    async def release(self) -> None:
        """Give the lease up at once, so that a standby need not wait for its end."""
        held, self._renewed_at = self._renewed_at is not None, None
        if not held or self._seen is None:
            return
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            await self._replace(self._seen.lease, spec)
        except ApiError as error:
            _log.warning("lease.release_failed", error=error.message)

    async def _attempt(self, step: Callable[[], Any]) -> bool:
        """Make one attempt; any failure but a lost lease just counts as none."""
        seconds = self._seconds_to_deadline()
        if seconds <= 0:
            raise LeadershipLost("the lease could not be renewed in time")
        try:
            async with asyncio.timeout(seconds):
                return bool(await step())
        except LeadershipLost:
            raise
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the lease was not renewed
            _log.warning("lease.attempt_failed", error=str(error) or type(error).__name__)
            return False

    async def _acquire(self) -> bool:
        started = self._clock()
        try:
            lease = await self._read()
        except NotFound:
            return await self._create(started)
        holder = _spec(lease).get("holderIdentity")
        free = holder in (None, "", self._candidate.identity)
        if not free and self._seconds_to_expiry() > 0:
            return False
        return await self._take(lease, started)

    async def _create(self, started: float) -> bool:
        metadata = {"name": self._candidate.name, "namespace": self._candidate.namespace}
        lease = {
            "apiVersion": kinds.LEASE.api_version,
            "kind": kinds.LEASE.kind,
            "metadata": metadata,
            "spec": {**self._holding(), "acquireTime": self._now(), "leaseTransitions": 0},
        }
        try:
            created = await self._store.create_lease(self._candidate.namespace, lease)
        except Conflict:
            return False
        self._won(created, started)
        return True

    async def _take(self, lease: Object, started: float) -> bool:
        transitions = int(_spec(lease).get("leaseTransitions") or 0) + 1
        taken = {"acquireTime": self._now(), "leaseTransitions": transitions}
        try:
            self._won(await self._replace(lease, {**self._holding(), **taken}), started)
        except Conflict:
            return False
        return True

    async def _renew(self) -> bool:
        started = self._clock()
        if self._seen is None:
            raise LeadershipLost("there is no lease to renew")
        try:
            self._won(await self._replace(self._seen.lease, self._holding()), started)
        except Conflict:
            return await self._renew_changed(started)
        except NotFound as error:
            raise LeadershipLost("the lease was deleted") from error
        return True

    async def _renew_changed(self, started: float) -> bool:
        """Renew a lease that changed under our hands: by us, unheard, or by somebody else."""
        lease = await self._read()
        holder = _spec(lease).get("holderIdentity")
        if holder != self._candidate.identity:
            raise LeadershipLost(f"the lease is held by {holder!r}")
        self._won(await self._replace(lease, self._holding()), started)
        return True

    async def _read(self) -> Object:
        lease = await self._store.read_lease(self._candidate.namespace, self._candidate.name)
        self._see(lease)
        return lease

    async def _replace(self, lease: Object, spec: Mapping[str, Any]) -> Object:
        changed = {**lease, "spec": {**_spec(lease), **spec}}
        return await self._store.replace_lease(self._candidate.namespace, changed)

    def _won(self, lease: Object, started: float) -> None:
        self._see(lease)
        self._renewed_at = started

    def _see(self, lease: Object) -> None:
        version = lease["metadata"]["resourceVersion"]
        if self._seen is None or self._seen.lease["metadata"]["resourceVersion"] != version:
            self._seen = _Sighting(lease, self._clock())

    def _holding(self) -> dict[str, Any]:
        return {
            "holderIdentity": self._candidate.identity,
            "leaseDurationSeconds": self._timing.duration,
            "renewTime": self._now(),
        }

    def _now(self) -> str:
        return self._wall_clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _seconds_to_deadline(self) -> float:
        """How long the holder may go on trying to renew."""
        since = self._clock() if self._renewed_at is None else self._renewed_at
        return since + self._timing.renew_deadline - self._clock()

    def _seconds_to_expiry(self) -> float:
        """How long the lease seen last may still be held by its holder."""
        if self._seen is None:
            return 0.0
        duration = _spec(self._seen.lease).get("leaseDurationSeconds") or self._timing.duration
        return self._seen.since + float(duration) - self._clock()

    def _seconds_to_next_attempt(self) -> float:
        """The usual pause, or less if the lease ends before."""
        remaining = self._seconds_to_expiry()
        return min(self._pause(), remaining) if remaining > 0 else self._pause()

    def _pause(self) -> float:
        return self._timing.retry * self._rng.uniform(1.0, _JITTER)


def _spec(lease: Mapping[str, Any]) -> Mapping[str, Any]:
    return lease.get("spec") or {}
