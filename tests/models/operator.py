"""The operator over a model of the API server: cache and worker, with a cluster and its load.

Time stands still unless a test moves it. The watches are immediate; ``deaf`` ones miss everything
until the next ``relist``.
"""

import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from llm_operator import kinds
from llm_operator.cluster.cache import Cache, ResourceKey, parent_key
from llm_operator.evidence import EvidenceReader
from llm_operator.gathering import Gatherer
from llm_operator.queue import Lane, WorkQueue
from llm_operator.scrape import Scraper
from llm_operator.telemetry import Telemetry
from llm_operator.worker import Worker
from tests.builders import ENVIRONMENT, NOW, an_llm_deployment
from tests.models.apiserver import ApiServerModel
from tests.models.load import Load
from tests.models.pods import Cluster, is_ready, source_of

if TYPE_CHECKING:
    from datetime import datetime

    from llm_operator.observation import Environment

KEY = ResourceKey("default", "chat")
WATCHED = (kinds.LLM_DEPLOYMENT, *kinds.WATCHED_KINDS)


class OperatorModel:
    """One operator process on one cluster; ``restart`` gives a second one on the same cluster."""

    def __init__(self, before: "OperatorModel | None" = None) -> None:
        self.api: ApiServerModel = before.api if before else ApiServerModel()
        self.now: datetime = before.now if before else NOW
        self.cluster: Cluster = before.cluster if before else Cluster(self.api)
        self.load: Load = before.load if before else Load(self.cluster)
        self.environment: Environment = before.environment if before else ENVIRONMENT
        self.deaf = False
        self.cache = Cache(clock=self.seconds)
        self.queue = WorkQueue[ResourceKey](self.seconds, random.Random(0))
        telemetry = Telemetry(CollectorRegistry())
        self.worker = Worker(
            cache=self.cache,
            client=self.api,  # type: ignore[arg-type]  # the model has the client's verbs
            queue=self.queue,
            telemetry=telemetry,
            gatherer=Gatherer(
                self.cache,
                Scraper(self.load.fetch, lambda: self.now, telemetry.scraped),
                EvidenceReader(
                    self.api,  # type: ignore[arg-type]  # as above
                    "",
                    lambda: self.now,
                ),
            ),
            environment=lambda: self.environment,
            identity="operator-1",
            now=lambda: self.now,
        )
        self.api.listeners = [self._watch]

    async def restart(self) -> "OperatorModel":
        """Return a fresh process that knows only what the cluster holds."""
        again = OperatorModel(self)
        await again.relist()
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

    async def turn(self, seconds: float = 2) -> None:
        """Let operator, controllers and clients act once, then let time pass."""
        await self.run_queue()
        self.cluster.run(self.now)
        self.load.run(self.now)
        self.now += timedelta(seconds=seconds)

    async def settle(self, rounds: int = 30, seconds: float = 2) -> None:
        """Let operator and controllers take turns while time passes."""
        for _ in range(rounds):
            await self.turn(seconds)
        await self.run_queue()

    async def until(self, holds: Callable[[], bool], turns: int = 400) -> None:
        """Take turns until something holds; fail if that never happens."""
        for _ in range(turns):
            if holds():
                return
            await self.turn()
        raise AssertionError(f"never came about: {self.status()}")

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

    def rollout(self) -> Mapping[str, Any]:
        """Return status.rollout."""
        rollout: Mapping[str, Any] = self.status().get("rollout", {})
        return rollout

    def phase(self) -> str:
        """Return the state of the rollout machine."""
        return str(self.rollout().get("phase", "Stable"))

    def message(self, type_: str) -> str:
        """Return the message of a condition."""
        return str(next(c["message"] for c in self.status()["conditions"] if c["type"] == type_))

    def posted(self) -> list[str]:
        """Return the reasons of all events so far."""
        return [str(event["reason"]) for _, event in self.api.events]

    def sizes(self) -> dict[str, int]:
        """Return the replicas of each Deployment by model source."""
        return {
            source_of(obj): obj["spec"]["replicas"] for obj in self.cluster.all(kinds.DEPLOYMENT)
        }

    def ready(self) -> dict[str, int]:
        """Return the ready pods by model source, without those that end."""
        found: dict[str, int] = {}
        for pod in self.cluster.all(kinds.POD):
            if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]:
                found[source_of(pod)] = found.get(source_of(pod), 0) + 1
        return found

    def serving(self) -> dict[str, int]:
        """Return the pods that the slices of the Service show, by model source."""
        found: dict[str, int] = {}
        for name in self.cluster.served_by(KEY.name):
            pod = self.api.find(kinds.POD, KEY.namespace, name)
            if pod is not None:
                found[source_of(pod)] = found.get(source_of(pod), 0) + 1
        return found

    def uids(self) -> dict[str, str]:
        """Return the UIDs of all pods by name."""
        return {
            pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in self.cluster.all(kinds.POD)
        }

    def command(self, verb: str, nonce: str = "n-1", revision: str = "") -> None:
        """Annotate a command, for the revision of the rollout unless another one is named."""
        text = f"{verb} {revision or self.rollout()['target']} {nonce}"
        self.annotate(text)

    def annotate(self, text: str) -> None:
        """Write the command annotation."""

        def change(obj: dict[str, Any]) -> None:
            obj["metadata"].setdefault("annotations", {})[kinds.COMMAND_ANNOTATION] = text

        self.api.edit(kinds.LLM_DEPLOYMENT, KEY, change, "kubectl-llm")

    def names(self, kind: kinds.ResourceKind) -> set[str]:
        """Return the names of the objects of a kind."""
        return {name for (other, _, name) in self.api.objects if other == kind}

    def writes(self) -> list[tuple[str, str]]:
        """Return and forget the writes so far, events apart."""
        reads = ("list", "get", "discover")
        made = [r for r in self.api.requests if r[0] not in reads and r[1] != "Event"]
        self.api.requests.clear()
        return made
