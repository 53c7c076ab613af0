"""Watches, lists and cache together: kopf itself against an API server with faults."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from llm_operator import kinds
from llm_operator.bridge import Bridge, JitteredForever, kopf_settings
from llm_operator.cluster.cache import Cache, ResourceKey
from llm_operator.cluster.client import ClusterClient
from llm_operator.cluster.informer import Informer, Scope
from llm_operator.queue import WorkQueue
from tests.models.apiserver import ApiServerModel
from tests.models.http_apiserver import WATCHED, HttpApiServer, serving

KEY = ResourceKey("default", "chat")
LABELS = {kinds.MANAGED_BY_LABEL: kinds.FIELD_MANAGER, kinds.INSTANCE_LABEL: "chat"}


def an_object(name: str, **body: Any) -> dict[str, Any]:
    """An object that belongs to the resource ``chat``."""
    return {"metadata": {"name": name, "namespace": "default", "labels": LABELS}, **body}


@dataclass
class Running:
    """A bridge at work."""

    server: HttpApiServer
    cache: Cache
    queue: WorkQueue[ResourceKey]
    informer: Informer
    missed: list[tuple[str, int]]
    restarts: list[float]

    @property
    def model(self) -> ApiServerModel:
        return self.server.model

    def drain(self) -> list[ResourceKey]:
        """Take and finish all keys that wait."""
        taken = []
        while (key := self.queue.take()) is not None:
            taken.append(key)
            self.queue.done(key)
        return taken


async def until(probe: Callable[[], object], within_seconds: float = 15) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + within_seconds
    while True:
        if probe():
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def kinds_of(watched: tuple[kinds.ResourceKind, ...]) -> set[str]:
    """The names of some kinds."""
    return {kind.kind for kind in watched}


@asynccontextmanager
async def running(model: ApiServerModel) -> AsyncIterator[Running]:
    """Run informer and bridge on a model behind HTTP."""
    async with serving(model) as server:
        transport = server.transport()
        cache = Cache(time.monotonic)
        queue = WorkQueue[ResourceKey](time.monotonic, random.Random(0))
        client = ClusterClient(transport, lambda: False, lambda _: None)
        missed: list[tuple[str, int]] = []
        restarts: list[float] = []
        informer = Informer(
            client,
            cache,
            queue,
            Scope(None, relist_seconds=600, settle_seconds=0.2),
            random.Random(0),
            lambda kind, count: missed.append((kind, count)),
        )
        bridge = Bridge(
            informer, transport.credentials, random.Random(0), lambda: restarts.append(0)
        )
        tasks = [asyncio.create_task(informer.run()), asyncio.create_task(bridge.run())]
        try:
            yield Running(server, cache, queue, informer, missed, restarts)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await transport.close()


@pytest.fixture
async def bridge() -> AsyncIterator[Running]:
    """A bridge that watches a cluster with one resource and one Service of it."""
    model = ApiServerModel()
    model.unserved |= kinds.OPTIONAL_KINDS
    model.create(kinds.LLM_DEPLOYMENT, an_object("chat", spec={"replicas": 1}), "kubectl")
    model.create(kinds.SERVICE, an_object("chat", spec={"a": 1}), "llm-operator")
    async with running(model) as run:
        await until(lambda: run.server.watching == kinds_of(run.informer.watched))
        await until(lambda: len(run.server.lists) > 2 * len(run.informer.watched))
        run.drain()
        yield run


async def test_every_change_reaches_cache_and_queue(bridge: Running) -> None:
    """An object that is made, changed or deleted is known at once, and its resource is rung."""
    bridge.model.create(kinds.POD, an_object("pod", status={"phase": "Pending"}), "kubelet")
    await until(lambda: bridge.cache.pods(KEY))
    assert bridge.drain() == [KEY]
    bridge.model.edit(
        kinds.POD, ("default", "pod"), lambda pod: pod.update(status={"phase": "Running"})
    )
    await until(lambda: bridge.cache.pods(KEY)[0]["status"]["phase"] == "Running")
    assert bridge.drain() == [KEY]
    bridge.model.remove(kinds.POD, "default", "pod")
    await until(lambda: not bridge.cache.pods(KEY))
    assert bridge.drain() == [KEY]


async def test_an_own_write_that_was_fed_back_rings_nobody(bridge: Running) -> None:
    """The watch's echo of an answer that the cache has already is no news."""
    answer = bridge.model.edit(
        kinds.SERVICE, ("default", "chat"), lambda obj: obj["spec"].update(a=2)
    )
    bridge.cache.put(kinds.SERVICE, answer)
    bridge.model.create(kinds.POD, an_object("mark"), "kubelet")
    await until(lambda: bridge.cache.pods(KEY))
    assert bridge.drain() == [KEY]
    await asyncio.sleep(0.3)
    assert bridge.drain() == []


