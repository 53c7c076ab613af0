"""Preparing and stepping: pods first, then their share, then the judgement."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import OnFailure, Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.api.traffic import Provider
from llm_operator.rollout.forecast import Outset, forecast
from llm_operator.rollout.state import Frozen, Intent, Pause, Rollout, Step, VerdictOutcome, World
from tests.builders import NOW
from tests.rollout_builders import (
    DEADLINE,
    FROZEN,
    NEW,
    NEXT,
    OLD,
    POLICY,
    TOTAL,
    Pods,
    Scene,
    ago,
    first,
    later,
    preparing,
    reasons,
    stepping,
)

PASS, FAIL = VerdictOutcome.PASS, VerdictOutcome.FAIL
UNDECIDED = VerdictOutcome.INCONCLUSIVE


def waiting_for_pods() -> Scene:
    """Return the second step before its second pod is ready."""
    scene = stepping().but(
        window_started_at=None, clock_started_at=None, weight_percent=20, deadline_at=later(600)
    )
    return scene.seeing(old=Pods(3), new=Pods(1, starting=1)).passed()


def test_preparation_asks_for_no_share() -> None:
    """One pod beside stable, weight 0, whatever is ready."""
    decision = preparing().look()
    assert dict(decision.sizes) == {OLD: TOTAL, NEW: 1}
    assert decision.rollout.weight_percent == 0


def test_the_first_step_begins_when_its_pods_are_ready() -> None:
    """Its event comes when its share is applied."""
    decision = preparing(Pods(1)).look()
    assert (decision.rollout.phase, decision.rollout.step) == (RolloutPhase.STEP, 0)
    assert Reason.STEP_REACHED not in reasons(decision)


def test_a_final_cause_ends_the_preparation_at_once() -> None:
    """The hash is rejected for it; waiting cannot help."""
    scene = preparing().with_cause(NEW, Reason.CRASH_LOOPING, final=True)
    rollout = scene.look().rollout
    assert rollout.cause is Reason.CRASH_LOOPING
    assert rollout.rejected == (NEW,)
    assert rollout.phase in (RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK)


def test_a_passing_cause_is_waited_for_until_the_deadline() -> None:
    """Then it is named in the message."""
    scene = preparing().with_cause(NEW, Reason.INSUFFICIENT_ACCELERATOR, final=False)
    assert scene.after(599).look().rollout.phase is RolloutPhase.PREPARING
    late = scene.after(600).look().rollout
    assert late.cause is Reason.PROGRESS_DEADLINE_EXCEEDED
    assert Reason.INSUFFICIENT_ACCELERATOR.meaning in late.message


def test_a_cause_of_an_earlier_attempt_ends_nothing() -> None:
    """A pod that still ends is not one of the pods that are tried now."""
    scene = preparing(Pods(ending=1)).with_cause(NEW, Reason.CRASH_LOOPING, final=True)
    assert scene.look().rollout.phase is RolloutPhase.PREPARING


def test_the_deadline_runs_anew_from_each_pod_that_gets_ready() -> None:
    """A slow load is not a stuck one; a pod that is lost and comes back is no progress."""
    scene = first(Pods(starting=TOTAL)).but(deadline_at=later(10))
    one = scene.seeing(new=Pods(1, starting=3)).passed()
    assert one.rollout.deadline_at == NOW + DEADLINE
    again = one.after(100).seeing(new=Pods(starting=4)).passed()
    back = again.after(100).seeing(new=Pods(1, starting=3)).passed()
    assert back.rollout.deadline_at == NOW + DEADLINE


@pytest.mark.parametrize("on_failure", OnFailure)
def test_a_preparation_that_fails_always_goes_back(on_failure: OnFailure) -> None:
    """There is nothing to look at: ``onFailure`` is about judgement."""
    scene = preparing().with_policy(on_failure=on_failure)
    for failing in (scene.after(600), scene.with_cause(NEW, Reason.OUT_OF_MEMORY, final=True)):
        assert failing.look().rollout.rejected == (NEW,)


def test_a_first_revision_goes_on_trying_and_says_why() -> None:
    """There is nothing to go back to."""
    scene = first(Pods(starting=TOTAL)).with_cause(NEW, Reason.CRASH_LOOPING, final=True)
    rollout = scene.look().rollout
    assert (rollout.phase, rollout.cause) == (RolloutPhase.PREPARING, Reason.CRASH_LOOPING)
    overdue = first(Pods(starting=TOTAL)).but(deadline_at=ago(1)).look().rollout
    assert overdue.cause is Reason.PROGRESS_DEADLINE_EXCEEDED
    assert overdue.rejected == ()


def test_a_first_revision_serves_when_all_of_it_is_ready() -> None:
    """It becomes stable without steps and without a bake."""
    decision = first(Pods(TOTAL)).look()
    assert (decision.rollout.phase, decision.stable) == (RolloutPhase.STABLE, NEW)


def test_a_spec_that_is_paused_while_it_prepares_stops_before_the_first_step() -> None:
    """The pods are made ready all the same; without the pause it goes on to the first step."""
    scene = preparing(Pods(1)).with_policy(paused=True)
    assert preparing().with_policy(paused=True).look().rollout.phase is RolloutPhase.PREPARING
    paused = scene.passed()
    assert paused.rollout.paused_by is Reason.PAUSED_BY_SPEC
    assert paused.rollout.weight_percent == 0
    on = paused.with_policy(paused=False).look().rollout
    assert (on.phase, on.step) == (RolloutPhase.STEP, 0)


def test_no_share_is_asked_for_pods_that_are_not_ready() -> None:
    """The second step has half of the pods, and only when they are ready half of the traffic."""
    scene = waiting_for_pods()
    assert scene.look().rollout.weight_percent == 20
    ready = scene.seeing(old=Pods(3), new=Pods(2))
    assert ready.look().rollout.weight_percent == 50


def test_a_stable_pod_goes_only_once_its_share_has_moved() -> None:
    """T 4, E 1, from 1 + 4 to 2 + 3: 25 % first, applied and 6 s old, then one pod less."""
    scene = stepping().but(weight_percent=0, window_started_at=None, deadline_at=later(600))
    scene = scene.but(applied_at=ago(60)).seeing(old=Pods(TOTAL), new=Pods(1))
    asked = scene.passed()
    assert asked.rollout.weight_percent == 25
    assert asked.look().sizes[OLD] == TOTAL
    seen = asked.passed()
    assert seen.after(5).look().sizes[OLD] == TOTAL
    assert seen.after(6).look().sizes[OLD] == TOTAL - 1


def test_no_ready_pod_goes_that_must_serve() -> None:
    """E 0, 75 percent of 4: with one pod missing already, stable gives up no other."""
    frozen = replace(FROZEN, max_extra_replicas=0, min_serving_percent=75)
    scene = stepping().but(frozen=frozen, step=1, step_weight_percent=50, window_started_at=None)
    scene = scene.but(weight_percent=33, deadline_at=later(600))
    short = scene.seeing(old=Pods(2), new=Pods(1))
    whole = scene.seeing(old=Pods(3), new=Pods(1))
    assert short.passed().look().sizes[OLD] == 2
    assert whole.passed().after(6).look().sizes[OLD] == 2


def test_an_unready_stable_pod_goes_first() -> None:
    """It carries nothing."""
    scene = stepping().but(window_started_at=None, deadline_at=later(600), weight_percent=25)
    sizes = scene.seeing(old=Pods(3, starting=1), new=Pods(1)).look().sizes
    assert sizes[OLD] == 3


def test_the_window_opens_when_proxies_know_the_share() -> None:
    """Six seconds after it was first seen applied; then the step's times run, too."""
    scene = stepping().but(window_started_at=None, clock_started_at=None, applied_at=NOW)
    assert scene.after(5).look().rollout.window_started_at is None
    opened = scene.after(6).look().rollout
    assert opened.window_started_at == opened.clock_started_at == later(6)


