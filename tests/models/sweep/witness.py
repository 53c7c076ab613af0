"""Checks every write against the rules I1 to I14 of ``rollouts.invariants``.

It reads pods, routes and what is persisted off the API server, puts them in the terms of that
model, and asks its rules about the difference that one write makes. I9 is not asked: it is about
decisions, not about writes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from llm_operator import kinds
from llm_operator.api.rollout import Strategy
from llm_operator.api.traffic import Provider
from llm_operator.rollout.state import Rollout, Step
from llm_operator.status import recall
from tests.models.pods import Cluster as PodCluster
from tests.models.pods import is_ready
from tests.models.rollouts.act import Act
from tests.models.rollouts.cluster import ABSENT, BY_RATIO, NAMES, NOBODY, Cluster, Pods, Route
from tests.models.rollouts.invariants import OF_ACTIONS
from tests.models.rollouts.operator import Action, Kind, number_of
from tests.models.rollouts.situation import Persisted, Setting, Situation, Spec

RESOURCE = ("default", "chat")
MINIMUM_PERCENT = 100
EXTRA = 1


@dataclass(slots=True)
class Witness:
    """Sees the writes of one run."""

    pods: PodCluster
    total: int
    steps: tuple[Step, ...]
    broken: list[str] = field(default_factory=list)
    """Rules that did not hold, each with its problem."""
    seen: Situation | None = None
    """What was persisted when the newest pass began."""
    checked: int = 0
    _followed: tuple[Route, ...] = ()
    _hashes: list[str] = field(default_factory=list)

    def begin_pass(self) -> None:
        """Take note of what a pass begins with."""
        self.seen = self.look()

    def follow_routes(self) -> None:
        """Take note that the endpoints are what the Service selects."""
        route = self._route()
        self._followed = (route,) if route else ()

    @contextmanager
    def watching(self, kind: kinds.ResourceKind) -> Iterator[None]:
        """Check what is written to a kind meanwhile."""
        before, templates = self.look(), self._templates()
        yield
        after = self.look()
        self.checked += 1
        self._check_templates(templates)
        action = _action(kind, before, after)
        if action is not None:
            self._check(action, before, after)
        if kind == kinds.SERVICE and after.cluster.route != before.cluster.route:
            route = after.cluster.route
            assert route is not None
            self._followed = (*(r for r in self._followed if r != route), route)

    def look(self) -> Situation:
        """Return pods, route and what is persisted, in terms of the model of rollouts."""
        for deployment in self.pods.all(kinds.DEPLOYMENT):
            self._number(_hash_of(deployment))
        resource = self.pods.api.find(kinds.LLM_DEPLOYMENT, *RESOURCE)
        memory = recall(resource.get("status") or {}) if resource else recall({})
        rollout = self._renamed(memory.rollout)
        rejected = [number_of(name) for name in rollout.rejected]
        stable = self._number(memory.stable)
        return Situation(
            Persisted(rollout),
            stable,
            Cluster(
                revisions=tuple(self._pods(number) for number in range(len(NAMES))),
                route=self._route(),
                followed=self._followed,
                is_applied=self._followed == (self._route(),),
            ),
            Spec(number_of(rollout.target), self.total),
            rejected=rejected[0] if rejected else NOBODY,
            total=self.total,
        )

    def _check(self, action: Action, before: Situation, after: Situation) -> None:
        act = Act(
            self._setting(),
            self.seen or before,
            action,
            before,
            after,
            before.cluster.settled(),
            after.cluster.settled(),
        )
        for name, rule in OF_ACTIONS.items():
            problem = rule(act)
            if problem:
                self.broken.append(f"{name}: {problem} ({action} in {act.phase})")

    def _setting(self) -> Setting:
        return Setting(
            self.total,
            EXTRA,
            MINIMUM_PERCENT,
            Strategy.CANARY,
            self.steps,
            Provider.REPLICA_RATIO,
        )

    def _check_templates(self, before: Mapping[str, Any]) -> None:
        """No Deployment gets another template (I3, I12): its pods would be made anew."""
        after = self._templates()
        for name in before.keys() & after.keys():
            if before[name] != after[name]:
                self.broken.append(f"I3: the template of {name} changed")

    def _templates(self) -> dict[str, Any]:
        return {
            obj["metadata"]["name"]: obj["spec"]["template"]
            for obj in self.pods.all(kinds.DEPLOYMENT)
        }

    def _number(self, hash_: str | None) -> int:
        """Return the number of a revision; they are numbered as they appear."""
        if not hash_:
            return NOBODY
        if hash_ not in self._hashes:
            self._hashes.append(hash_)
        return self._hashes.index(hash_)

    def _name(self, hash_: str) -> str:
        return NAMES[self._number(hash_)]

    def _renamed(self, rollout: Rollout) -> Rollout:
        return replace(
            rollout,
            target=self._name(rollout.target) if rollout.target else None,
            previous=self._name(rollout.previous) if rollout.previous else None,
            rejected=tuple(map(self._name, rollout.rejected)),
        )

    def _pods(self, number: int) -> Pods:
        if number >= len(self._hashes):
            return Pods()
        hash_ = self._hashes[number]
        sizes = [
            obj["spec"]["replicas"]
            for obj in self.pods.all(kinds.DEPLOYMENT)
            if _hash_of(obj) == hash_
        ]
        own = [pod for pod in self.pods.all(kinds.POD) if _hash_of(pod) == hash_]
        staying = [pod for pod in own if "deletionTimestamp" not in pod["metadata"]]
        ready = sum(map(is_ready, staying))
        return Pods(
            replicas=sizes[0] if sizes else ABSENT,
            ready=ready,
            starting=len(staying) - ready,
            leaving=len(own) - len(staying),
        )

    def _route(self) -> Route | None:
        service = self.pods.api.find(kinds.SERVICE, *RESOURCE)
        if service is None:
            return None
        pinned = service["spec"]["selector"].get(kinds.REVISION_LABEL)
        return Route(self._number(pinned)) if pinned else Route(0, 1, BY_RATIO)


def _hash_of(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"]["labels"][kinds.REVISION_LABEL])


def _action(kind: kinds.ResourceKind, before: Situation, after: Situation) -> Action | None:
    """Return a write in terms of the model; None for one that concerns neither pods nor traffic."""
    if kind == kinds.LLM_DEPLOYMENT:
        return Action(Kind.PERSIST, kept=after.kept, stable=after.stable)
    if kind == kinds.SERVICE and before.cluster.route != after.cluster.route:
        return Action(Kind.ROUTE, route=after.cluster.route)
    if kind != kinds.DEPLOYMENT:
        return None
    both = zip(before.cluster.revisions, after.cluster.revisions, strict=True)
    for revision, (was, now) in enumerate(both):
        if was.replicas != now.replicas:
            return Action(Kind.SIZE, revision=revision, replicas=now.replicas)
    return None
