"""Resources whose revisions change: how tests make them quick, follow them and command them."""

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from e2e.cluster.commands import Outcome
from e2e.manifests import Manifest, llm_deployment
from e2e.story import Condition, Namespace
from llm_operator import kinds
from llm_operator.api.status import RolloutPhase
from llm_operator.desired.identity import COMPONENT

LOOK_SECONDS = 0.25
STEP_MILLISECONDS = 40
ARGS = (
    f"--simulated-step-milliseconds={STEP_MILLISECONDS}",
    "--simulated-answer-tokens=0",
)
"""Answers of a known length: their clients end them."""
CALM_MILLISECONDS = 100
CALM = f"--simulated-step-milliseconds={CALM_MILLISECONDS}"
"""After ``ARGS``, where many clients send at once: each token costs both sides CPU."""

NEW = "--simulated-prefill-tokens-per-second=40000"
"""Behind ``ARGS`` this makes another version, as good as the one before."""

LENIENT = {"maxTimeToFirstTokenPercent": 10_000, "maxInterTokenPercent": 10_000}
"""Latency decides nothing: on a small machine it says more about the neighbours."""


def step(weight_percent: int, min_seconds: int = 2, **fields: object) -> Manifest:
    """Return a step; ``pause={}`` stops after it."""
    return {"weightPercent": weight_percent, "minSeconds": min_seconds, **fields}


def quick(*steps: Manifest, analysis: Manifest | None = None, **fields: object) -> Manifest:
    """Return ``spec.rollout`` with intervals of a second and no bake; ``fields`` win."""
    judged = {"intervalSeconds": 1, "minRequests": 5, **LENIENT, **(analysis or {})}
    times = {"bakeSeconds": 0, "inconclusiveSeconds": 120, "progressDeadlineSeconds": 60}
    own = {"steps": list(steps)} if steps else {}
    return {**times, **own, "analysis": judged, **fields}


def served(
    name: str,
    rollout: Manifest,
    *args: str,
    replicas: int = 1,
    accelerator: Manifest | None = None,
) -> Manifest:
    """Return a simulated resource with ``ARGS`` and more; pods that end drain for 5 s."""
    server = {"args": [*ARGS, *args], "drainSeconds": 5}
    manifest = llm_deployment(name, rollout=rollout, server=server, replicas=replicas)
    manifest["spec"] |= {"accelerator": accelerator} if accelerator else {}
    return manifest


@dataclass(frozen=True, slots=True)
class Rolled:
    """One resource of a namespace, as somebody who follows its rollouts sees it."""

    namespace: Namespace
    name: str

    @property
    def rollout(self) -> Manifest:
        """``status.rollout``, empty where there is none."""
        found: Manifest = self.namespace.status(self.name).get("rollout", {})
        return found

    @property
    def phase(self) -> str:
        """Where the rollout is; Stable when none is under way."""
        return str(self.rollout.get("phase", RolloutPhase.STABLE))

    @property
    def target(self) -> str:
        """Hash of the revision of the last rollout."""
        return str(self.rollout.get("target", ""))

    @property
    def stable(self) -> str:
        """Hash of the stable revision."""
        return str(self.namespace.status(self.name).get("stableRevision", ""))

    def condition(self, type_: str) -> Condition:
        """Return a condition."""
        return self.namespace.condition(self.name, type_)

    def pods(self, revision: str) -> frozenset[str]:
        """Return the UIDs of a revision's pods that are neither ending nor ended."""
        return frozenset(
            pod["metadata"]["uid"]
            for pod in self.namespace.live_pods(self.name)
            if pod["metadata"]["labels"][kinds.REVISION_LABEL] == revision
        )

    def restarts(self, revision: str) -> dict[str, int]:
        """Return how often the containers of each of ``pods`` were started again, by UID."""
        return {
            pod["metadata"]["uid"]: sum(
                container["restartCount"]
                for container in pod.get("status", {}).get("containerStatuses", [])
            )
            for pod in self.namespace.live_pods(self.name)
            if pod["metadata"]["labels"][kinds.REVISION_LABEL] == revision
        }

    def edit(self, **spec: object) -> None:
        """Change the spec by hand."""
        self.namespace.patch(kinds.LLM_DEPLOYMENT, self.name, {"spec": spec})

    def edit_args(self, *args: str) -> None:
        """Give the server these flags after ``ARGS``; other ones than now start a revision."""
        self.edit(server={"args": [*ARGS, *args]})

    def until(self, *phases: RolloutPhase, within_seconds: float = 60) -> Manifest:
        """Wait for one of these phases and return ``status.rollout``."""
        self.namespace.until(
            f"{self.name} is {' or '.join(phases)}",
            lambda: self.phase in phases,
            within_seconds=within_seconds,
        )
        return self.rollout

    def until_target_is_not(self, revision: str) -> str:
        """Wait until the operator has taken up another revision, and return its hash."""
        return self.namespace.until(
            f"{self.name} rolls out another revision than {revision}",
            lambda: self.target if self.target not in ("", revision) else None,
            within_seconds=20,
        )

    def until_promoted(self, revision: str, *, within_seconds: float = 90) -> None:
        """Wait until a revision is stable, its rollout over, and no pod of another is left."""
        self.namespace.until(
            f"{revision} of {self.name} is promoted",
            lambda: self.stable == revision and self.phase == RolloutPhase.STABLE,
            within_seconds=within_seconds,
        )
        self.namespace.until_settled(self.name)

    def until_alone(self, revision: str, *, within_seconds: float = 60) -> None:
        """Wait until the last pod of every other revision has gone, drained and all."""
        self.namespace.until(
            f"only pods of {revision} exist",
            lambda: self._revisions_with_pods() == {revision},
            within_seconds=within_seconds,
        )

    def _revisions_with_pods(self) -> set[str]:
        return {
            pod["metadata"]["labels"][kinds.REVISION_LABEL]
            for pod in self.namespace.objects(kinds.POD, f"{kinds.INSTANCE_LABEL}={self.name}")
        }

    def plugin(self, verb: str, *flags: str) -> Outcome:
        """Run ``kubectl llm VERB NAME`` as a user does and return how it ended."""
        command = (sys.executable, "-m", "kubectl_llm", verb, self.name, *flags)
        return self.namespace.cluster.backend.attempt(*command, "-n", self.namespace.name)

    def tell(self, verb: str, *flags: str) -> str:
        """Run a verb of the plugin that must succeed and return what it prints."""
        outcome = self.plugin(verb, *flags)
        assert outcome.ok, f"{verb} {self.name}: {outcome.returncode} {outcome.stderr}"
        return outcome.stdout