def test_a_share_that_is_asked_is_looked_for_and_then_waited_for() -> None:
    """Each pass names the moment of the next one."""
    scene = stepping().but(window_started_at=None, clock_started_at=None, applied_at=NOW)
    assert scene.look().wake_at == later(6)


@pytest.mark.parametrize(("seconds", "step"), [(29, 1), (30, 2)])
def test_a_pass_counts_after_min_seconds(seconds: int, step: int) -> None:
    """Not earlier, however good it looks."""
    assert stepping().hearing(PASS).after(seconds).look().rollout.step == step


@pytest.mark.parametrize(("seconds", "until"), [(600, later(630)), (None, None)])
def test_a_step_ends_with_its_pause(seconds: int | None, until: object) -> None:
    """For a time, or until somebody says so."""
    steps = (Step(25), Step(50, pause=Pause(seconds)), Step(100))
    scene = stepping().with_policy(steps=steps).hearing(PASS).after(30)
    rollout = scene.look().rollout
    assert (rollout.phase, rollout.pause_until) == (RolloutPhase.PAUSED, until)
    assert rollout.paused_by is Reason.PAUSED_BY_STEP


def test_the_last_step_leads_to_the_promotion() -> None:
    """Whatever its weight is."""
    steps = (Step(25), Step(50))
    scene = stepping().with_policy(steps=steps).hearing(PASS).after(30)
    assert scene.look().rollout.phase is RolloutPhase.PROMOTING


