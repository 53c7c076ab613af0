"""Promoting and baking: all traffic, then the pointer, then the time to prove itself."""

from dataclasses import replace

import pytest

from llm_operator.api.command import CommandVerb
from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import OnFailure, Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.state import VerdictOutcome
from tests.builders import NOW
from tests.rollout_builders import (
    FROZEN,
    NEW,
    OLD,
    TOTAL,
    Pods,
    Scene,
    ago,
    baking,
    later,
    promoting,
    reasons,
)

PASS, FAIL = VerdictOutcome.PASS, VerdictOutcome.FAIL


def at_100() -> Scene:
    """Return a promotion with all pods ready and all traffic asked for, applied just now."""
    scene = promoting().but(weight_percent=100, applied_at=NOW)
    return scene.seeing(old=Pods(1), new=Pods(TOTAL)).passed()


def test_the_pointer_moves_when_all_traffic_has_moved() -> None:
    """Six seconds after weight 100 was seen applied, and not before."""
    scene = at_100()
    assert scene.after(5).look().stable == OLD
    decision = scene.after(6).look()
    assert (decision.stable, decision.rollout.phase) == (NEW, RolloutPhase.BAKING)
    assert decision.rollout.previous == OLD
    assert Reason.PROMOTED in reasons(decision)


def test_the_pointer_waits_for_every_pod() -> None:
    """All of T must be ready; no pod is made anew for it."""
    scene = promoting().but(weight_percent=100)
    decision = scene.look()
    assert decision.stable == OLD
    assert dict(decision.sizes) == {OLD: 1, NEW: TOTAL}
    assert dict(at_100().after(6).look().sizes) == {OLD: 1, NEW: TOTAL}


@pytest.mark.parametrize(
    ("on_failure", "phase"),
    [(OnFailure.ROLLBACK, RolloutPhase.ROLLING_BACK), (OnFailure.PAUSE, RolloutPhase.PAUSED)],
)
def test_a_promotion_is_judged_as_a_step_is(on_failure: OnFailure, phase: RolloutPhase) -> None:
    """Until the pointer moves."""
    scene = promoting().with_policy(on_failure=on_failure)
    assert scene.hearing(FAIL, Reason.ERRORS_TOO_HIGH).look().rollout.phase is phase


@pytest.mark.parametrize("on_failure", OnFailure)
def test_a_promotion_has_the_deadline_of_a_step(on_failure: OnFailure) -> None:
    """A pod that never gets ready ends it."""
    scene = promoting().with_policy(on_failure=on_failure)
    assert scene.after(599).look().rollout.phase is RolloutPhase.PROMOTING
    assert scene.after(600).look().rollout.phase is RolloutPhase.ROLLING_BACK


def test_a_promotion_is_judged_on_after_it_held() -> None:
    """Loading the last pods takes long enough to see a revision fail."""
    held = promoting().hearing(VerdictOutcome.INCONCLUSIVE, Reason.METRICS_MISSING).passed()
    assert held.rollout.phase is RolloutPhase.HOLDING
    back = held.hearing(PASS).passed()
    assert (back.rollout.phase, back.rollout.window_started_at) == (RolloutPhase.PROMOTING, NOW)
    failed = back.hearing(FAIL, Reason.ERRORS_TOO_HIGH)
    assert failed.look().rollout.phase is RolloutPhase.ROLLING_BACK


def test_a_spec_that_is_paused_does_not_stop_a_promotion() -> None:
    """Steps are frozen by it; behind the last one there is none."""
    assert promoting().with_policy(paused=True).look().rollout.phase is RolloutPhase.PROMOTING
    assert baking().with_policy(paused=True).after(270).look().rollout.phase is RolloutPhase.STABLE


@pytest.mark.parametrize(("seconds", "phase"), [(269, "Baking"), (270, "Stable")])
def test_a_bake_lasts_as_long_as_the_spec_says(seconds: int, phase: str) -> None:
    """Then the old revision goes."""
    decision = baking().hearing(PASS).after(seconds).look()
    assert decision.rollout.phase == phase
    assert decision.sizes[OLD] == (1 if phase == "Baking" else 0)
    assert baking().look().wake_at == later(270)


@pytest.mark.parametrize("on_failure", OnFailure)
def test_a_revision_that_fails_while_it_bakes_is_taken_back(on_failure: OnFailure) -> None:
    """The pointer goes back, whatever ``onFailure`` says, and the hash is rejected."""
    scene = baking().with_policy(on_failure=on_failure)
    decision = scene.hearing(FAIL, Reason.ERRORS_TOO_HIGH).look()
    assert (decision.stable, decision.rollout.phase) == (OLD, RolloutPhase.ROLLING_BACK)
    assert decision.rollout.rejected == (NEW,)
    assert decision.rollout.target == NEW


