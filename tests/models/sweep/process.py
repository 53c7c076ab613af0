"""One process of the operator, until it is killed: everything but kopf, election and probes."""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import aiohttp
from kubernetes.aio.client.configuration import Configuration
from prometheus_client import CollectorRegistry

from llm_operator import kinds
from llm_operator.cluster.cache import Cache, ResourceKey
from llm_operator.cluster.client import ClusterClient
from llm_operator.cluster.errors import ApiError
from llm_operator.cluster.informer import Informer, Scope
from llm_operator.cluster.transport import Answer, Request, Transport
from llm_operator.evidence import EvidenceReader
from llm_operator.gathering import Gatherer
from llm_operator.observation import Environment
from llm_operator.queue import WorkQueue
from llm_operator.scrape import Fetch, Scraper
from llm_operator.telemetry import Telemetry
from llm_operator.worker import Worker
from tests.builders import ENVIRONMENT, NOW
from tests.models.sweep.faults import Fault, Faults
from tests.models.sweep.wire import Wire

PROCESS_HEADER = "X-Process"
REQUEST_SECONDS = 5.0
RELIST_SECONDS = 60.0
SOONEST_RELIST_SECONDS = 0.9 * RELIST_SECONDS  # the informer spreads its rounds by a tenth


def now() -> datetime:
    """Return the time of the run, which is that of its event loop."""
    return NOW + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What outlives a process."""

    url: str
    wire: Wire
    faults: Faults
    fetch: Fetch
    begin_pass: Callable[[], None]
    """Told of each pass before it decides."""


class MortalTransport(Transport):
    """The product's transport in a process that can be killed between any two of its steps."""

    def __init__(self, around: Surroundings) -> None:
        configuration = Configuration(host=around.url)
        configuration.client_session_kwargs = {"trust_env": False}  # as in a pod
        super().__init__(configuration, REQUEST_SECONDS)
        self._around = around
        self.killed = asyncio.Event()

    async def send(self, request: Request) -> Answer:
        """Send a request, if the process lives to do so, and return to it what is answered."""
        is_write = request.method != "GET"
        self._stop_if_killed()
        if not is_write:
            self._around.faults.read(request)
        elif self._around.faults.meet(request) is Fault.KILLED_BEFORE:
            self.killed.set()
        self._stop_if_killed()
        try:
            with self._around.wire.request(is_write=is_write):
                return await super().send(request)
        finally:
            self._stop_if_killed()

    def _stop_if_killed(self) -> None:
        if self.killed.is_set():
            raise asyncio.CancelledError


class Process:
    """One life of the operator; knows only what the API server tells it."""

    def __init__(self, name: str, around: Surroundings) -> None:
        self.name = name
        self._around = around
        self._transport = MortalTransport(around)
        client = ClusterClient(self._transport, lambda: True, lambda _: None)
        clock, rng = asyncio.get_running_loop().time, random.Random(0)
        queue = WorkQueue[ResourceKey](clock, rng)
        cache = Cache(clock)
        scope = Scope(None, RELIST_SECONDS)
        self._client = client
        self._informer = Informer(client, cache, queue, scope, rng, lambda _, __: None)
        telemetry = Telemetry(CollectorRegistry())
        self._worker = Worker(
            cache=cache,
            client=client,
            queue=queue,
            telemetry=telemetry,
            gatherer=Gatherer(
                cache,
                Scraper(around.fetch, now, telemetry.scraped),
                EvidenceReader(client, "", now),
            ),
            environment=self._begin_pass,
            identity=name,
            now=now,
        )

    def kill(self) -> None:
        """End the process as SIGKILL does."""
        self._transport.killed.set()

    async def run(self) -> None:
        """Live until killed."""
        async with aiohttp.ClientSession(headers={PROCESS_HEADER: self.name}) as session:
            parts = [
                asyncio.create_task(part)
                for part in (self._informer.run(), self._work(), self._watch_all(session))
            ]
            try:
                await self._transport.killed.wait()
            finally:
                for part in parts:
                    part.cancel()
                await asyncio.gather(*parts, return_exceptions=True)
                self._around.wire.end(self.name)
                await self._transport.close()

    def _begin_pass(self) -> Environment:
        self._around.begin_pass()
        return ENVIRONMENT

    async def _work(self) -> None:
        await self._informer.synced.wait()
        await self._worker.run()

    async def _watch_all(self, session: aiohttp.ClientSession) -> None:
        await self._informer.synced.wait()
        async with asyncio.TaskGroup() as group:
            for kind in self._informer.watched:
                group.create_task(self._watch(session, kind))
        raise AssertionError("the watches never end by themselves")

    async def _watch(self, session: aiohttp.ClientSession, kind: kinds.ResourceKind) -> None:
        """List and watch a kind, as kopf does."""
        selector = None if kind == kinds.LLM_DEPLOYMENT else kinds.WATCH_SELECTOR
        while True:
            try:
                listing = await self._client.list(kind, None, selector)
                for item in listing.items:
                    self._informer.receive(kind, None, item)
                await self._follow(session, kind, listing.resource_version)
            except ApiError:
                await asyncio.sleep(1)

    async def _follow(
        self, session: aiohttp.ClientSession, kind: kinds.ResourceKind, version: str
    ) -> None:
        query = {"watch": "true", "resourceVersion": version}
        url = f"{self._around.url}{kind.path()}"
        async with session.get(url, params=query, timeout=aiohttp.ClientTimeout()) as answer:
            async for line in answer.content:
                self._around.wire.read(self.name)
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                self._informer.receive(kind, event["type"], event["object"])
