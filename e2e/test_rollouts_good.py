"""Changes to a version that is as good: every strategy, and what may happen in the middle.

All resources start and change together, each with its own traffic; the tests look at one each.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from e2e.manifests import Manifest
from e2e.rollouts import NEW, Diary, Rolled, noted, quick, served, step, wait_for_all
from e2e.story import Namespace
from e2e.traffic.harness import Load, Report, Traffic, start
from llm_operator.api.status import RolloutPhase

pytestmark = pytest.mark.cluster

LOAD = Load(1, 1, 1, long_tokens=150, fresh_connections=True)
FOREVER = 3600
ALSO_GOOD = "--simulated-prefill-tokens-per-second=50000"


def manifests() -> list[Manifest]:
    """Return one resource per test."""
    held = quick(step(50, pause={}), step(100))
    at_once = quick(strategy="BlueGreen")
    return [
        served("canary", quick(step(25), step(50), step(100)), replicas=3),
        served("bluegreen", at_once, replicas=2),
        served("rolling", quick(strategy="Rolling"), replicas=3),
        served("reverted", held, replicas=2),
        served("edited", held, replicas=2),
        served("taken-back", {**at_once, "bakeSeconds": FOREVER}),
    ]


@dataclass(frozen=True, slots=True)
class Scene:
    """What all tests look at."""

    namespace: Namespace
    diary: Diary
    before: dict[str, str]
    """The stable revision of each resource before its first change."""
    traffic: dict[str, Traffic]

    def resource(self, name: str) -> Rolled:
        """Return one of the resources."""
        return Rolled(self.namespace, name)

    def first_change(self, name: str) -> str:
        """Return the hash of the revision that the first change began."""
        return self.resource(name).until_target_is_not(self.before[name])

    def report(self, name: str) -> Report:
        """End the traffic of a resource and return its record."""
        self.traffic[name].stop()
        return self.traffic[name].report()


@pytest.fixture(scope="module")
def scene(module_namespace: Namespace) -> Iterator[Scene]:
    """Every resource serves, has traffic, and has been given a version that is as good."""
    names = [manifest["metadata"]["name"] for manifest in manifests()]
    resources = [Rolled(module_namespace, name) for name in names]
    for manifest in manifests():
        module_namespace.apply(manifest)
    wait_for_all(resources)
    traffic = {name: start(module_namespace, name, LOAD) for name in names}
    for each in traffic.values():
        each.until_answered(within_seconds=60)
    before = {resource.name: resource.stable for resource in resources}
    with ExitStack() as stack:
        diary = stack.enter_context(noted(module_namespace))
        for resource in resources:
            resource.edit_args(NEW)
        yield Scene(module_namespace, diary, before, traffic)


def test_a_revert_in_mid_canary_ends_in_stable(scene: Scene) -> None:
    """Going back while the canary has a share makes no stable pod again and rejects nothing."""
    resource, before = scene.resource("reverted"), scene.before["reverted"]
    canary = scene.first_change("reverted")
    resource.until(RolloutPhase.PAUSED)

    resource.edit_args()

    resource.until_promoted(before)
    resource.until_alone(before)
    assert canary not in resource.rollout.get("rejected", [])
    assert len(scene.diary.pods["reverted"][before]) == 2, "reverting made stable pods again"
    scene.report("reverted").assert_undisturbed(at_least=50)


def test_an_edit_in_mid_canary_supersedes_it(scene: Scene) -> None:
    """The canary goes all the way back before the next one starts, which is then promoted."""
    resource = scene.resource("edited")
    first = scene.first_change("edited")
    resource.until(RolloutPhase.PAUSED)

    resource.edit_args(ALSO_GOOD)
    second = resource.until_target_is_not(first)
    resource.until(RolloutPhase.PAUSED)
    assert not resource.pods(first), "a superseded canary is left beside the next one"
    resource.tell("resume")

    resource.until_promoted(second)
    assert "RollingBack" in scene.diary.phases("edited", first)
    assert scene.diary.together["edited"] <= 3, "more pods than replicas and one extra"
    assert first not in resource.rollout.get("rejected", [])
    scene.report("edited").assert_undisturbed(at_least=50)


def test_a_good_canary_is_promoted_through_its_steps(scene: Scene) -> None:
    """Editing the spec leads through every weight to promotion; no request is lost on the way."""
    resource = scene.resource("canary")
    canary = scene.first_change("canary")
    resource.until_promoted(canary, within_seconds=150)

    assert [w for w in scene.diary.weights("canary", canary) if w] == [25, 50, 100]
    assert len(scene.diary.pods["canary"][canary]) == 3, "promotion made canary pods again"
    assert scene.diary.together["canary"] <= 4, "more pods than replicas and one extra"
    assert len(scene.diary.pods["canary"][scene.before["canary"]]) == 3
    resource.until_alone(canary)
    report = scene.report("canary")
    report.assert_undisturbed(at_least=100)
    assert report.answered_by(canary)
    assert report.answered_by(scene.before["canary"])
    assert "Promoted" in resource.tell("history")


def test_blue_green_moves_all_traffic_at_once(scene: Scene) -> None:
    """The new version comes up at full size beside the old one and then takes everything."""
    canary = scene.first_change("bluegreen")
    scene.resource("bluegreen").until_promoted(canary, within_seconds=120)

    assert [w for w in scene.diary.weights("bluegreen", canary) if w] == [100]
    pods = scene.diary.pods["bluegreen"]
    made = {revision: len(uids) for revision, uids in pods.items()}
    assert made == {scene.before["bluegreen"]: 2, canary: 2}
    assert scene.diary.together["bluegreen"] == 4, "the new version was not beside the old one"
    scene.report("bluegreen").assert_undisturbed(at_least=50)


def test_rolling_replaces_pod_by_pod(scene: Scene) -> None:
    """One pod more at a time, without judgement, and nothing is lost."""
    canary = scene.first_change("rolling")
    scene.resource("rolling").until_promoted(canary, within_seconds=150)

    weights = [w for w in scene.diary.weights("rolling", canary) if w]
    assert weights == sorted(weights)
    assert len(weights) == 3, weights
    assert len(scene.diary.pods["rolling"][canary]) == 3, "a new pod was made again"
    assert scene.diary.together["rolling"] <= 4, "more pods than replicas and one extra"
    scene.report("rolling").assert_undisturbed(at_least=50)


def test_a_bake_can_be_taken_back(scene: Scene) -> None:
    """While it bakes, going back moves traffic to the pods that were kept, at once."""
    resource, before = scene.resource("taken-back"), scene.before["taken-back"]
    canary = scene.first_change("taken-back")
    resource.until(RolloutPhase.BAKING)
    assert resource.stable == canary
    kept = resource.pods(before)

    resource.edit_args()

    resource.until_promoted(before)
    assert resource.pods(before) == kept
    assert len(kept) == 1
    scene.report("taken-back").assert_undisturbed(at_least=30)
