"""The watches: the only module that knows kopf, which is used as informer and nothing else.

Handlers put what they are told into the cache and ring the queue with the key of the resource that
it concerns; they decide nothing. kopf writes nothing to the cluster with ``on.event`` alone. It
never reports what vanished while a watch was down, so everything is listed again by our own client
from time to time (``relist``). kopf is supervised: when it ends by an error it is started again,
and caches, queue and Lease live on.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import kopf
import structlog

from llm_operator import kinds
from llm_operator.cluster.cache import Cache, ResourceKey, parent_key
from llm_operator.cluster.client import ClusterClient
from llm_operator.cluster.errors import ApiError
from llm_operator.cluster.transport import Credentials
from llm_operator.queue import Lane, WorkQueue
from llm_operator.telemetry import Telemetry

_LOG: Final = structlog.get_logger("llm_operator.bridge")

BACKOFF_LIMIT_SECONDS: Final = 30.0
_STABLE_SECONDS: Final = 60.0
"""A run of kopf that lasted so long ends the back-off."""


@dataclass(frozen=True, slots=True)
class _JitteredForever:
    """Endless growing delays with jitter: kopf only lists and watches, so it can wait for ever."""

    rng: random.Random

    def __iter__(self) -> Iterator[float]:
        delay = 0.5
        while True:
            yield delay * self.rng.uniform(0.5, 1.5)
            delay = min(BACKOFF_LIMIT_SECONDS, delay * 2)


@dataclass(slots=True)
class Bridge:
    """Keeps the cache in step with the cluster and rings the queue."""

    cache: Cache
    queue: WorkQueue[ResourceKey]
    client: ClusterClient
    credentials: Callable[[], Awaitable[Credentials]]
    """Returns what is valid now, for kopf's own connections."""
    telemetry: Telemetry
    namespace: str | None
    """The one namespace to watch; None: all."""
    relist_seconds: float
    rng: random.Random
    on_watching: Callable[[], None] = lambda: None
    """Called when kopf runs; it has installed signal handlers of its own by then."""
    service_monitors_known: bool = False
    is_watching: bool = False
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _restart: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    @property
    def watched_kinds(self) -> tuple[kinds.ResourceKind, ...]:
        """The kinds that this cluster has, of those that are watched."""
        missing = set() if self.service_monitors_known else {kinds.SERVICE_MONITOR}
        return tuple(
            kind for kind in (kinds.LLM_DEPLOYMENT, *kinds.WATCHED_KINDS) if kind not in missing
        )

    def is_synced(self) -> bool:
        """Whether every watched kind has been listed once."""
        return self.cache.is_synced(self.watched_kinds)

    async def run(self) -> None:
        """List, watch and list again until ``stop``."""
        await self._list_until_synced()
        relisting = asyncio.create_task(self._relist_forever())
        try:
            await self._supervise()
        finally:
            relisting.cancel()

    def stop(self) -> None:
        """End the watches soon."""
        self._stopping.set()
        self._restart.set()

    async def relist(self) -> None:
        """List every kind, repair the cache and have all resources looked at."""
        known = await self.client.serves(kinds.SERVICE_MONITOR)
        if known != self.service_monitors_known:
            self.service_monitors_known = known
            self._restart.set()
        for kind in self.watched_kinds:
            await self._relist_kind(kind)
        for key in self.cache.resources():
            self.queue.add(key, Lane.RESYNC)

    async def _relist_kind(self, kind: kinds.ResourceKind) -> None:
        selector = None if kind == kinds.LLM_DEPLOYMENT else kinds.WATCH_SELECTOR
        was_synced = self.cache.is_synced((kind,))
        listing = await self.client.list(kind, self.namespace, selector)
        found = self.cache.replace(kind, listing.items, listing.resource_version)
        if was_synced and (found.ghosts or found.missed):
            self.telemetry.missed(kind.kind, found.ghosts + found.missed)
        for key in found.changed:
            self.queue.add(key, Lane.EDIT)

    async def _list_until_synced(self) -> None:
        for delay in _JitteredForever(self.rng):
            try:
                await self.relist()
            except ApiError as error:
                _LOG.warning("Cannot list", error=str(error))
                await asyncio.sleep(delay)
            else:
                return

    async def _relist_forever(self) -> None:
        while True:
            await asyncio.sleep(self.relist_seconds * self.rng.uniform(0.9, 1.1))
            try:
                await self.relist()
            except ApiError as error:
                _LOG.warning("Cannot list", error=str(error))

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        delays = iter(_JitteredForever(self.rng))
        while not self._stopping.is_set():
            started = loop.time()
            self._restart.clear()
            try:
                await self._watch()
            except Exception:  # noqa: BLE001 - whatever ended the watches, they begin again
                _LOG.exception("The watches ended")
            finally:
                self.is_watching = False
            if self._stopping.is_set() or not self._restart.is_set():
                return  # asked to stop, by us or by a signal that kopf caught
            self.telemetry.watch_restarted()
            if loop.time() - started > _STABLE_SECONDS:
                delays = iter(_JitteredForever(self.rng))
            await asyncio.sleep(next(delays))

    async def _watch(self) -> None:
        ready = asyncio.Event()
        announcing = asyncio.create_task(self._announce(ready))
        try:
            await kopf.operator(
                registry=self._registry(),
                settings=_kopf_settings(self.watched_kinds, self.rng),
                standalone=True,
                clusterwide=self.namespace is None,
                namespaces=[self.namespace] if self.namespace else [],
                stop_flag=self._restart,
                ready_flag=ready,
            )
        except BaseException:
            self._restart.set()  # not asked for: begin again
            raise
        finally:
            announcing.cancel()

    async def _announce(self, ready: asyncio.Event) -> None:
        await ready.wait()
        self.is_watching = True
        self.on_watching()

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        for kind in self.watched_kinds:
            kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=kind.plural)(
                self._handler(kind)
            )
        return registry

    def _handler(self, kind: kinds.ResourceKind) -> Any:
        async def on_event(event: kopf.RawEvent, **_: Any) -> None:
            self.take(kind, event["type"], event["object"])

        return on_event

    def take(self, kind: kinds.ResourceKind, change: str | None, obj: Any) -> None:
        """Put what a watch says into the cache, and ring if it is news."""
        if obj.get("metadata", {}).get("namespace") is None:
            return
        obj.setdefault("apiVersion", kind.api_version)
        obj.setdefault("kind", kind.kind)
        is_gone = change == "DELETED"
        is_news = self.cache.delete(kind, obj) if is_gone else self.cache.put(kind, obj)
        key = parent_key(kind, obj)
        if is_news and key is not None:
            self.queue.add(key, Lane.EDIT)

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        credentials = await self.credentials()
        return kopf.ConnectionInfo(
            server=credentials.server,
            insecure=credentials.insecure,
            token=credentials.token,
            ca_path=credentials.ca_path,
            certificate_path=credentials.certificate_path,
            private_key_path=credentials.private_key_path,
        )


def _kopf_settings(
    watched: tuple[kinds.ResourceKind, ...], rng: random.Random
) -> kopf.OperatorSettings:
    """Return settings under which kopf lists and watches, and does nothing else.

    ``worker_limit`` stays unset: an idle worker keeps its slot for seconds, so a limit throttles.
    """
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.networking.request_timeout = 15
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = _JitteredForever(rng)  # endless, and begins anew
    settings.watching.connect_timeout = 10
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.chunk_size = 500
    for kind in watched:
        if kind != kinds.LLM_DEPLOYMENT:
            resource = (kind.group, kind.version, kind.plural)
            settings.watching.label_selectors[resource] = kinds.WATCH_SELECTOR
    return settings