@pytest.mark.parametrize(
    ("on_failure", "phase"),
    [
        (OnFailure.ROLLBACK, RolloutPhase.ROLLING_BACK),
        (OnFailure.PAUSE, RolloutPhase.PAUSED),
    ],
)
@pytest.mark.parametrize(
    "failing",
    [
        lambda: stepping().hearing(FAIL, Reason.ERRORS_TOO_HIGH),
        lambda: stepping().hearing(UNDECIDED, Reason.TOO_FEW_REQUESTS).after(1770),
    ],
)
def test_a_bad_or_a_missing_verdict_does_what_the_spec_says(
    failing: Callable[[], Scene], on_failure: OnFailure, phase: RolloutPhase
) -> None:
    """A Fail at once, no verdict after ``inconclusiveSeconds``."""
    rollout = failing().with_policy(on_failure=on_failure).look().rollout
    assert rollout.phase is phase
    rejected = on_failure is OnFailure.ROLLBACK
    assert rollout.rejected == ((NEW,) if rejected else ())
    assert rollout.cause is not None


def test_no_verdict_is_waited_for_until_then() -> None:
    """Too few requests are no reason to give up earlier."""
    scene = stepping().hearing(UNDECIDED, Reason.TOO_FEW_REQUESTS).after(1769)
    decision = scene.look()
    assert decision.rollout.phase is RolloutPhase.STEP
    assert decision.wake_at == later(1770)


def test_a_verdict_of_another_window_counts_nothing() -> None:
    """Neither good nor bad."""
    for outcome in VerdictOutcome:
        late = stepping().hearing(outcome, Reason.ERRORS_TOO_HIGH)
        assert late.judgement is not None
        other = replace(late.judgement, window_started_at=ago(31))
        scene = replace(late, judgement=other).after(60)
        assert scene.look() == replace(scene, judgement=None).look()


@pytest.mark.parametrize("on_failure", OnFailure)
def test_scaling_past_the_deadline_always_goes_back(on_failure: OnFailure) -> None:
    """The revision cannot be run, which no person can judge differently."""
    scene = waiting_for_pods().with_policy(on_failure=on_failure)
    assert scene.after(599).look().rollout.phase is RolloutPhase.STEP
    rollout = scene.after(600).look().rollout
    assert rollout.phase is RolloutPhase.ROLLING_BACK
    assert rollout.cause is Reason.PROGRESS_DEADLINE_EXCEEDED