@dataclass(frozen=True, slots=True)
class Sight:
    """What a status said of a rollout at one moment."""

    phase: str
    target: str
    weight_percent: int
    """Of the step; on the way to it others are asked of the traffic."""
    stable: str


@dataclass(slots=True)
class Diary:
    """What was seen of every resource of a namespace, in order and without repetitions."""

    sights: dict[str, list[Sight]] = field(default_factory=lambda: defaultdict(list))
    pods: dict[str, dict[str, set[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set))
    )
    """UIDs of the pods that ever existed, by resource and revision."""
    together: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """The most pods that existed at once, ending ones among them, by resource."""

    def weights(self, name: str, target: str) -> list[int]:
        """Return the weights of the steps that the rollout of a revision went through."""
        weights: list[int] = []
        for sight in self.sights[name]:
            if sight.target == target and sight.weight_percent not in weights[-1:]:
                weights.append(sight.weight_percent)
        return weights

    def phases(self, name: str, target: str) -> list[str]:
        """Return the phases that the rollout of a revision went through."""
        phases: list[str] = []
        for sight in self.sights[name]:
            if sight.target == target and sight.phase not in phases[-1:]:
                phases.append(sight.phase)
        return phases

    def look(self, namespace: Namespace) -> None:
        """Note what there is now."""
        for resource in namespace.objects(kinds.LLM_DEPLOYMENT):
            sight = _sight(resource.get("status", {}))
            if sight not in self.sights[resource["metadata"]["name"]][-1:]:
                self.sights[resource["metadata"]["name"]].append(sight)
        counts: dict[str, int] = defaultdict(int)
        for pod in namespace.objects(kinds.POD, f"{kinds.COMPONENT_LABEL}={COMPONENT}"):
            if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
                continue
            name = pod["metadata"]["labels"][kinds.INSTANCE_LABEL]
            revision = pod["metadata"]["labels"][kinds.REVISION_LABEL]
            self.pods[name][revision].add(pod["metadata"]["uid"])
            counts[name] += 1
        for name, count in counts.items():
            self.together[name] = max(self.together[name], count)


def _sight(status: dict[str, Any]) -> Sight:
    rollout = status.get("rollout", {})
    return Sight(
        phase=rollout.get("phase", RolloutPhase.STABLE),
        target=rollout.get("target", ""),
        weight_percent=rollout.get("stepWeightPercent", 0),
        stable=status.get("stableRevision", ""),
    )


@contextmanager
def noted(namespace: Namespace) -> Iterator[Diary]:
    """Keep a diary of the namespace for as long as the block runs."""
    diary, stop = Diary(), threading.Event()

    def keep() -> None:
        while not stop.wait(LOOK_SECONDS):
            with suppress(httpx.HTTPError):  # the next look brings what this one missed
                diary.look(namespace)

    thread = threading.Thread(target=keep, name="diary")
    thread.start()
    try:
        yield diary
    finally:
        stop.set()
        thread.join()


def wait_for_all(resources: list[Rolled], *, within_seconds: float = 120) -> None:
    """Wait until every one is Ready for its spec."""
    deadline = time.monotonic() + within_seconds
    for resource in resources:
        left = max(deadline - time.monotonic(), 1.0)
        resource.namespace.until_settled(resource.name, within_seconds=left)