@pytest.mark.parametrize("age", [31, 29])
def test_a_late_verdict_does_not_take_a_revision_back(age: int) -> None:
    """Only what was measured since the pointer moved counts."""
    scene = baking().hearing(FAIL, Reason.ERRORS_TOO_HIGH)
    assert scene.judgement is not None
    late = replace(scene, judgement=replace(scene.judgement, window_started_at=ago(age)))
    assert late.look().stable == NEW


@pytest.mark.parametrize(("seconds", "stable"), [(29, NEW), (30, OLD)])
def test_a_revision_that_serves_nothing_for_half_a_minute_is_taken_back(
    seconds: int, stable: str
) -> None:
    """If a pod of the old one is ready to serve."""
    scene = baking().seeing(old=Pods(1), new=Pods(starting=TOTAL)).but(lost_since=ago(seconds))
    assert scene.look().stable == stable


def test_a_bake_ends_also_where_nothing_can_take_over() -> None:
    """Neither side has a ready pod: waiting would change nothing."""
    scene = baking().seeing(new=Pods(starting=TOTAL)).but(lost_since=ago(100)).after(270)
    assert scene.look().rollout.phase is RolloutPhase.STABLE


def test_what_could_take_over_at_the_end_of_a_bake_is_waited_for() -> None:
    """The old pods are not removed while they are all that serves."""
    scene = baking().seeing(old=Pods(1), new=Pods(starting=TOTAL)).after(270)
    decision = scene.but(lost_since=later(260)).look()
    assert decision.rollout.phase is RolloutPhase.BAKING
    assert decision.sizes[OLD] == 1
    assert decision.wake_at == later(290)


def test_old_pods_yield_where_the_new_revision_needs_the_room() -> None:
    """T rises to 5, E 1, and a pod that cannot be placed: the old one makes room."""
    stuck = baking().asking(total=5).seeing(old=Pods(1), new=Pods(TOTAL, starting=1))
    waits = stuck.with_cause(NEW, Reason.INSUFFICIENT_ACCELERATOR, final=False)
    assert stuck.look().sizes[OLD] == 1
    assert waits.look().sizes[OLD] == 0


def test_without_extra_pods_nothing_old_is_kept() -> None:
    """E 0: the last stable pod goes for the last canary pod."""
    frozen = replace(FROZEN, max_extra_replicas=0, min_serving_percent=75)
    scene = baking().but(frozen=frozen).seeing(old=Pods(1), new=Pods(3))
    assert dict(scene.look().sizes) == {OLD: 0, NEW: 3}
    gone = scene.seeing(new=Pods(3))
    assert gone.look().sizes[NEW] == TOTAL


def test_blue_green_keeps_the_whole_old_revision() -> None:
    """Its E is T."""
    frozen = replace(FROZEN, strategy=Strategy.BLUE_GREEN)
    scene = baking().but(frozen=frozen).seeing(old=Pods(TOTAL), new=Pods(TOTAL))
    assert dict(scene.look().sizes) == {OLD: TOTAL, NEW: TOTAL}


def test_a_rolling_rollout_is_not_judged_while_it_bakes_either() -> None:
    """It is a canary without analysis; losing all pods still takes it back."""
    rolling = baking().but(frozen=replace(FROZEN, strategy=Strategy.ROLLING))
    decision = rolling.hearing(FAIL, Reason.ERRORS_TOO_HIGH).look()
    assert (decision.stable, decision.is_judged) == (NEW, False)
    lost = rolling.seeing(old=Pods(1), new=Pods(starting=TOTAL)).but(lost_since=ago(30))
    assert lost.look().stable == OLD


def test_what_served_nothing_is_not_kept_to_go_back_to() -> None:
    """A direct replacement has no bake."""
    scene = at_100().but(frozen=replace(FROZEN, replaces_directly=True))
    decision = scene.seeing(new=Pods(TOTAL)).after(6).look()
    assert (decision.rollout.phase, decision.stable) == (RolloutPhase.STABLE, NEW)


def test_a_new_revision_has_been_ready_when_it_becomes_stable() -> None:
    """So that the next edit keeps it until its own pods serve."""
    scene = at_100().but(stable_was_ready=False, stable_lost_since=ago(9)).after(6)
    rollout = scene.look().rollout
    assert (rollout.stable_was_ready, rollout.stable_lost_since) == (True, None)


def test_a_command_ends_the_bake_for_good() -> None:
    """After it, nothing is left to go back to."""
    decision = baking().told(CommandVerb.PROMOTE).look()
    assert (decision.rollout.phase, decision.rollout.previous) == (RolloutPhase.STABLE, None)
    assert dict(decision.sizes) == {OLD: 0, NEW: TOTAL}
