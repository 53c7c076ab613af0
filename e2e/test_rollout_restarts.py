"""SIGKILL of the operator in every state of a rollout: whoever takes over goes on from there.

Each resource is brought into one state, then the leader dies, once, with all of them in it.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from e2e.manifests import Manifest
from e2e.operator_pods import Leader, freeze_pod, kill, leader, thaw_pod
from e2e.rollouts import Diary, Rolled, noted, quick, served, step, wait_for_all
from e2e.story import Cluster, Namespace
from llm_operator import kinds
from llm_operator.api.status import RolloutPhase

pytestmark = [pytest.mark.cluster, pytest.mark.long]

LASTING = 75
"""Seconds that a state with a length of its own lasts: longer than it takes to reach the others."""
NEW = "--simulated-prefill-tokens-per-second=40000"
SLOW = "--simulated-load-seconds=20"
SLOWER = "--simulated-load-seconds=45"
TAKE_OVER_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Case:
    """A resource that is in ``phase`` when the operator dies."""

    phase: RolloutPhase
    rollout: Manifest
    replicas: int = 1
    flags_before: tuple[str, ...] = ()
    flags: tuple[str, ...] = (NEW,)
    comes_back: bool = False
    """Whether the old revision serves in the end."""

    @property
    def name(self) -> str:
        """The name of the resource."""
        return f"in-{self.phase.lower()}"

    def manifest(self) -> Manifest:
        """Return the resource before its change."""
        return served(self.name, self.rollout, *self.flags_before, replicas=self.replicas)


ONE_STEP = quick(step(50, LASTING))
CASES = (
    Case(RolloutPhase.STABLE, ONE_STEP, comes_back=True),
    Case(RolloutPhase.PREPARING, quick(step(100)), flags=(NEW, SLOWER)),
    Case(RolloutPhase.STEP, ONE_STEP),
    Case(RolloutPhase.PAUSED, quick(step(50, 1, pause={"seconds": LASTING}))),
    Case(RolloutPhase.HOLDING, ONE_STEP),
    Case(RolloutPhase.PROMOTING, quick(step(50, 1)), replicas=2, flags=(NEW, SLOW)),
    Case(RolloutPhase.BAKING, quick(strategy="BlueGreen", bakeSeconds=LASTING)),
    Case(
        RolloutPhase.ROLLING_BACK,
        quick(step(100, LASTING)),
        replicas=2,
        flags_before=(SLOW,),
        comes_back=True,
    ),
    Case(RolloutPhase.ROLLED_BACK, ONE_STEP, comes_back=True),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What was when the leader died, and what is noted since the changes began."""

    namespace: Namespace
    diary: Diary
    before: dict[str, str]
    """The stable revision of each resource before its change."""
    at_death: dict[str, str]
    """The phase that each resource was in, by a status that nobody writes any more."""
    pods_at_death: dict[str, frozenset[str]]
    """UIDs of all of its pods that were not ending."""


def change(namespace: Namespace, phase: RolloutPhase) -> Rolled:
    """Give the resource of this state its new version."""
    [case] = [case for case in CASES if case.phase is phase]
    resource = Rolled(namespace, case.name)
    resource.edit_args(*case.flags)
    return resource


def lead_up(namespace: Namespace) -> str:
    """Bring every resource into its state; return the name of the pod that is frozen for one."""
    for lasting in (RolloutPhase.STEP, RolloutPhase.PAUSED, RolloutPhase.BAKING):
        change(namespace, lasting)
    promoted = change(namespace, RolloutPhase.PROMOTING)
    held = change(namespace, RolloutPhase.HOLDING)
    back = change(namespace, RolloutPhase.ROLLING_BACK)
    rejected = change(namespace, RolloutPhase.ROLLED_BACK)
    rejected.until(RolloutPhase.STEP)
    rejected.tell("abort")
    held.until(RolloutPhase.STEP)
    namespace.until(
        "the canary that will go back has all of the traffic",
        lambda: back.rollout.get("windowStartedAt"),
        within_seconds=60,
    )
    promoted.until(RolloutPhase.PROMOTING, within_seconds=90)
    change(namespace, RolloutPhase.PREPARING)
    frozen = pod_of(held)
    freeze_pod(namespace.cluster, frozen)
    back.tell("abort")
    return frozen


def pod_of(resource: Rolled) -> str:
    """Return the name of the one pod of the revision that is rolled out."""
    [name] = [
        str(pod["metadata"]["name"])
        for pod in resource.namespace.live_pods(resource.name)
        if pod["metadata"]["labels"][kinds.REVISION_LABEL] == resource.target
    ]
    return name


def phases(namespace: Namespace) -> dict[str, str]:
    """Return the phase of every resource."""
    return {case.name: Rolled(namespace, case.name).phase for case in CASES}


def kill_the_leader(cluster: Cluster, namespace: Namespace) -> Leader:
    """Kill the leader as soon as every resource is in its state; return who it was."""
    wanted = {case.name: str(case.phase) for case in CASES}
    namespace.until(
        f"every resource is in its state: {wanted}",
        lambda: phases(namespace) == wanted,
        within_seconds=30,
    )
    dead = leader(cluster)
    kill(cluster, dead)
    return dead


@pytest.fixture(scope="module")
def scene(cluster: Cluster, module_namespace: Namespace) -> Iterator[Scene]:
    """Every resource was in its state when the leader died; another process leads now."""
    for case in CASES:
        module_namespace.apply(case.manifest())
    resources = [Rolled(module_namespace, case.name) for case in CASES]
    wait_for_all(resources)
    before = {resource.name: resource.stable for resource in resources}
    with noted(module_namespace) as diary:
        frozen = lead_up(module_namespace)
        dead = kill_the_leader(cluster, module_namespace)
        at_death = phases(module_namespace)
        pods = {each.name: live_uids(each) for each in resources}
        module_namespace.until(
            "another process leads",
            lambda: leader(cluster).identity != dead.identity,
            within_seconds=TAKE_OVER_SECONDS,
        )
        time.sleep(2)  # the new leader meets the frozen canary
        thaw_pod(cluster, frozen)
        yield Scene(module_namespace, diary, before, at_death, pods)


def live_uids(resource: Rolled) -> frozenset[str]:
    """Return the UIDs of a resource's pods that are not ending."""
    pods = resource.namespace.live_pods(resource.name)
    return frozenset(pod["metadata"]["uid"] for pod in pods)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.phase))
def test_a_rollout_goes_on_from_the_state_that_it_was_in(scene: Scene, case: Case) -> None:
    """It comes to the end that it would have come to, and no pod is made a second time."""
    assert scene.at_death[case.name] == case.phase
    resource, before = Rolled(scene.namespace, case.name), scene.before[case.name]
    target = resource.target

    if case.phase in (RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK):
        resource.until(RolloutPhase.ROLLED_BACK, within_seconds=120)
        assert resource.stable == before
    elif case.phase is RolloutPhase.STABLE:
        resource.namespace.until_settled(case.name)
        assert resource.stable == before
    else:
        resource.until_promoted(target, within_seconds=150)

    last = before if case.comes_back else target
    resource.until_alone(last)
    made = scene.diary.pods[case.name]
    assert len(resource.pods(last)) == case.replicas
    assert len(made[target]) <= case.replicas
    if case.phase in (RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK):
        assert live_uids(resource) == scene.pods_at_death[case.name]
