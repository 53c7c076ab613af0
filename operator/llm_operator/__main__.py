"""Wire the operator: settings, logs, client, cache, watches, elector, workers, probes.

Start: probes at once, then watches and elector side by side, so that a standby keeps its cache
warm; workers begin when this process leads and every kind was listed. SIGTERM: not ready → watches
stop → passes in hand end → the Lease is released → exit 0. A Lease that is lost, or any part that
ends by itself, ends the process with 1: its Deployment starts it anew, and a standby takes over.
"""

import asyncio
import contextlib
import random
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry

from llm_operator.bridge import Bridge
from llm_operator.cluster.cache import Cache, ResourceKey
from llm_operator.cluster.client import ClusterClient
from llm_operator.cluster.informer import Informer, Scope
from llm_operator.cluster.lease import Candidate, Elector, LeaseTiming
from llm_operator.cluster.transport import Transport, connect
from llm_operator.desired.pod import CURRENT_RENDERER
from llm_operator.evidence import EvidenceReader
from llm_operator.gathering import Gatherer
from llm_operator.health import LAG_LIMIT_SECONDS, LoopWatch, ProbeServer
from llm_operator.logs import configure_logs
from llm_operator.observation import Environment
from llm_operator.queue import WorkQueue
from llm_operator.scrape import HttpFetch, Scraper
from llm_operator.settings import OperatorSettings, SettingsInvalid, read_settings
from llm_operator.telemetry import Telemetry
from llm_operator.worker import Worker, utc_now

_LOG: Final = structlog.get_logger("llm_operator")
_STUCK_SECONDS: Final = 600.0
"""No pass takes so long: each of its requests has a deadline."""


@dataclass(slots=True)
class Operator:
    """All parts of one process, and the order in which they begin and end."""

    settings: OperatorSettings
    transport: Transport
    telemetry: Telemetry
    queue: WorkQueue[ResourceKey]
    worker: Worker
    informer: Informer
    bridge: Bridge
    elector: Elector
    loop_watch: LoopWatch
    fetch: HttpFetch
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run(self) -> int:
        """Run until a signal or a failure; return the exit code."""
        async with self.fetch:
            return await self._run()

    async def _run(self) -> int:
        self._listen_for_signals()
        probes = ProbeServer(
            self.settings.probe_port, self.liveness, self.readiness, self.telemetry.exposition
        )
        await probes.start()
        parts = [
            asyncio.create_task(part, name=name)
            for name, part in {
                "lists": self.informer.run(),
                "watches": self.bridge.run(),
                "election": self.elector.run(),
                "workers": self._work(),
                "loop": self.loop_watch.run(),
                "signal": self._stopping.wait(),
            }.items()
        ]
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        code = _exit_code(done)
        self._stopping.set()
        await self._stop(parts)
        await probes.stop()
        await self.transport.close()
        return code

    def liveness(self) -> str | None:
        """Return why the process should be started anew, or None."""
        lag, in_hand = self.loop_watch.lag_seconds, self.queue.longest_in_hand_seconds
        if lag > LAG_LIMIT_SECONDS:
            return f"the event loop lags by {lag:.1f} s"
        if in_hand > _STUCK_SECONDS:
            return f"a pass has been running for {in_hand:.0f} s"
        return None

    def readiness(self) -> str | None:
        """Return why the process is not ready, or None; a standby is ready."""
        if self._stopping.is_set():
            return "stopping"
        return None if self.informer.synced.is_set() else "not everything has been listed yet"

    def _listen_for_signals(self) -> None:
        """Stop in order on the signals that ask for it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)

    async def _work(self) -> None:
        await self.elector.elected.wait()
        await self.informer.synced.wait()
        _LOG.info("Started workers", workers=self.settings.workers, term=self.elector.term)
        async with asyncio.TaskGroup() as group:
            for _ in range(self.settings.workers):
                group.create_task(self.worker.run())

    async def _stop(self, parts: list[asyncio.Task[Any]]) -> None:
        """End in order: passes in hand, watches, Lease."""
        _LOG.info("Stopping")
        self.queue.close()
        by_name = {part.get_name(): part for part in parts}
        ending = [by_name["workers"]] if self.elector.elected.is_set() else []
        if ending:
            await asyncio.wait(ending, timeout=self.settings.drain_seconds)
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        await self.elector.release()


def _exit_code(done: set[asyncio.Task[Any]]) -> int:
    """Return 0 for a stop that was asked for, and 1 for a part that ended by an error."""
    code = 0
    for part in done:
        error = part.exception()
        if error is not None:
            _LOG.error("A part ended", part=part.get_name(), error=repr(error))
            code = 1
    return code


async def assemble(settings: OperatorSettings) -> Operator:
    """Connect and wire everything; raises ConnectionError without usable credentials."""
    identity = f"{settings.pod_name or socket.gethostname()}_{time.time_ns():x}"
    telemetry = Telemetry(CollectorRegistry())
    transport = await connect(settings.request_timeout_seconds, settings.workers + 8)
    elector: Elector
    client = ClusterClient(
        transport,
        gate=lambda: elector.is_leader(),  # noqa: PLW0108 - the elector comes after its client
        record=lambda r: telemetry.requested(r.verb, r.kind, r.code, r.seconds),
    )
    elector = Elector(
        client,
        Candidate(settings.namespace, settings.lease_name, identity),
        LeaseTiming(
            duration=settings.lease_duration_seconds,
            renew_deadline=settings.lease_renew_deadline_seconds,
            retry=settings.lease_retry_seconds,
            request_timeout=settings.request_timeout_seconds,
        ),
        utc_now,
        random.SystemRandom(),
    )
    cache = Cache(time.monotonic)
    queue = WorkQueue[ResourceKey](time.monotonic, random.SystemRandom())
    scope = Scope(settings.watch_namespace or None, settings.relist_seconds)
    rng = random.SystemRandom()
    informer = Informer(client, cache, queue, scope, rng, telemetry.missed)
    bridge = Bridge(informer, transport.credentials, rng, telemetry.watch_restarted)
    loop_watch = LoopWatch()
    telemetry.observe(
        leads=elector.is_leader, depth=lambda: queue.depth, lag=lambda: loop_watch.lag_seconds
    )
    fetch = HttpFetch()
    worker = Worker(
        cache=cache,
        client=client,
        queue=queue,
        telemetry=telemetry,
        gatherer=Gatherer(
            cache,
            Scraper(fetch, utc_now, telemetry.scraped),
            EvidenceReader(client, settings.watch_namespace, utc_now),
        ),
        environment=lambda: Environment(
            settings.server_image,
            CURRENT_RENDERER,
            informer.optional_kinds,
            informer.unlimited_gateways,
        ),
        identity=identity,
    )
    return Operator(
        settings, transport, telemetry, queue, worker, informer, bridge, elector, loop_watch, fetch
    )


async def _serve(settings: OperatorSettings) -> int:
    try:
        operator = await assemble(settings)
    except ConnectionError as error:
        _LOG.error("Cannot reach a cluster", error=str(error))
        return 1
    try:
        return await operator.run()
    except OSError as error:
        _LOG.error("Cannot listen for probes", port=settings.probe_port, error=str(error))
        return 1


def main() -> None:
    """Run the operator until it is told to stop."""
    try:
        settings = read_settings()
    except SettingsInvalid as error:
        sys.exit(f"llm-operator: {error}")
    configure_logs(settings.log_level, settings.log_format)
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(_serve(settings)))


if __name__ == "__main__":
    main()