def test_the_deadline_runs_again_when_a_pod_of_a_step_is_lost() -> None:
    """A replacement that never gets ready ends the rollout, window or not."""
    scene = stepping().hearing(PASS).but(deadline_at=None)
    lost = scene.seeing(old=Pods(3), new=Pods(1, starting=1)).passed()
    assert lost.rollout.deadline_at == NOW + DEADLINE
    assert lost.after(1800).look().rollout.phase is RolloutPhase.ROLLING_BACK


def test_a_canary_without_a_ready_pod_gives_its_share_back_at_once() -> None:
    """Stable serves; a canary that comes back begins with a new window."""
    lost = stepping().seeing(old=Pods(3), new=Pods(starting=2)).look().rollout
    assert (lost.weight_percent, lost.lost_since) == (0, NOW)
    assert lost.window_started_at is None
    assert stepping().seeing(new=Pods(starting=2)).look().rollout.weight_percent == 50


def test_a_share_that_came_back_is_kept_for_min_seconds_again() -> None:
    """The time counts from when the weight is applied, not from when it first was."""
    back = stepping().hearing(PASS).but(clock_started_at=ago(300), window_started_at=NOW)
    assert back.hearing(PASS).after(59).look().rollout.step == 1
    assert back.hearing(PASS).after(60).look().rollout.step == 2


def test_a_pause_gives_no_time_back_that_the_share_was_lost() -> None:
    """What counts is what it had without a break, before and after the pause."""
    back = stepping().hearing(PASS).but(clock_started_at=ago(55), window_started_at=ago(2))
    paused = back.with_policy(paused=True).passed()
    on = paused.with_policy(paused=False).after(600).passed()
    assert on.hearing(PASS).after(57).look().rollout.step == 1
    assert on.hearing(PASS).after(58).look().rollout.step == 2


def test_a_share_that_is_lost_again_and_again_is_not_given_for_ever() -> None:
    """Each time a good verdict, never for minSeconds: that is no decision either."""
    patience = 2 * 60 + 1800
    back = stepping().but(clock_started_at=ago(patience - 30), window_started_at=NOW)
    assert back.hearing(PASS).after(29).look().rollout.phase is RolloutPhase.STEP
    rollout = back.hearing(PASS).after(30).look().rollout
    assert (rollout.phase, rollout.cause) == (
        RolloutPhase.ROLLING_BACK,
        Reason.INCONCLUSIVE_TOO_LONG,
    )


def test_a_canary_that_is_ready_for_seconds_at_a_time_fails_at_the_deadline() -> None:
    """Its share never gets applied, so no window opens in which it could be judged."""
    scene = stepping().but(deadline_at=None)
    for _ in range(1800 // 25 + 1):
        scene = scene.seeing(old=Pods(3), new=Pods(starting=2)).after(20).passed()
        if scene.rollout.phase is RolloutPhase.ROLLING_BACK:
            break
        scene = scene.seeing(old=Pods(3), new=Pods(2)).after(5).passed()
    assert scene.rollout.phase is RolloutPhase.ROLLING_BACK
    assert scene.rollout.cause is Reason.PROGRESS_DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("strategy", "seconds"),
    [
        (Strategy.CANARY, 10),
        (Strategy.BLUE_GREEN, 5),
        (Strategy.ROLLING, 5),
        (Strategy.RECREATE, 5),
    ],
)
def test_a_deadline_for_pods_is_not_one_for_their_share(strategy: Strategy, seconds: int) -> None:
    """Proxies are given 6 s; pods that stood in time are not condemned for it."""
    policy = replace(POLICY, strategy=strategy, progress_deadline=timedelta(seconds=seconds))
    policy = replace(policy, steps=(Step(25, min_seconds=1), Step(100, min_seconds=1)))
    world = World(ready={OLD: TOTAL}, existing={OLD: TOTAL}, replicas={OLD: TOTAL})
    outset = Outset(Rollout(target=OLD, stable_was_ready=True), OLD, world)
    foreseen = forecast(outset, Intent(NEW, TOTAL, policy), NOW)
    assert (foreseen.stable, foreseen.rollout.phase) == (NEW, RolloutPhase.STABLE)


