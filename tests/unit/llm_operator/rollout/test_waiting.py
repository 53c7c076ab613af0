"""Paused and Holding: everything stays, what fails still fails, and both end."""

from dataclasses import replace

import pytest

from llm_operator.api.command import CommandVerb
from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import OnFailure
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.state import AppliedTraffic, VerdictOutcome
from tests.builders import NOW
from tests.rollout_builders import (
    OLD,
    Pods,
    Scene,
    ago,
    holding,
    later,
    paused,
    promoting,
    stepping,
)

PASS, FAIL = VerdictOutcome.PASS, VerdictOutcome.FAIL
UNDECIDED = VerdictOutcome.INCONCLUSIVE
MISSING = (VerdictOutcome.INCONCLUSIVE, Reason.METRICS_MISSING)


def without_route(scene: Scene, seconds: int) -> Scene:
    """Return a scene whose share has not been applied for so long."""
    traffic = AppliedTraffic(50, is_applied=False, problem="the route is not accepted")
    world = replace(scene.world, traffic=traffic)
    return replace(scene, world=world).but(unapplied_since=ago(seconds))


def without_canary(scene: Scene, seconds: int) -> Scene:
    """Return a scene whose canary has had no ready pod for so long."""
    return scene.seeing(old=Pods(3), new=Pods(starting=2)).but(lost_since=ago(seconds))


@pytest.mark.parametrize(
    ("scene", "cause"),
    [
        (stepping().hearing(*MISSING), Reason.METRICS_MISSING),
        (without_route(stepping(), 30), Reason.TRAFFIC_NOT_APPLIED),
        (without_canary(stepping(), 30), Reason.CANARY_LOST),
        (promoting().hearing(*MISSING), Reason.METRICS_MISSING),
        (paused().hearing(*MISSING), Reason.METRICS_MISSING),
        (without_route(paused(), 30), Reason.TRAFFIC_NOT_APPLIED),
    ],
)
def test_what_cannot_be_judged_or_steered_holds(scene: Scene, cause: Reason) -> None:
    """With the cause, a deadline and the way back."""
    rollout = scene.look().rollout
    assert (rollout.phase, rollout.cause) == (RolloutPhase.HOLDING, cause)
    assert rollout.return_to is scene.rollout.phase
    assert rollout.holding_deadline_at == later(1800)


@pytest.mark.parametrize("scene", [without_route(stepping(), 29), without_canary(stepping(), 29)])
def test_a_short_gap_does_not_hold(scene: Scene) -> None:
    """Half a minute is what a restart or a write takes; the next look is then."""
    decision = scene.look()
    assert decision.rollout.phase is RolloutPhase.STEP
    assert decision.wake_at == later(1)


def test_holding_keeps_the_share_and_the_pods() -> None:
    """It neither raises the one nor makes the others, also for a higher total."""
    decision = holding().asking(total=8).look()
    assert decision.rollout.weight_percent == 50
    assert decision.sizes[OLD] > 3
    assert sum(decision.sizes.values()) == decision.sizes[OLD] + 2


@pytest.mark.parametrize(("stable_ready", "weight"), [(1, 0), (0, 50)])
@pytest.mark.parametrize("scene", [holding(), paused()])
def test_a_canary_without_a_ready_pod_loses_its_share_to_stable_pods_alone(
    scene: Scene, stable_ready: int, weight: int
) -> None:
    """Traffic never goes where no pod is ready."""
    lost = scene.seeing(old=Pods(stable_ready, starting=3), new=Pods(starting=2))
    assert lost.look().rollout.weight_percent == weight


def test_holding_ends_with_its_cause_and_a_new_window() -> None:
    """What was measured before the gap says nothing about what comes after it."""
    rollout = holding().hearing(PASS).look().rollout
    assert (rollout.phase, rollout.cause) == (RolloutPhase.STEP, None)
    assert rollout.window_started_at == NOW
    assert rollout.clock_started_at == NOW


def test_no_reading_is_no_news_of_metrics() -> None:
    """A restart finds no verdict of the window, and still holds."""
    assert replace(holding(), judgement=None).look().rollout.phase is RolloutPhase.HOLDING


def test_metrics_that_are_missing_stay_so_until_they_are_read_again() -> None:
    """A canary that was not ready in between is read anew before it gets its share back."""
    lost = holding().seeing(old=Pods(3), new=Pods(starting=2)).passed()
    assert (lost.rollout.window_started_at, lost.rollout.weight_percent) == (None, 0)
    silent = replace(lost, judgement=None).seeing(old=Pods(3), new=Pods(2)).after(20).passed()
    assert (silent.rollout.phase, silent.rollout.weight_percent) == (RolloutPhase.HOLDING, 0)
    assert silent.rollout.window_started_at == later(20)
    heard = silent.hearing(UNDECIDED, Reason.TOO_FEW_REQUESTS)
    assert heard.look().rollout.phase is RolloutPhase.STEP


def test_a_failed_verdict_ends_what_waits() -> None:
    """Paused and Holding are judged on."""
    for scene in (paused(), without_route(holding(), 60), without_canary(holding(), 60)):
        if scene.rollout.window_started_at is not None:
            rollout = (
                scene.hearing(FAIL, Reason.ERRORS_TOO_HIGH)
                .seeing(old=Pods(3), new=Pods(2))
                .look()
                .rollout
            )
            assert rollout.phase is RolloutPhase.ROLLING_BACK