async def test_what_vanished_while_the_watch_was_down_is_found(bridge: Running) -> None:
    """After a gap kopf reports no deletion; a list soon after finds the ghost and rings."""
    bridge.server.deaf = True
    bridge.model.remove(kinds.SERVICE, "default", "chat")
    bridge.server.deaf = False
    bridge.model.create(kinds.SERVICE, an_object("other"), "kubectl")
    bridge.server.expire_watches()
    await until(lambda: (kinds.SERVICE, "chat") not in bridge.cache.children(KEY))
    assert ("Service", 1) in bridge.missed
    assert KEY in bridge.drain()


async def test_watches_that_break_are_begun_anew(bridge: Running) -> None:
    """An error in a watch ends kopf; it is started again and nothing is missed for long."""
    bridge.server.deaf = True
    bridge.model.remove(kinds.SERVICE, "default", "chat")
    bridge.server.deaf = False
    bridge.server.break_watches()
    await until(lambda: bridge.restarts)
    await until(lambda: bridge.server.watching == kinds_of(bridge.informer.watched))
    await until(lambda: bridge.cache.children(KEY) == {})
    bridge.model.create(kinds.POD, an_object("pod"), "kubelet")
    await until(lambda: bridge.cache.pods(KEY))


async def test_a_watch_that_ends_in_good_order_goes_on(bridge: Running) -> None:
    """The API server ends watches every few minutes; that is no restart."""
    begun = bridge.server.watches_begun
    bridge.server.cut_watches()
    await until(lambda: bridge.server.watches_begun == begun + len(bridge.informer.watched))
    bridge.model.create(kinds.POD, an_object("pod"), "kubelet")
    await until(lambda: bridge.cache.pods(KEY))
    assert bridge.restarts == []


async def test_an_outage_of_the_api_server_is_waited_out(bridge: Running) -> None:
    """While every request fails nothing ends; news is heard within 10 s of its end."""
    bridge.server.status = 503
    bridge.server.cut_watches()
    bridge.model.create(kinds.POD, an_object("pod"), "kubelet")
    await asyncio.sleep(3)
    assert not bridge.cache.pods(KEY)
    bridge.server.status = 200
    await until(lambda: bridge.cache.pods(KEY), within_seconds=10)
    assert bridge.restarts == []


async def test_only_labelled_children_are_listed_and_watched(bridge: Running) -> None:
    """Objects of others never enter the cache: the API server filters them."""
    stranger = {"metadata": {"name": "stranger", "namespace": "default", "labels": {}}}
    bridge.model.create(kinds.SERVICE, stranger, "kubectl")
    bridge.server.expire_watches()
    await until(lambda: bridge.server.watching == kinds_of(bridge.informer.watched))
    settings = kopf_settings(WATCHED, random.Random(0))
    for kind in kinds.WATCHED_KINDS:
        resource = (kind.group, kind.version, kind.plural)
        assert settings.watching.label_selectors[resource] == kinds.WATCH_SELECTOR


async def test_service_monitors_are_watched_only_where_they_exist(bridge: Running) -> None:
    """A kind that the cluster does not have is neither listed nor watched."""
    assert "ServiceMonitor" not in bridge.server.watching | set(bridge.server.lists)
    assert kinds.SERVICE_MONITOR not in bridge.informer.optional_kinds


async def test_a_kind_that_comes_later_is_taken_up() -> None:
    """When the cluster learns ServiceMonitors, the next round of lists begins to watch them."""
    model = ApiServerModel()
    model.unserved |= kinds.OPTIONAL_KINDS
    async with running(model) as run:
        await until(lambda: run.server.watching == kinds_of(run.informer.watched))
        model.unserved.clear()
        run.informer.expect_gaps()
        await until(lambda: "ServiceMonitor" in run.server.watching)
        assert kinds.SERVICE_MONITOR in run.informer.optional_kinds
        assert run.restarts == []


async def test_nothing_begins_before_the_own_kind_exists() -> None:
    """Without its CRD the operator waits and is not ready; when it comes, work begins."""
    model = ApiServerModel()
    model.unserved = {*kinds.OPTIONAL_KINDS, kinds.LLM_DEPLOYMENT}
    async with running(model) as run:
        await asyncio.sleep(0.5)
        assert not run.informer.synced.is_set()
        model.unserved = set(kinds.OPTIONAL_KINDS)
        await until(run.informer.synced.is_set)
        await until(lambda: "LLMDeployment" in run.server.watching)


async def test_the_signals_of_the_process_stay_ours(bridge: Running) -> None:
    """Kopf installs no handler: SIGTERM does what the process has set, and nothing else."""
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, heard.set)
    try:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(heard.wait(), 2)
        bridge.model.create(kinds.POD, an_object("pod"), "kubelet")
        await until(lambda: bridge.cache.pods(KEY))
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def test_delays_grow_to_their_limit_and_begin_anew() -> None:
    """Kopf iterates the delays once per request: each time they start short again."""
    delays = JitteredForever(random.Random(0))
    for _ in range(2):
        drawn = [delay for delay, _ in zip(delays, range(20), strict=False)]
        assert drawn[0] <= 0.75
        assert 2.5 <= drawn[-1] <= 7.5
