"""The operator over a model of the API server: cache, worker and the controllers of a cluster.

Time stands still unless a test moves it. The watches are immediate; ``deaf`` ones miss everything
until the next ``relist``.
"""

import asyncio
import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from llm_operator import kinds
from llm_operator.cluster.cache import Cache, ResourceKey, parent_key
from llm_operator.queue import Lane, WorkQueue
from llm_operator.telemetry import Telemetry
from llm_operator.worker import Worker
from tests.builders import ENVIRONMENT, NOW, a_pod, an_endpoint_slice, an_llm_deployment
from tests.models.apiserver import ApiServerModel

KEY = ResourceKey("default", "chat")
WATCHED = (kinds.LLM_DEPLOYMENT, *kinds.WATCHED_KINDS)


class OperatorModel:
    """One operator process on one cluster; ``restart`` gives a second one on the same cluster."""

    def __init__(self, api: ApiServerModel | None = None, now: datetime = NOW) -> None:
        self.api = api or ApiServerModel()
        self.now = now
        self.deaf = False
        self.broken_sources: set[str] = set()
        self.environment = ENVIRONMENT
        self.cache = Cache(clock=self.seconds)
        self.queue = WorkQueue[ResourceKey](self.seconds, random.Random(0))
        self.worker = Worker(
            cache=self.cache,
            client=self.api,  # type: ignore[arg-type]  # the model has the client's verbs
            queue=self.queue,
            telemetry=Telemetry(CollectorRegistry()),
            environment=lambda: self.environment,
            identity="operator-1",
            now=lambda: self.now,
        )
        self.api.listeners = [self._watch]

    def restart(self) -> "OperatorModel":
        """Return a fresh process that knows only what the cluster holds."""
        again = OperatorModel(self.api, self.now)
        again.environment = self.environment
        again.broken_sources = self.broken_sources
        asyncio.run(again.relist())
        return again

    def seconds(self) -> float:
        """Return the model's time for the queue and the cache."""
        return (self.now - NOW).total_seconds()

    async def relist(self) -> None:
        """List everything, as at start and every ten minutes."""
        for kind in WATCHED:
            listing = await self.api.list(kind)
            for key in self.cache.replace(kind, listing.items, listing.resource_version).changed:
                self.queue.add(key, Lane.RESYNC)

    def write(self, **spec: Any) -> None:
        """Create the resource, or change its spec, as a person does."""
        if self.api.find(kinds.LLM_DEPLOYMENT, *KEY) is None:
            resource = an_llm_deployment(**spec)
            del resource["metadata"]["uid"], resource["metadata"]["resourceVersion"]
            self.api.create(kinds.LLM_DEPLOYMENT, resource, "kubectl")
        else:
            self.api.edit(kinds.LLM_DEPLOYMENT, KEY, lambda obj: obj["spec"].update(spec))

    async def run_queue(self) -> None:
        """Reconcile all keys that wait now, and those that these passes add."""
        while (key := self.queue.take()) is not None:
            await self.worker._serve(key)
            self.queue.done(key)

    async def settle(self, rounds: int = 15, seconds: float = 2) -> None:
        """Let operator and controllers take turns while time passes."""
        for _ in range(rounds):
            await self.run_queue()
            self.run_controllers()
            self.now += timedelta(seconds=seconds)
        await self.run_queue()

    def run_controllers(self) -> None:
        """Give each Deployment its pods, make good ones ready, and fill the EndpointSlice."""
        for (kind, namespace, _), deployment in list(self.api.objects.items()):
            if kind == kinds.DEPLOYMENT and namespace == KEY.namespace:
                self._run_deployment(deployment)
        self._drop_orphans()
        self._run_endpoints()

    def _run_deployment(self, deployment: Mapping[str, Any]) -> None:
        name = deployment["metadata"]["name"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        is_good = self._source(deployment) not in self.broken_sources
        for index in range(10):
            pod_name = f"{name}-{index}"
            wanted = index < deployment["spec"]["replicas"]
            live = self.api.find(kinds.POD, KEY.namespace, pod_name)
            if wanted and live is None:
                pod = a_pod(labels[kinds.REVISION_LABEL], pod_name, ready=False)
                pod["metadata"]["labels"] = dict(labels)
                self.api.create(kinds.POD, pod, "kubelet")
            elif wanted and live is not None:
                self._mark(pod_name, is_ready=is_good)
            elif live is not None:
                self.api.remove(kinds.POD, KEY.namespace, pod_name)

    def _source(self, deployment: Mapping[str, Any]) -> str:
        environment = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        return str(next(e["value"] for e in environment if e["name"] == "LLM_SERVER_MODEL"))

    def _mark(self, pod: str, *, is_ready: bool) -> None:
        def change(obj: dict[str, Any]) -> None:
            obj["status"]["conditions"][1]["status"] = "True" if is_ready else "False"

        self.api.edit(kinds.POD, (KEY.namespace, pod), change, "kubelet", "status")

    def _drop_orphans(self) -> None:
        names = {name for (kind, _, name) in self.api.objects if kind == kinds.DEPLOYMENT}
        for kind, namespace, name in list(self.api.objects):
            if kind == kinds.POD and name.rpartition("-")[0] not in names:
                self.api.remove(kind, namespace, name)

    def _run_endpoints(self) -> None:
        service = self.api.find(kinds.SERVICE, *KEY)
        if service is None:
            return
        selector = service["spec"]["selector"].items()
        shown = [
            name
            for (kind, _, name), pod in self.api.objects.items()
            if kind == kinds.POD
            and selector <= pod["metadata"]["labels"].items()
            and pod["status"]["conditions"][1]["status"] == "True"
        ]
        wanted = an_endpoint_slice(*shown)
        wanted["metadata"] |= {"labels": {kinds.INSTANCE_LABEL: KEY.name}}
        if self.api.find(kinds.ENDPOINT_SLICE, "default", "chat-abc") is None:
            self.api.create(kinds.ENDPOINT_SLICE, wanted, "endpointslice-controller")
            return
        self.api.edit(
            kinds.ENDPOINT_SLICE,
            ("default", "chat-abc"),
            lambda obj: obj.update(endpoints=wanted["endpoints"]),
            "endpointslice-controller",
        )

    def _watch(self, change: str, kind: kinds.ResourceKind, obj: dict[str, Any]) -> None:
        if self.deaf or kind not in WATCHED or not self._is_selected(kind, obj):
            return
        key = parent_key(kind, obj)
        news = self.cache.delete(kind, obj) if change == "DELETED" else self.cache.put(kind, obj)
        if news and key is not None:
            self.queue.add(key, Lane.EDIT)

    def _is_selected(self, kind: kinds.ResourceKind, obj: Mapping[str, Any]) -> bool:
        labels = obj["metadata"].get("labels", {})
        unlabelled = kind in (kinds.LLM_DEPLOYMENT, kinds.ENDPOINT_SLICE)
        return unlabelled or labels.get(kinds.MANAGED_BY_LABEL) == kinds.FIELD_MANAGER

    # What tests look at

    def resource(self) -> Mapping[str, Any]:
        """Return the resource as the API server has it."""
        found = self.api.find(kinds.LLM_DEPLOYMENT, *KEY)
        assert found is not None
        return found

    def status(self) -> Mapping[str, Any]:
        """Return the resource's status."""
        status: Mapping[str, Any] = self.resource().get("status", {})
        return status

    def condition(self, type_: str) -> tuple[str, str]:
        """Return (status, reason) of a condition."""
        found = next(c for c in self.status()["conditions"] if c["type"] == type_)
        return found["status"], found["reason"]

    def sizes(self) -> dict[str, int]:
        """Return the replicas of each Deployment by model source."""
        return {
            self._source(obj): obj["spec"]["replicas"]
            for (kind, _, _), obj in self.api.objects.items()
            if kind == kinds.DEPLOYMENT
        }

    def names(self, kind: kinds.ResourceKind) -> set[str]:
        """Return the names of the objects of a kind."""
        return {name for (other, _, name) in self.api.objects if other == kind}

    def writes(self) -> list[tuple[str, str]]:
        """Return and forget the writes so far, events apart."""
        reads = ("list", "get")
        made = [r for r in self.api.requests if r[0] not in reads and r[1] != "Event"]
        self.api.requests.clear()
        return made
