"""SIGKILL of the operator in every state of a rollout: whoever takes over goes on from there.

Each resource is brought into one state, then the leader dies, once, with all of them in it. Each
has traffic from before its change until its end; all versions are good, so no request may be lost.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from e2e.manifests import Manifest
from e2e.operator_pods import Leader, kill, leader
from e2e.rollouts import CALM, NEW, Diary, Rolled, noted, quick, served, step, wait_for_all
from e2e.story import Cluster, Namespace
from e2e.traffic.harness import Load, Traffic, start
from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase

pytestmark = [pytest.mark.cluster, pytest.mark.long]

LASTING = 180
"""Seconds that a state with a length of its own lasts: longer than it takes to reach the others."""
READY_SECONDS = 240
REACHED_SECONDS = 150
LOAD = Load(1, 1, 1, long_tokens=80, limit_seconds=1800, fresh_connections=True)
"""Long streams of 8 s; for longer than all tests of this file take."""
ANSWERED_SECONDS = 120
SLOW = "--simulated-load-seconds=45"
"""What is on its way is there while one of its pods loads."""
TAKE_OVER_SECONDS = 30
LOOK_SECONDS = 3


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
        return served(self.name, self.rollout, CALM, *self.flags_before, replicas=self.replicas)


def patient(*steps: Manifest, analysis: Manifest | None = None, **fields: object) -> Manifest:
    """Return ``spec.rollout`` that gives nothing up while the others get to their states."""
    longer = {"inconclusiveSeconds": 600, "progressDeadlineSeconds": 600}
    return quick(*steps, analysis=analysis) | longer | fields


UNREADABLE: Manifest = {
    "guards": [{"name": "asked-of-nobody", "query": "vector(0)", "maximum": "0"}],
    "prometheus": {"address": "http://127.0.0.1:9"},
}
"""Holds a step for as long as the spec says so: nothing listens on that port of the operator."""
READABLE: Manifest = {"guards": [], "prometheus": None}

ONE_STEP = patient(step(50, LASTING))
CASES = (
    Case(RolloutPhase.STABLE, ONE_STEP, comes_back=True),
    Case(RolloutPhase.PREPARING, patient(step(100)), flags=(NEW, SLOW)),
    Case(RolloutPhase.STEP, ONE_STEP),
    Case(RolloutPhase.PAUSED, patient(step(50, 1, pause={"seconds": LASTING}))),
    Case(RolloutPhase.HOLDING, patient(step(50, 1), analysis=UNREADABLE)),
    Case(RolloutPhase.PROMOTING, patient(step(50, 1)), replicas=2, flags=(NEW, SLOW)),
    Case(RolloutPhase.BAKING, patient(strategy="BlueGreen", bakeSeconds=LASTING)),
    Case(
        RolloutPhase.ROLLING_BACK,
        patient(step(100, LASTING)),
        replicas=2,
        flags_before=(SLOW,),
        comes_back=True,
    ),
    Case(RolloutPhase.ROLLED_BACK, ONE_STEP, comes_back=True),
)
STAYING = (RolloutPhase.STEP, RolloutPhase.PAUSED, RolloutPhase.HOLDING, RolloutPhase.BAKING)
CHANGED_FIRST = (
    *STAYING,
    RolloutPhase.PROMOTING,
    RolloutPhase.ROLLING_BACK,
    RolloutPhase.ROLLED_BACK,
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
    traffic: dict[str, Traffic]


def case_of(phase: RolloutPhase) -> Case:
    """Return the case of a state."""
    return next(case for case in CASES if case.phase is phase)


def change(namespace: Namespace, phase: RolloutPhase) -> Rolled:
    """Give the resource of this state its new version."""
    case = case_of(phase)
    resource = Rolled(namespace, case.name)
    resource.edit_args(CALM, *case.flags)
    return resource


def lead_up(namespace: Namespace) -> None:
    """Bring every resource into its state: first those that stay there, last those that do not."""
    changed = {phase: change(namespace, phase) for phase in CHANGED_FIRST}
    rejected, back = changed[RolloutPhase.ROLLED_BACK], changed[RolloutPhase.ROLLING_BACK]
    rejected.until(RolloutPhase.STEP, within_seconds=REACHED_SECONDS)
    rejected.tell("abort")
    for phase in STAYING:
        changed[phase].until(phase, within_seconds=REACHED_SECONDS)
    assert changed[RolloutPhase.HOLDING].rollout["reason"] == Reason.METRICS_MISSING
    namespace.until(
        "the canary that will go back has all of the traffic",
        lambda: back.rollout.get("windowStartedAt"),
        within_seconds=REACHED_SECONDS,
    )
    promoted = changed[RolloutPhase.PROMOTING]
    promoted.until(RolloutPhase.PROMOTING, within_seconds=REACHED_SECONDS)
    change(namespace, RolloutPhase.PREPARING)
    back.tell("abort")


def phases(namespace: Namespace) -> dict[str, str]:
    """Return the phase of every resource."""
    return {case.name: Rolled(namespace, case.name).phase for case in CASES}


def kill_the_leader(cluster: Cluster, namespace: Namespace) -> Leader:
    """Kill the leader as soon as every resource is in its state; return who it was."""
    wanted = {case.name: str(case.phase) for case in CASES}

    def all_are_there() -> bool:
        elsewhere = dict(phases(namespace).items() - wanted.items())
        assert not elsewhere, f"elsewhere: {elsewhere}"
        return True

    namespace.until("every resource is in its state", all_are_there, within_seconds=30)
    dead = leader(cluster)
    kill(cluster, dead)
    return dead


@pytest.fixture(scope="module")
def scene(cluster: Cluster, module_namespace: Namespace) -> Iterator[Scene]:
    """Every resource was in its state when the leader died; another process leads now."""
    for case in CASES:
        module_namespace.apply(case.manifest())
    resources = [Rolled(module_namespace, case.name) for case in CASES]
    wait_for_all(resources, within_seconds=READY_SECONDS)
    before = {resource.name: resource.stable for resource in resources}
    traffic = {each.name: start(module_namespace, each.name, LOAD) for each in resources}
    for sender in traffic.values():
        sender.until_answered(within_seconds=ANSWERED_SECONDS)
    with noted(module_namespace) as diary:
        lead_up(module_namespace)
        dead = kill_the_leader(cluster, module_namespace)
        at_death = phases(module_namespace)
        pods = {each.name: live_uids(each) for each in resources}
        module_namespace.until(
            "another process leads",
            lambda: leader(cluster).identity != dead.identity,
            within_seconds=TAKE_OVER_SECONDS,
        )
        time.sleep(LOOK_SECONDS)  # the new leader finds that what is missing is missing still
        held = Rolled(module_namespace, case_of(RolloutPhase.HOLDING).name)
        assert held.phase == RolloutPhase.HOLDING
        held.edit(rollout={"analysis": READABLE})
        yield Scene(module_namespace, diary, before, at_death, pods, traffic)


def live_uids(resource: Rolled) -> frozenset[str]:
    """Return the UIDs of a resource's pods that are not ending."""
    pods = resource.namespace.live_pods(resource.name)
    return frozenset(pod["metadata"]["uid"] for pod in pods)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.phase))
def test_a_rollout_goes_on_from_the_state_that_it_was_in(scene: Scene, case: Case) -> None:
    """It comes to its end, makes no pod a second time, and loses no request on the way."""
    assert scene.at_death[case.name] == case.phase
    resource, before = Rolled(scene.namespace, case.name), scene.before[case.name]
    target = resource.target

    if case.phase in (RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK):
        resource.until(RolloutPhase.ROLLED_BACK, within_seconds=REACHED_SECONDS)
        assert resource.stable == before
    elif case.phase is RolloutPhase.STABLE:
        resource.namespace.until_settled(case.name)
        assert resource.stable == before
    else:
        resource.until_promoted(target, within_seconds=LASTING + REACHED_SECONDS)

    last = before if case.comes_back else target
    resource.until_alone(last)
    made = scene.diary.pods[case.name]
    assert len(resource.pods(last)) == case.replicas
    assert len(made[target]) <= case.replicas
    if case.phase in (RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK):
        assert live_uids(resource) == scene.pods_at_death[case.name]
    scene.traffic[case.name].stop()
    report = scene.traffic[case.name].report()
    report.assert_undisturbed(at_least=50)
    assert report.counts.get("long/ok"), "no long stream ran"
