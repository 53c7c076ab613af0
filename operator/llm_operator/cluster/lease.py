"""Which replica may write: leader election by a ``coordination.k8s.io/Lease``, with fencing.

Rules (after client-go's, which the package's asynchronous elector breaks by surviving an error
while it renews): a candidate takes the Lease when it is free, or when it has not seen it change
for ``duration``, by its own monotonic clock and never by the timestamps of others. A leader renews
every ``retry`` seconds; any failure is a failed renewal, and after ``renew_deadline`` without one
leadership is lost for good: the process ends. ``is_leader`` closes the gate before each write
earlier than a standby can take over, by the length of one request. The term is the Lease's
``leaseTransitions``; it rises with each change of hands.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

import structlog

from llm_operator import kinds
from llm_operator.cluster.errors import ApiError, NotFound

_LOG: Final = structlog.get_logger("llm_operator.lease")
_JITTER: Final = 0.2


class LeaseClient(Protocol):
    """The three verbs on Leases; a replacement is refused unless the Lease is as it was read."""

    async def read_lease(self, namespace: str, name: str) -> dict[str, Any]:
        """Return the Lease, or raise NotFound."""
        ...

    async def create_lease(self, namespace: str, lease: Mapping[str, Any]) -> dict[str, Any]:
        """Create the Lease, or raise Conflict."""
        ...

    async def replace_lease(self, namespace: str, lease: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the Lease, or raise Conflict."""
        ...


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """Which Lease, held by whom, for how long; all in seconds."""

    namespace: str
    name: str
    holder: str
    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0
    request_timeout: float = 8.0
    """Longest request that a leader may still have in flight when the gate closes."""

    def __post_init__(self) -> None:
        """Refuse terms under which two replicas could write at once."""
        if not self.retry < self.renew_deadline < self.duration:
            msg = "a Lease needs retry < renew deadline < duration, in seconds"
            raise ValueError(msg)


class LeadershipLost(Exception):
    """The Lease could not be renewed in time, or is in other hands."""


@dataclass(slots=True)
class Elector:
    """One candidate for leadership."""

    client: LeaseClient
    terms: LeaseTerms
    clock: Callable[[], float]
    """Monotonic, in seconds."""
    now: Callable[[], datetime]
    """Wall clock, for what the Lease shows to people."""
    rng: random.Random
    sleep: Callable[[float], Any] = asyncio.sleep
    on_elected: Callable[[], None] = lambda: None
    term: int = 0
    _renewed_at: float | None = field(default=None, init=False)
    _seen_version: str = field(default="", init=False)
    _seen_at: float = field(default=0.0, init=False)

    def is_leader(self) -> bool:
        """Whether a write that starts now ends before another replica can take over."""
        if self._renewed_at is None:
            return False
        held_until = self._renewed_at + self.terms.duration
        return self.clock() + self.terms.request_timeout <= held_until

    async def run(self) -> None:
        """Become leader, and stay it until cancelled.

        Raises:
            LeadershipLost: the process must end; another may lead already.
        """
        await self._acquire()
        _LOG.info("Became leader", holder=self.terms.holder, term=self.term)
        self.on_elected()
        await self._hold()

    async def release(self) -> None:
        """Give the Lease back, so that a standby need not wait for its end."""
        if self._renewed_at is None:
            return
        self._renewed_at = None
        try:
            lease = await self.client.read_lease(self.terms.namespace, self.terms.name)
            if lease["spec"].get("holderIdentity") == self.terms.holder:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self.client.replace_lease(self.terms.namespace, lease)
        except (ApiError, TimeoutError) as error:
            _LOG.warning("Kept the lease to its end", error=str(error))

    async def _acquire(self) -> None:
        while True:
            try:
                if await self._try_to_take():
                    return
            except Exception as error:  # noqa: BLE001 - whatever fails, try again
                _LOG.warning("Cannot read or take the lease", error=str(error))
            await self.sleep(self.terms.retry * (1 + _JITTER * self.rng.random()))

    async def _hold(self) -> None:
        while True:
            await self.sleep(self.terms.retry)
            if self._renewed_at is None:
                raise LeadershipLost("the lease was released")
            left = self._renewed_at + self.terms.renew_deadline - self.clock()
            if left <= 0:
                self._renewed_at = None
                raise LeadershipLost("the lease could not be renewed in time")
            try:
                async with asyncio.timeout(left):
                    await self._renew()
            except LeadershipLost:
                self._renewed_at = None
                raise
            except Exception as error:  # noqa: BLE001 - any failure is a failed renewal
                _LOG.warning("Failed to renew the lease", error=str(error), seconds_left=left)

    async def _try_to_take(self) -> bool:
        started = self.clock()
        try:
            lease = await self.client.read_lease(self.terms.namespace, self.terms.name)
        except NotFound:
            await self.client.create_lease(self.terms.namespace, self._lease(term=0))
            return self._took(started, term=0)
        if not self._is_free(lease):
            return False
        term = int(lease["spec"].get("leaseTransitions") or 0) + 1
        lease["spec"] = self._lease(term)["spec"]
        await self.client.replace_lease(self.terms.namespace, lease)
        return self._took(started, term)

    def _is_free(self, lease: Mapping[str, Any]) -> bool:
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") in (None, ""):
            return True
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen_version:
            self._seen_version, self._seen_at = version, self.clock()
        held_seconds = max(self.terms.duration, float(spec.get("leaseDurationSeconds") or 0))
        return self.clock() - self._seen_at >= held_seconds

    def _took(self, started: float, term: int) -> bool:
        """Count the Lease from before the request: its answer may have been slow."""
        self._renewed_at, self.term = started, term
        return True

    async def _renew(self) -> None:
        started = self.clock()
        lease = await self.client.read_lease(self.terms.namespace, self.terms.name)
        if lease["spec"].get("holderIdentity") != self.terms.holder:
            raise LeadershipLost(f"the lease is held by {lease['spec'].get('holderIdentity')}")
        lease["spec"]["renewTime"] = self._micro_time()
        await self.client.replace_lease(self.terms.namespace, lease)
        self._renewed_at = started

    def _lease(self, term: int) -> dict[str, Any]:
        moment = self._micro_time()
        return {
            "apiVersion": kinds.LEASE.api_version,
            "kind": kinds.LEASE.kind,
            "metadata": {"name": self.terms.name, "namespace": self.terms.namespace},
            "spec": {
                "holderIdentity": self.terms.holder,
                "leaseDurationSeconds": max(1, round(self.terms.duration)),
                "acquireTime": moment,
                "renewTime": moment,
                "leaseTransitions": term,
            },
        }

    def _micro_time(self) -> str:
        return self.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
