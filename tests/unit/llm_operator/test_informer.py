"""Lists in virtual time: first, again and again, and after a watch began anew."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from llm_operator import kinds
from llm_operator.cluster.cache import Cache, ResourceKey
from llm_operator.cluster.errors import ClusterUnavailable, Forbidden
from llm_operator.cluster.informer import DELETED, Informer, Scope
from llm_operator.queue import WorkQueue
from tests.models import virtual_time
from tests.models.apiserver import ApiServerModel

KEY = ResourceKey("default", "chat")
RELIST_SECONDS = 600.0


def an_object(name: str, **body: Any) -> dict[str, Any]:
    """An object that belongs to the resource ``chat``."""
    labels = {kinds.MANAGED_BY_LABEL: kinds.FIELD_MANAGER, kinds.INSTANCE_LABEL: "chat"}
    return {"metadata": {"name": name, "namespace": "default", "labels": labels}, **body}


@dataclass
class Running:
    """An informer at work on a model, without any watch."""

    model: ApiServerModel
    cache: Cache
    queue: WorkQueue[ResourceKey]
    informer: Informer
    missed: list[tuple[str, int]]

    def lists(self) -> int:
        """How many lists were asked for so far."""
        return [verb for verb, _ in self.model.requests].count("list")

    def drain(self) -> list[ResourceKey]:
        """Take and finish all keys that wait."""
        taken = []
        while (key := self.queue.take()) is not None:
            taken.append(key)
            self.queue.done(key)
        return taken


@asynccontextmanager
async def running(model: ApiServerModel) -> AsyncIterator[Running]:
    """Run an informer until the end of a story."""
    clock = asyncio.get_running_loop().time
    missed: list[tuple[str, int]] = []
    cache, queue = Cache(clock), WorkQueue[ResourceKey](clock, random.Random(0))
    informer = Informer(
        model,
        cache,
        queue,
        Scope(None, RELIST_SECONDS),
        random.Random(0),
        lambda kind, count: missed.append((kind, count)),
    )
    task = asyncio.create_task(informer.run())
    try:
        yield Running(model, cache, queue, informer, missed)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def a_cluster() -> ApiServerModel:
    """A cluster with one resource that has a Service, and with none of the optional kinds."""
    model = ApiServerModel()
    model.unserved |= kinds.OPTIONAL_KINDS
    model.create(kinds.LLM_DEPLOYMENT, an_object("chat", spec={"replicas": 1}), "kubectl")
    model.create(kinds.SERVICE, an_object("chat", spec={}), "llm-operator")
    return model


def test_everything_is_listed_before_work_begins() -> None:
    """Synced means that each watched kind was listed; every resource is then looked at."""

    async def story() -> None:
        async with running(a_cluster()) as run:
            await run.informer.synced.wait()
            assert run.lists() == len(run.informer.watched)
            assert run.cache.is_synced(run.informer.watched)
            assert run.drain() == [KEY]
            assert run.missed == []

    virtual_time.run(story())


def test_the_first_lists_are_tried_until_they_succeed() -> None:
    """An API server that is not there yet is waited for, with growing pauses."""

    async def story() -> None:
        model = a_cluster()

        def fail(_: str, __: kinds.ResourceKind) -> None:
            raise ClusterUnavailable("connection refused")

        model.before_request = fail
        async with running(model) as run:
            await asyncio.sleep(60)
            assert not run.informer.synced.is_set()
            assert 5 <= len(model.requests) <= 12
            model.before_request = lambda _, __: None
            await asyncio.wait_for(run.informer.synced.wait(), 11)

    virtual_time.run(story())


def test_a_round_of_lists_finds_what_no_watch_told() -> None:
    """What was made, changed or deleted in silence is found, counted and rung."""

    async def story() -> None:
        async with running(a_cluster()) as run:
            await run.informer.synced.wait()
            run.drain()
            run.model.remove(kinds.SERVICE, "default", "chat")
            run.model.create(kinds.POD, an_object("pod"), "kubelet")
            await asyncio.sleep(RELIST_SECONDS * 1.2)
            assert run.cache.children(KEY) == {}
            assert len(run.cache.pods(KEY)) == 1
            assert sorted(run.missed) == [("Pod", 1), ("Service", 1)]
            assert KEY in run.drain()

    virtual_time.run(story())


def test_each_round_has_every_resource_looked_at() -> None:
    """Even where nothing changed, every resource is looked at once per round of lists."""

    async def story() -> None:
        async with running(a_cluster()) as run:
            await run.informer.synced.wait()
            run.drain()
            for _ in range(3):
                await asyncio.sleep(RELIST_SECONDS * 1.1)
                await asyncio.sleep(RELIST_SECONDS * 0.1)
                assert run.drain() == [KEY]
            assert run.missed == []

    virtual_time.run(story())


def test_a_steady_cluster_costs_one_list_per_kind_and_round() -> None:
    """Nothing but the rounds is asked of a cluster where nothing happens."""

    async def story() -> None:
        async with running(a_cluster()) as run:
            await run.informer.synced.wait()
            before = run.lists()
            await asyncio.sleep(RELIST_SECONDS * 10)
            rounds = (run.lists() - before) / len(run.informer.watched)
            assert 9 <= rounds <= 11
            assert {verb for verb, _ in run.model.requests} == {"list", "discover"}

    virtual_time.run(story())


def test_a_kind_is_listed_again_soon_after_its_watch_began_anew() -> None:
    """The list with which a watch begins may hide a deletion; ours, seconds later, finds it."""

    async def story() -> None:
        async with running(a_cluster()) as run:
            await run.informer.synced.wait()
            other = run.model.create(kinds.SERVICE, an_object("other"), "kubectl")
            run.model.remove(kinds.SERVICE, "default", "chat")
            before = run.lists()
            for _ in range(100):
                run.informer.receive(kinds.SERVICE, None, other)
            await asyncio.sleep(4)
            assert run.lists() == before + 1
            assert set(run.cache.children(KEY)) == {(kinds.SERVICE, "other")}

    virtual_time.run(story())


def test_a_list_that_fails_later_is_tried_again() -> None:
    """An outage delays a round, and the operator goes on."""

    async def story() -> None:
        async with running(a_cluster()) as run:
            await run.informer.synced.wait()

            def fail(_: str, __: kinds.ResourceKind) -> None:
                raise ClusterUnavailable("down")

            run.model.before_request = fail
            await asyncio.sleep(RELIST_SECONDS * 2)
            run.model.before_request = lambda _, __: None
            run.model.create(kinds.POD, an_object("pod"), "kubelet")
            await asyncio.sleep(11)
            assert len(run.cache.pods(KEY)) == 1

    virtual_time.run(story())


def test_news_of_a_watch_is_stored_and_rings_its_resource() -> None:
    """Each change that is news puts the key into the queue; its echo does not."""

    async def story() -> None:
        async with running(a_cluster()) as run:
            await run.informer.synced.wait()
            run.drain()
            changed = run.model.edit(
                kinds.SERVICE, ("default", "chat"), lambda obj: obj["spec"].update(a=1)
            )
            run.informer.receive(kinds.SERVICE, "MODIFIED", changed)
            assert run.drain() == [KEY]
            run.informer.receive(kinds.SERVICE, "MODIFIED", changed)
            assert run.drain() == []
            gone = {**changed, "metadata": {**changed["metadata"], "resourceVersion": "99"}}
            run.informer.receive(kinds.SERVICE, DELETED, gone)
            assert run.drain() == [KEY]

    virtual_time.run(story())


def test_an_object_that_changes_hands_rings_both() -> None:
    """The old resource has lost something and the new one has got it."""

    async def story() -> None:
        async with running(a_cluster()) as run:
            await run.informer.synced.wait()
            run.drain()
            moved = run.model.edit(
                kinds.SERVICE,
                ("default", "chat"),
                lambda obj: obj["metadata"]["labels"].update({kinds.INSTANCE_LABEL: "other"}),
            )
            run.informer.receive(kinds.SERVICE, "MODIFIED", moved)
            assert set(run.drain()) == {KEY, ResourceKey("default", "other")}

    virtual_time.run(story())


def test_a_kind_that_the_cluster_learns_is_listed_and_watched() -> None:
    """ServiceMonitors whose CRD is installed later are taken up with the next round."""

    async def story() -> None:
        model = a_cluster()
        async with running(model) as run:
            await run.informer.synced.wait()
            assert kinds.SERVICE_MONITOR not in run.informer.optional_kinds
            model.unserved.clear()
            await asyncio.wait_for(run.informer.rewatch.wait(), RELIST_SECONDS * 1.2)
            assert kinds.SERVICE_MONITOR in run.informer.optional_kinds
            assert run.cache.is_synced(run.informer.watched)

    virtual_time.run(story())


def a_gateway(name: str, class_name: str) -> dict[str, Any]:
    """A Gateway in the namespace ``infra``."""
    metadata = {"name": name, "namespace": "infra", "labels": {}}
    return {"metadata": metadata, "spec": {"gatewayClassName": class_name}}


def a_gateway_class(name: str, *features: str) -> dict[str, Any]:
    """A class whose implementation says what it supports."""
    return {
        "metadata": {"name": name, "namespace": ""},
        "status": {"supportedFeatures": [{"name": feature} for feature in features]},
    }


def test_gateways_that_can_lift_a_time_limit_are_known() -> None:
    """A Gateway counts when its class lists the feature, and is found with the next round."""

    async def story() -> None:
        model = a_cluster()
        model.unserved.discard(kinds.HTTP_ROUTE)
        model.create(kinds.GATEWAY_CLASS, a_gateway_class("plain", "HTTPRouteMirror"), "admin")
        model.create(kinds.GATEWAY, a_gateway("old", "plain"), "admin")
        async with running(model) as run:
            await run.informer.synced.wait()
            assert run.informer.unlimited_gateways == frozenset()
            timed = a_gateway_class("timed", "HTTPRouteRequestTimeout")
            model.create(kinds.GATEWAY_CLASS, timed, "admin")
            model.create(kinds.GATEWAY, a_gateway("new", "timed"), "admin")
            await asyncio.sleep(RELIST_SECONDS * 1.2)
            assert run.informer.unlimited_gateways == {("infra", "new")}

    virtual_time.run(story())


def test_gateways_that_cannot_be_read_do_not_stop_the_operator() -> None:
    """Without the right to list them everything else is listed, and no limit is lifted."""

    async def story() -> None:
        model = a_cluster()
        model.unserved.discard(kinds.HTTP_ROUTE)

        def forbid(verb: str, kind: kinds.ResourceKind) -> None:
            if kind in (kinds.GATEWAY, kinds.GATEWAY_CLASS):
                raise Forbidden("cannot list", 403)

        model.before_request = forbid
        async with running(model) as run:
            await run.informer.synced.wait()
            assert kinds.HTTP_ROUTE in run.informer.watched
            assert run.informer.unlimited_gateways == frozenset()

    virtual_time.run(story())