@pytest.mark.parametrize("frozen", [FROZEN, replace(FROZEN, strategy=Strategy.RECREATE)])
def test_a_pod_that_does_not_end_is_waited_for_no_longer_than_the_deadline(frozen: Frozen) -> None:
    """While pods drain no deadline runs; one on a dead node may stay for ever."""
    scene = preparing().but(frozen=frozen, deadline_at=None)
    if frozen.strategy is Strategy.RECREATE:
        scene = scene.seeing(old=Pods(ending=1))
    else:
        scene = scene.seeing(old=Pods(TOTAL), next=Pods(ending=1))
    assert scene.passed().after(10**6).passed().rollout.deadline_at is None
    stuck = replace(scene, world=replace(scene.world, stuck=("Pod a: it should have ended",)))
    waits = stuck.passed()
    assert waits.rollout.deadline_at == NOW + DEADLINE
    ended = waits.after(1800).look().rollout
    assert ended.cause is Reason.PROGRESS_DEADLINE_EXCEEDED
    assert "Pod a: it should have ended" in ended.message

    gone = waits.after(1700).seeing(old=Pods() if frozen is not FROZEN else Pods(TOTAL)).passed()
    assert gone.rollout.deadline_at == later(1700) + DEADLINE
    assert gone.after(60).passed().rollout.deadline_at == later(1700) + DEADLINE


def test_a_step_under_a_paused_spec_stops_and_goes_on_where_it_was() -> None:
    """The time that it was paused does not count for minSeconds."""
    scene = stepping().hearing(PASS)
    paused = scene.with_policy(paused=True).passed()
    assert paused.rollout.paused_by is Reason.PAUSED_BY_SPEC
    on = paused.with_policy(paused=False).after(1000).passed()
    assert (on.rollout.phase, on.rollout.step) == (RolloutPhase.STEP, 1)
    assert on.after(29).look().rollout.step == 1
    assert on.after(30).look().rollout.step == 2


@pytest.mark.parametrize("strategy", [Strategy.ROLLING, Strategy.BLUE_GREEN, Strategy.RECREATE])
def test_the_presets_go_on_without_a_verdict(strategy: Strategy) -> None:
    """Only a canary waits for evidence."""
    frozen = replace(FROZEN, strategy=strategy)
    scene = stepping().but(frozen=frozen, step=0, step_weight_percent=100, weight_percent=100)
    sizes = {Strategy.RECREATE: Pods(), Strategy.BLUE_GREEN: Pods(TOTAL), Strategy.ROLLING: Pods(1)}
    ready = scene.seeing(old=sizes[strategy], new=Pods(TOTAL))
    ready = ready.with_policy(strategy=strategy, steps=(Step(100),)).passed()
    assert ready.look().rollout.phase not in (RolloutPhase.STEP, RolloutPhase.HOLDING)


def test_a_rolling_rollout_has_no_judge() -> None:
    """Neither a Fail nor missing metrics mean anything to it."""
    frozen = replace(FROZEN, strategy=Strategy.ROLLING)
    for reason in (Reason.ERRORS_TOO_HIGH, Reason.METRICS_MISSING):
        scene = stepping().but(frozen=frozen).hearing(FAIL, reason)
        decision = scene.look()
        assert not decision.is_judged
        assert decision.rollout.phase not in (RolloutPhase.HOLDING, RolloutPhase.ROLLING_BACK)


def test_a_rolling_rollout_never_lowers_its_share_when_the_total_rises() -> None:
    """At 50 percent of two pods, five pods go on with the third."""
    frozen = replace(FROZEN, strategy=Strategy.ROLLING)
    scene = stepping().but(frozen=frozen, held_total=2, step=0).asking(total=5)
    scene = scene.with_policy(strategy=Strategy.ROLLING).seeing(old=Pods(2), new=Pods(1))
    rollout = scene.look().rollout
    assert (rollout.step, rollout.step_weight_percent) == (2, 60)