@pytest.mark.parametrize(
    ("on_failure", "phase"),
    [(OnFailure.ROLLBACK, RolloutPhase.ROLLING_BACK), (OnFailure.PAUSE, RolloutPhase.PAUSED)],
)
@pytest.mark.parametrize("return_to", [RolloutPhase.STEP, RolloutPhase.PROMOTING])
def test_holding_past_its_deadline_does_what_the_spec_says(
    return_to: RolloutPhase, on_failure: OnFailure, phase: RolloutPhase
) -> None:
    """Not before; and the pause that it may lead to does not hold again."""
    scene = holding().but(return_to=return_to).with_policy(on_failure=on_failure)
    assert scene.after(899).look().rollout.phase is RolloutPhase.HOLDING
    assert scene.look().wake_at == later(900)
    ended = scene.after(900).passed()
    assert ended.rollout.phase is phase
    assert ended.rollout.cause in (Reason.METRICS_MISSING, Reason.PAUSED_BY_FAILURE)
    assert ended.after(5000).look().rollout.phase is not RolloutPhase.HOLDING


def test_the_deadline_of_holding_is_that_of_the_step() -> None:
    """Coming back to it gives no more time; once it is over, it fails at once."""
    again = stepping().but(holding_deadline_at=later(5)).hearing(*MISSING)
    assert again.look().rollout.holding_deadline_at == later(5)
    assert again.after(5).look().rollout.phase is RolloutPhase.ROLLING_BACK


def test_another_step_and_the_promotion_have_a_deadline_of_their_own() -> None:
    """Minutes that were held in an earlier step do not count."""
    scene = stepping().but(holding_deadline_at=ago(5))
    for verb in (CommandVerb.PROMOTE_STEP, CommandVerb.PROMOTE):
        assert scene.told(verb).look().rollout.holding_deadline_at is None


def test_a_pause_ends_with_its_time() -> None:
    """On to the next step, not into the one that it follows."""
    scene = paused().but(pause_until=later(60))
    assert scene.look().wake_at == later(60)
    assert scene.after(59).look().rollout.phase is RolloutPhase.PAUSED
    on = scene.after(60).look().rollout
    assert (on.phase, on.step) == (RolloutPhase.STEP, 2)


def test_a_pause_without_a_time_waits_for_somebody() -> None:
    """However long."""
    decision = paused().after(10**6).look()
    assert decision.rollout.phase is RolloutPhase.PAUSED


def test_a_paused_spec_outlasts_the_time_of_a_pause() -> None:
    """When the spec goes on, so does the rollout, to the step after the pause."""
    scene = paused().but(pause_until=later(60), elapsed_seconds=60)
    over = scene.with_policy(paused=True).after(60).passed()
    assert over.rollout.paused_by is Reason.PAUSED_BY_SPEC
    on = over.with_policy(paused=False).hearing(PASS).after(60)
    assert on.look().rollout.step == 2


def test_only_what_the_spec_paused_goes_on_with_the_spec() -> None:
    """A pause by command, by a step or by a failure needs somebody."""
    for by in (Reason.PAUSED_BY_COMMAND, Reason.PAUSED_BY_STEP, Reason.PAUSED_BY_FAILURE):
        assert paused(by).look().rollout.phase is RolloutPhase.PAUSED
    assert paused(Reason.PAUSED_BY_SPEC).look().rollout.phase is RolloutPhase.STEP


def test_holding_during_a_pause_goes_back_to_the_pause() -> None:
    """Who paused is still known, and so is its end."""
    scene = paused().but(pause_until=later(600)).hearing(*MISSING).passed()
    assert scene.rollout.phase is RolloutPhase.HOLDING
    back = scene.hearing(PASS).look().rollout
    assert (back.phase, back.cause) == (RolloutPhase.PAUSED, Reason.PAUSED_BY_STEP)
    assert back.pause_until == later(600)


def test_a_pause_is_judged_on_after_it_held() -> None:
    """A window that was given up is followed by another one."""
    back = paused().hearing(*MISSING).passed().hearing(PASS).passed()
    assert back.rollout.phase is RolloutPhase.PAUSED
    assert back.rollout.window_started_at == NOW
    failed = back.hearing(FAIL, Reason.ERRORS_TOO_HIGH)
    assert failed.look().rollout.phase is RolloutPhase.ROLLING_BACK


def test_a_spec_that_paused_over_a_gap_goes_on_with_the_whole_step() -> None:
    """MinSeconds count from the new window, and are over some time."""
    scene = paused(Reason.PAUSED_BY_SPEC).with_policy(paused=True)
    back = scene.hearing(*MISSING).passed().hearing(PASS).passed()
    on = back.with_policy(paused=False).passed().hearing(PASS)
    assert on.rollout.phase is RolloutPhase.STEP
    assert on.after(59).look().rollout.step == 1
    assert on.after(60).look().rollout.step == 2


def test_a_pause_after_a_failure_holds_no_more() -> None:
    """It already waits for somebody; the cause that they should see stays."""
    scene = paused(Reason.PAUSED_BY_FAILURE).with_policy(on_failure=OnFailure.PAUSE)
    rollout = scene.hearing(*MISSING).look().rollout
    assert (rollout.phase, rollout.cause) == (RolloutPhase.PAUSED, Reason.PAUSED_BY_FAILURE)


def test_no_canary_pod_is_made_and_no_share_raised_while_it_waits() -> None:
    """Also where the step is not reached yet."""
    for scene in (holding(), paused()):
        short = scene.seeing(old=Pods(3), new=Pods(1)).but(weight_percent=25)
        decision = short.look()
        assert decision.sizes == {OLD: 3} | {scene.rollout.target: 1}
        assert decision.rollout.weight_percent == 25
