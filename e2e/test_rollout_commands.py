"""Every command, given as a user gives it: by the plugin, and by an annotation that lies in Git.

Traffic flows all the while; all versions are good, so no command may cost a request.
"""

import time
from dataclasses import dataclass

import pytest

from e2e.manifests import Manifest
from e2e.rollouts import NEW, Rolled, quick, served, step, wait_for_all
from e2e.story import Namespace
from e2e.traffic.harness import Load, Traffic, start
from kubectl_llm.exits import ExitCode
from llm_operator import kinds
from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase

pytestmark = pytest.mark.cluster

FOREVER = 3600
LOAD = Load(1, 1, 1, long_tokens=200, limit_seconds=1800, fresh_connections=True)
"""Long streams of 8 s; for longer than all tests of this file take."""


def stepwise() -> Manifest:
    """Return a resource that stops after each step until it is told to go on."""
    return served("stepwise", quick(step(25, 1, pause={}), step(50, 1, pause={}), step(100, 1)))


def endless() -> Manifest:
    """Return a resource whose first step lasts longer than any test."""
    return served("endless", quick(step(25, FOREVER), step(100, 1)))


@dataclass(frozen=True, slots=True)
class Scene:
    """Two resources that are being changed."""

    stepwise: Rolled
    endless: Rolled
    before: str
    """Stable revision of ``endless`` before the change."""
    pods: frozenset[str]
    """Its pods."""
    traffic: tuple[Traffic, ...]
    """To each of the two."""


@pytest.fixture(scope="module")
def scene(module_namespace: Namespace) -> Scene:
    """Both serve, have traffic, and have been given a version that is as good."""
    stepwise_, endless_ = (Rolled(module_namespace, name) for name in ("stepwise", "endless"))
    module_namespace.apply(stepwise())
    module_namespace.apply(endless())
    wait_for_all([stepwise_, endless_])
    before, pods = endless_.stable, endless_.pods(endless_.stable)
    traffic = tuple(start(module_namespace, each.name, LOAD) for each in (stepwise_, endless_))
    for sender in traffic:
        sender.until_answered(within_seconds=60)
    for resource in (stepwise_, endless_):
        resource.edit_args(NEW)
    return Scene(stepwise_, endless_, before, pods, traffic)


def test_promote_step_and_resume_go_on_step_by_step(scene: Scene) -> None:
    """At each pause of a step a command leads to the next one; after the last: promoted."""
    resource = scene.stepwise
    paused = resource.until(RolloutPhase.PAUSED)
    assert (paused["weightPercent"], paused["reason"]) == (25, Reason.PAUSED_BY_STEP)

    resource.tell("promote-step")
    resource.namespace.until(
        "the second step is reached and over",
        lambda: (resource.phase, resource.rollout.get("weightPercent")) == ("Paused", 50),
        within_seconds=60,
    )
    resource.tell("resume")

    resource.until_promoted(resource.target)
    assert resource.plugin("status", "--watch").returncode == ExitCode.OK
    assert resource.plugin("resume").returncode == ExitCode.STALE_COMMAND


def test_pause_and_abort_stop_a_step_and_go_back(scene: Scene) -> None:
    """Pause keeps the weight; abort ends in stable, its pods untouched, the revision rejected."""
    resource = scene.endless
    rollout = resource.until(RolloutPhase.STEP)
    canary = rollout["target"]

    resource.tell("pause")
    paused = resource.until(RolloutPhase.PAUSED)
    assert paused["reason"] == Reason.PAUSED_BY_COMMAND
    resource.tell("abort")

    resource.until(RolloutPhase.ROLLED_BACK)
    assert resource.condition("Stalled").reason == Reason.ABORTED
    assert resource.rollout["rejected"] == [canary]
    assert resource.stable == scene.before
    assert resource.pods(scene.before) == scene.pods
    assert resource.plugin("status", "--watch").returncode == ExitCode.ROLLED_BACK


def test_applying_an_aborted_manifest_again_starts_nothing(scene: Scene) -> None:
    """Ten applies of the same manifest leave the rejected revision without a pod."""
    resource = scene.endless
    manifest = endless()
    manifest["spec"]["server"]["args"].append(NEW)
    canary = resource.target

    for _ in range(10):
        resource.namespace.apply(manifest, "--force-conflicts")
        time.sleep(0.5)
        assert resource.phase == RolloutPhase.ROLLED_BACK
        assert not resource.pods(canary)

    assert resource.pods(scene.before) == scene.pods


def test_a_command_is_carried_out_once(scene: Scene) -> None:
    """A copy of a command in a manifest does nothing when it is applied again after its end."""
    resource = scene.endless
    manifest = endless()
    manifest["spec"]["server"]["args"].append(NEW)
    command = f"abort {resource.target} from-git"
    manifest["metadata"]["annotations"] = {kinds.COMMAND_ANNOTATION: command}

    resource.namespace.apply(manifest, "--force-conflicts")
    resource.namespace.until(
        "the command was looked at",
        lambda: "from-git" in resource.rollout.get("commands", []),
        within_seconds=20,
    )
    resource.tell("retry")
    resource.until(RolloutPhase.STEP)
    resource.namespace.apply(manifest, "--force-conflicts")
    time.sleep(3)

    assert resource.phase == RolloutPhase.STEP, "the old command was carried out again"


def test_promote_goes_past_all_steps(scene: Scene) -> None:
    """A step that would last for hours is left at once; the revision is stable and no reject."""
    resource = scene.endless
    canary = resource.until(RolloutPhase.STEP)["target"]

    resource.tell("promote")

    resource.until_promoted(canary)
    assert resource.condition("Stalled").status == "False"
    assert canary not in resource.rollout.get("rejected", [])


def test_undo_goes_back_by_an_ordinary_rollout(scene: Scene) -> None:
    """The plugin writes the old revision into the spec; hash and number are known from history."""
    resource = scene.endless
    assert scene.before in resource.tell("history")

    resource.tell("undo", "--to", scene.before, "--yes")
    resource.until(RolloutPhase.STEP)
    resource.tell("promote")

    resource.until_promoted(scene.before)


def test_no_request_was_lost_under_any_command(scene: Scene) -> None:
    """Since before the first command each request ended whole, by the one or the other revision."""
    for sender in scene.traffic:
        sender.stop()

    for sender in scene.traffic:
        report = sender.report()
        report.assert_undisturbed(at_least=100)
        assert report.counts.get("long/ok"), "no long stream ran"
        assert len(report.revisions) == 2, f"{sender.pod} did not meet both revisions"
