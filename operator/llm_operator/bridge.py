"""The watches: the only module that knows kopf, which is used as a watcher and nothing else.

Only ``on.event`` handlers are registered; with these alone kopf writes nothing to the cluster. They
hand over what they are told and decide nothing.

kopf runs in a thread with an event loop of its own, because it takes the process's signals where
it runs in the main thread, and because in the end it cancels every task of its loop that is younger
than itself. When it ends by an error it is started again; cache, queue and Lease live on.
"""

import asyncio
import logging
import random
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

import kopf
import structlog

from llm_operator import kinds
from llm_operator.cluster.informer import Informer
from llm_operator.cluster.transport import Credentials

_LOG: Final = structlog.get_logger("llm_operator.bridge")

BACKOFF_SECONDS: Final = 0.5
BACKOFF_LIMIT_SECONDS: Final = 5.0
"""Low, because it bounds how long after an outage the first news is heard; and it is one request
per kind."""
STABLE_SECONDS: Final = 60.0
"""Watches that lasted so long are begun anew without a long wait."""
STOP_SECONDS: Final = 8.0
"""How long kopf may take to end; its thread is a daemon and does not hold the process."""


@dataclass(frozen=True, slots=True)
class JitteredForever:
    """Endless delays, doubling up to a limit, with jitter; each iteration begins anew."""

    rng: random.Random

    def __iter__(self) -> Iterator[float]:
        delay = BACKOFF_SECONDS
        while True:
            yield delay * self.rng.uniform(0.5, 1.5)
            delay = min(BACKOFF_LIMIT_SECONDS, delay * 2)


class Bridge:
    """Watches what the informer wants watched, for as long as it runs."""

    def __init__(
        self,
        informer: Informer,
        credentials: Callable[[], Awaitable[Credentials]],
        rng: random.Random,
        report_restart: Callable[[], None],
    ) -> None:
        """``credentials`` returns those that are valid now, for kopf's own connections."""
        self._informer = informer
        self._credentials = credentials
        self._rng = rng
        self._report_restart = report_restart

    async def run(self) -> None:
        """Watch until cancelled; watches that end by themselves are begun anew."""
        await self._informer.synced.wait()
        delays = iter(JitteredForever(self._rng))
        while True:
            started = asyncio.get_running_loop().time()
            if await self._watch():
                continue
            self._report_restart()
            if asyncio.get_running_loop().time() - started > STABLE_SECONDS:
                delays = iter(JitteredForever(self._rng))
            await asyncio.sleep(next(delays))

    async def _watch(self) -> bool:
        """Watch once; return whether it ended only because other kinds are to be watched."""
        await self._informer.learn_kinds()
        self._informer.rewatch.clear()
        watcher = _Watcher(self._informer, self._credentials, self._rng)
        ended = asyncio.wrap_future(watcher.start())
        self._informer.expect_gaps()
        rewatch = asyncio.ensure_future(self._informer.rewatch.wait())
        awaited: set[asyncio.Future[Any]] = {ended, rewatch}
        try:
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            rewatch.cancel()
            watcher.stop()
            await asyncio.wait({ended}, timeout=STOP_SECONDS)
        if not ended.done() or self._informer.rewatch.is_set():
            return True
        _LOG.warning("The watches ended", error=ended.result())
        return False


class _Watcher:
    """One run of kopf in its thread."""

    def __init__(
        self,
        informer: Informer,
        credentials: Callable[[], Awaitable[Credentials]],
        rng: random.Random,
    ) -> None:
        self._informer = informer
        self._credentials = credentials
        self._watched = informer.watched
        self._settings = kopf_settings(informer.watched, rng)
        self._home = asyncio.get_running_loop()
        self._inbox: deque[tuple[kinds.ResourceKind, str | None, Any]] = deque()
        self._ended: Future[str] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = threading.Event()
        self._stop_flag: asyncio.Event | None = None

    def start(self) -> Future[str]:
        """Start the thread; the future ends with it and tells why."""
        threading.Thread(target=self._main, name="watches", daemon=True).start()
        return self._ended

    def stop(self) -> None:
        """Have kopf end."""
        self._stopping.set()
        if self._loop is not None and self._stop_flag is not None:
            try:
                self._loop.call_soon_threadsafe(self._stop_flag.set)
            except RuntimeError:
                return  # the loop is closed: it has ended

    def _main(self) -> None:
        try:
            asyncio.run(self._operate())
        except BaseException as error:  # noqa: BLE001 - told to the supervisor, whatever it is
            reason = repr(error)
        else:
            reason = "no error"
        self._settings.execution.executor.shutdown(wait=False)
        self._ended.set_result(reason)

    async def _operate(self) -> None:
        self._stop_flag = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_note)
        if self._stopping.is_set():
            return
        namespace = self._informer.namespace
        await kopf.operator(
            registry=self._registry(),
            settings=self._settings,
            standalone=True,
            clusterwide=namespace is None,
            namespaces=[namespace] if namespace else [],
            stop_flag=self._stop_flag,
        )

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        kopf.on.cleanup(registry=registry)(self._let_go)
        for kind in self._watched:
            register = kopf.on.event(
                kind.group, kind.version, kind.plural, registry=registry, id=kind.plural
            )
            register(self._handler(kind))
        return registry

    def _handler(self, kind: kinds.ResourceKind) -> Any:
        async def on_event(event: kopf.RawEvent, **_: Any) -> None:
            self._inbox.append((kind, event["type"], event["object"]))
            self._home.call_soon_threadsafe(self._deliver)

        return on_event

    def _deliver(self) -> None:
        """Hand over all that has come in; runs in the loop of the process."""
        while self._inbox:
            kind, change, obj = self._inbox.popleft()
            self._informer.receive(kind, change, obj)

    async def _let_go(self, **_: Any) -> None:
        """End kopf's wait for the flag, for which a broken run would otherwise stay 5 s more."""
        if self._stop_flag is not None:
            self._stop_flag.set()

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        asked = asyncio.run_coroutine_threadsafe(_ask(self._credentials), self._home)
        credentials = await asyncio.wrap_future(asked)
        return kopf.ConnectionInfo(
            server=credentials.server,
            insecure=credentials.insecure,
            token=credentials.token,
            ca_path=credentials.ca_path,
            certificate_path=credentials.certificate_path,
            private_key_path=credentials.private_key_path,
            proxy_url=credentials.proxy_url,
            trust_env=credentials.trust_env,
        )


def _note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say quietly what kopf's tasks left behind; why the watches ended is told once, elsewhere."""
    logging.getLogger(__name__).debug("A task of the watches failed: %r", context.get("exception"))


async def _ask(credentials: Callable[[], Awaitable[Credentials]]) -> Credentials:
    return await credentials()


def kopf_settings(
    watched: tuple[kinds.ResourceKind, ...], rng: random.Random
) -> kopf.OperatorSettings:
    """Return settings under which kopf lists and watches, and does nothing else.

    ``worker_limit`` stays unset: an idle worker keeps its slot for seconds, so a limit throttles.
    """
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # "signals are ignored"
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = None
    settings.queueing.idle_timeout = 0.5  # what is idle would hold up the end of a broken run
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.networking.request_timeout = 15
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = JitteredForever(rng)
    settings.watching.connect_timeout = 10
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.chunk_size = 500
    for kind in watched:
        if kind != kinds.LLM_DEPLOYMENT:
            resource = (kind.group, kind.version, kind.plural)
            settings.watching.label_selectors[resource] = kinds.WATCH_SELECTOR
    return settings
