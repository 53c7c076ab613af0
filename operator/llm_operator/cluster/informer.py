"""Keeps the cache in step with the cluster and rings the queue; knows nothing of how one watches.

What a watch says comes in by ``receive``. A watch is not to be trusted alone: it never reports what
vanished while it was down, and it may miss. So every kind is also listed by our own client: once
before anything is reconciled, again every ``relist_seconds``, and shortly after a watch was seen
to begin anew. A list repairs the cache, and what it had to repair is counted.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from llm_operator import kinds
from llm_operator.cluster.cache import Cache, Relisted, ResourceKey, parent_key
from llm_operator.cluster.client import Listing
from llm_operator.cluster.errors import ApiError, NotFound
from llm_operator.cluster.gateways import find_unlimited_gateways
from llm_operator.queue import Lane, WorkQueue

_LOG: Final = structlog.get_logger("llm_operator.informer")

RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Pauses between attempts to list; the last one goes on for ever."""

DELETED: Final = "DELETED"


class Lister(Protocol):
    """What the informer needs of the client; both calls may raise ``ApiError``."""

    async def list(
        self, kind: kinds.ResourceKind, namespace: str | None = None, selector: str | None = None
    ) -> Listing:
        """List a kind."""

    async def serves(self, kind: kinds.ResourceKind) -> bool:
        """Whether the cluster has the kind."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is looked after, and how often all of it is listed again."""

    namespace: str | None
    """The one namespace, or None for all."""
    relist_seconds: float
    settle_seconds: float = 3.0
    """How long after a watch began anew its kind is listed."""