def test_what_a_rollout_began_with_is_kept_and_the_rest_is_live() -> None:
    """Strategy, extra pods and minimum are frozen; a new minSeconds counts at once."""
    edited = stepping().with_policy(
        strategy=Strategy.RECREATE, max_extra_replicas=9, min_serving_percent=0
    )
    assert edited.look().sizes == stepping().look().sizes
    assert edited.look().rollout.frozen == FROZEN
    steps = tuple(replace(step, min_seconds=30) for step in POLICY.steps)
    assert stepping().with_policy(steps=steps).hearing(PASS).look().rollout.step == 2


def test_an_interrupted_process_goes_on_by_what_it_kept() -> None:
    """Half a second more or less is no news: times are persisted in whole seconds."""
    scene = stepping().hearing(PASS)
    half = replace(scene, now=scene.now + timedelta(milliseconds=500))
    assert half.look() == scene.look()


def test_no_share_while_a_third_revision_has_a_ready_pod() -> None:
    """An open selector would send requests to it; once it ends, the first step begins."""
    scene = preparing(Pods(1))
    waiting = scene.seeing(old=Pods(TOTAL), new=Pods(1), next=Pods(ready=1))
    assert waiting.look().rollout.phase is RolloutPhase.PREPARING
    ending = scene.seeing(old=Pods(TOTAL), new=Pods(1), next=Pods(ending=1))
    assert ending.look().rollout.phase is RolloutPhase.STEP


def test_pods_that_alone_serve_are_not_dropped_for_the_next_edit() -> None:
    """A recreated revision with all of the traffic goes on until stable can."""
    frozen = replace(FROZEN, strategy=Strategy.RECREATE, max_extra_replicas=0)
    scene = stepping().but(frozen=frozen, step=0, step_weight_percent=100, weight_percent=100)
    decision = scene.seeing(new=Pods(TOTAL)).asking(NEXT).look()
    assert decision.rollout.phase is RolloutPhase.ROLLING_BACK
    assert decision.sizes[NEW] >= TOTAL - 1


def test_edited_steps_raise_no_share_while_metrics_are_missing() -> None:
    """The step that cannot be judged holds first; with metrics it goes on where the edit says."""
    scene = stepping().with_policy(steps=(Step(10), Step(80), Step(100)))
    blind = scene.hearing(UNDECIDED, Reason.METRICS_MISSING).passed()
    assert (blind.rollout.phase, blind.rollout.weight_percent) == (RolloutPhase.HOLDING, 50)
    seen = blind.hearing(PASS).passed().rollout
    assert (seen.phase, seen.step_weight_percent) == (RolloutPhase.STEP, 80)


def test_a_canary_none_of_whose_pods_can_come_back_fails_at_once() -> None:
    """A cause that no waiting cures is not held until the deadline; some lost pods are no cause."""
    for pods, phase in (
        (Pods(starting=2), RolloutPhase.ROLLING_BACK),
        (Pods(1, starting=1), RolloutPhase.STEP),
    ):
        scene = stepping().seeing(old=Pods(3), new=pods)
        crashing = scene.with_cause(NEW, Reason.CRASH_LOOPING, final=True)
        assert crashing.look().rollout.phase is phase


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        (Provider.GATEWAY_API, "Step 1 of 4: 25 %"),
        (Provider.REPLICA_RATIO, "Step 1 of 4: 25 %, which 1 of 2 ready pods make 50 %"),
    ],
)
def test_an_event_says_which_share_a_step_has(provider: Provider, said: str) -> None:
    """Once it is applied; by number of pods it may be far from what was asked."""
    frozen = replace(FROZEN, provider=provider)
    scene = stepping().but(frozen=frozen, step=0, step_weight_percent=25, weight_percent=25)
    scene = scene.but(held_total=1, window_started_at=None, clock_started_at=None)
    scene = scene.asking(total=1).seeing(old=Pods(1), new=Pods(1))
    traffic = replace(scene.world.traffic, weight_percent=25)
    scene = replace(scene, world=replace(scene.world, traffic=traffic))
    [note] = scene.look().notes
    assert (note.reason, note.message) == (Reason.STEP_REACHED, said)