class Informer:
    """Feeds the cache from lists and watches and has the resources concerned looked at."""

    def __init__(
        self,
        client: Lister,
        cache: Cache,
        queue: WorkQueue[ResourceKey],
        scope: Scope,
        rng: random.Random,
        report_missed: Callable[[str, int], None],
    ) -> None:
        """``report_missed`` is told (kind, number) of what only a list brought to light."""
        self._client = client
        self._cache = cache
        self._queue = queue
        self._scope = scope
        self._rng = rng
        self._report_missed = report_missed
        self._optional: frozenset[kinds.ResourceKind] = frozenset()
        self._unlimited: frozenset[tuple[str, str]] = frozenset()
        self._due: dict[kinds.ResourceKind, float] = {}
        self._changed = asyncio.Event()
        self.synced = asyncio.Event()
        """Set for good once every watched kind has been listed."""
        self.rewatch = asyncio.Event()
        """Set when the set of watched kinds changed; whoever watches them clears it."""

    @property
    def watched(self) -> tuple[kinds.ResourceKind, ...]:
        """The kinds to watch: all, but the optional ones only where the cluster has them."""
        missing = kinds.OPTIONAL_KINDS - self._optional
        watched = (kinds.LLM_DEPLOYMENT, *kinds.WATCHED_KINDS)
        return tuple(kind for kind in watched if kind not in missing)

    @property
    def optional_kinds(self) -> frozenset[kinds.ResourceKind]:
        """Those of the optional kinds that the cluster has, as last looked for."""
        return self._optional

    @property
    def unlimited_gateways(self) -> frozenset[tuple[str, str]]:
        """Gateways, by namespace and name, that let a route lift its time limit."""
        return self._unlimited

    @property
    def namespace(self) -> str | None:
        """The one namespace that is looked after; None for all."""
        return self._scope.namespace

    def receive(self, kind: kinds.ResourceKind, change: str | None, obj: Mapping[str, Any]) -> None:
        """Take what a watch says; a ``change`` of None is the list with which a watch begins."""
        metadata = obj["metadata"]
        stored = self._cache.get(kind, metadata["namespace"], metadata["name"])
        store = self._cache.delete if change == DELETED else self._cache.put
        if store(kind, obj):
            for key in {parent_key(kind, stored) if stored else None, parent_key(kind, obj)}:
                if key:
                    self._queue.add(key, Lane.EDIT)
        if change is None:
            self._list_when_settled(kind)

    def expect_gaps(self) -> None:
        """List everything soon: the watches begin anew, and something may fall between."""
        for kind in self.watched:
            self._list_soon(kind, self._scope.settle_seconds)

    async def run(self) -> None:
        """List everything until that has succeeded once, then again when it is due."""
        await _until_it_works(self._list_all)
        self.synced.set()
        while True:
            await self._wait_until_due()
            for kind in self._take_due():
                await self._relist(kind)

    async def learn_kinds(self) -> None:
        """Wait until the cluster has our own kind, and learn which others it has."""
        await _until_it_works(self._look_at_kinds)

    async def _look_at_kinds(self) -> None:
        if not await self._client.serves(kinds.LLM_DEPLOYMENT):
            raise NotFound(f"the cluster does not have the kind {kinds.LLM_DEPLOYMENT.kind}")
        self._optional = await self._served()
        await self._look_at_gateways()

    async def _served(self) -> frozenset[kinds.ResourceKind]:
        """Ask which optional kinds the cluster has, in a fixed order."""
        asked = sorted(kinds.OPTIONAL_KINDS, key=lambda kind: kind.kind)
        return frozenset([kind for kind in asked if await self._client.serves(kind)])

    async def _list_all(self) -> None:
        await self._look_at_kinds()
        for kind in self.watched:
            await self._list(kind)

    async def _relist(self, kind: kinds.ResourceKind) -> None:
        try:
            if kind == kinds.LLM_DEPLOYMENT:
                await self._look_for_optional_kinds()
            await self._list(kind)
        except ApiError as error:
            _LOG.warning("Cannot list", kind=kind.kind, error=error.message)
            self._list_soon(kind, RETRY_SECONDS[-1])

    async def _list(self, kind: kinds.ResourceKind) -> None:
        selector = None if kind == kinds.LLM_DEPLOYMENT else kinds.WATCH_SELECTOR
        self._due[kind] = self._now() + self._scope.relist_seconds * self._rng.uniform(0.9, 1.1)
        listing = await self._client.list(kind, self._scope.namespace, selector)
        was_synced = self._cache.is_synced((kind,))
        found = self._cache.replace(kind, listing.items, listing.resource_version)
        if was_synced:
            self._report(kind, found)
        self._ring(kind, found, Lane.EDIT if was_synced else Lane.RESYNC)

    def _report(self, kind: kinds.ResourceKind, found: Relisted) -> None:
        """Count what the watch had not brought; only a ghost cannot be a watch that lags a bit."""
        missed = found.ghosts + found.missed
        if missed:
            self._report_missed(kind.kind, missed)
        if found.ghosts:
            _LOG.warning("A watch had missed deletions", kind=kind.kind, count=found.ghosts)

    def _ring(self, kind: kinds.ResourceKind, found: Relisted, lane: Lane) -> None:
        """Have the changed resources looked at, and each of them once per round of lists."""
        for key in found.changed:
            self._queue.add(key, lane)
        if kind == kinds.LLM_DEPLOYMENT:
            spread = self._scope.relist_seconds / 10
            for key in self._cache.resources():
                self._queue.add_after(key, self._rng.uniform(0, spread))

    async def _look_for_optional_kinds(self) -> None:
        served = await self._served()
        if served == self._optional:
            await self._look_at_gateways()
            return
        for kind in served - self._optional:
            await self._list(kind)
        for kind in self._optional - served:
            self._due.pop(kind, None)
        self._optional = served
        await self._look_at_gateways()
        self.rewatch.set()

    async def _look_at_gateways(self) -> None:
        """Learn of the Gateways, which only matter for routes; what is known stays on failure."""
        if kinds.HTTP_ROUTE not in self._optional or self._scope.namespace is not None:
            self._unlimited = frozenset()
            return
        try:
            self._unlimited = await find_unlimited_gateways(self._client)
        except ApiError as error:
            _LOG.warning("Cannot list Gateways", error=error.message)

    def _list_when_settled(self, kind: kinds.ResourceKind) -> None:
        """List a kind once its watch has told everything with which it begins."""
        self._due[kind] = self._now() + self._scope.settle_seconds
        self._changed.set()

    def _list_soon(self, kind: kinds.ResourceKind, seconds: float) -> None:
        self._due[kind] = min(self._now() + seconds, self._due.get(kind, float("inf")))
        self._changed.set()

    def _take_due(self) -> list[kinds.ResourceKind]:
        due = [kind for kind, moment in self._due.items() if moment <= self._now()]
        for kind in due:
            del self._due[kind]
        return due

    async def _wait_until_due(self) -> None:
        self._changed.clear()
        first = min(self._due.values(), default=None)
        seconds = None if first is None else max(0.0, first - self._now())
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


async def _until_it_works(attempt: Callable[[], Awaitable[None]]) -> None:
    failures = 0
    while True:
        try:
            await attempt()
        except ApiError as error:
            _LOG.warning("Cannot list", error=error.message)
            await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
            failures += 1
        else:
            return
