"""One rule each, as a check of a machine: passes on the right one, fails on a mutant.

A check gets a way to start the operator's process, because some rules are about a second one. The
named tests in ``tests/states`` call them with the real machine, ``mutants`` with wrong ones.
"""

from collections.abc import Callable
from typing import Final

from llm_operator.api.rollout import Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.api.traffic import Provider
from tests.models.rollouts.cluster import NEW, NEXT, OLD, Route
from tests.models.rollouts.events import Event
from tests.models.rollouts.operator import AT_REST, Machine
from tests.models.rollouts.run import Run
from tests.models.rollouts.settings import FOUR_STEPS
from tests.models.rollouts.situation import DEADLINE_SECONDS, Setting

Start = Callable[[], Machine]

THREE: Final = Setting(3, 1, 100, Strategy.CANARY, FOUR_STEPS, Provider.REPLICA_RATIO)
ONE: Final = Setting(1, 1, 100, Strategy.CANARY, FOUR_STEPS, Provider.GATEWAY_API)
IN_PLACE: Final = Setting(3, 0, 50, Strategy.CANARY, FOUR_STEPS, Provider.GATEWAY_API)

_P = RolloutPhase


def _begun(start: Start, setting: Setting = THREE) -> Run:
    return Run(setting, start()).edit()


def _at_weight(start: Start, setting: Setting = THREE) -> Run:
    """Return a run in its first step, with the weight applied."""
    run = _begun(start, setting).until(_P.STEP)
    return run.while_(lambda: run.rollout.window_started_at is None)


def _kept(run: Run, *rules: str) -> None:
    broken = [line for line in run.broken if line.split(":")[0] in rules]
    assert not broken, broken


def weight_waits_for_ready_pods(start: Start) -> None:
    """Mutant 1: a weight is raised only when canary pods are ready."""
    _kept(_begun(start).settle(), "I1", "I13")


def superseded_revision_loses_its_weight(start: Start) -> None:
    """Mutant 2: after a second edit nothing but the newest revision gets a weight."""
    run = _at_weight(start).happen(Event.EDIT).check_end()
    _kept(run, "I1", "I4", "I13", "Events", "every end")
    assert run.situation.stable == NEXT


def scaling_after_a_roll_back_creates_no_canary_pod(start: Start) -> None:
    """Mutant 3: after RolledBack a scale event changes stable alone."""
    run = _at_weight(start).happen(Event.JUDGED_BAD).until(_P.ROLLED_BACK).settle()
    run.happen(Event.SCALE_DOWN).check_end().happen(Event.SCALE_UP).check_end()
    _kept(run, "I7", "every end")


def promotion_keeps_the_judged_pods(start: Start) -> None:
    """Mutant 4: promotion moves the pointer; the pods that were judged go on serving."""
    run = _begun(start).until(_P.BAKING)
    judged = run.pods(NEW).ready
    run.while_(lambda: run.phase is not _P.STABLE and run.pods(NEW).ready >= judged)
    _kept(run.check_end(), "I3", "I12", "every end")
    assert run.situation.stable == NEW


def stable_shrinks_after_the_weight_has_moved(start: Start) -> None:
    """Mutant 5: stable pods go only when enough others serve in their place."""
    _kept(_begun(start).settle(), "I2")
    _kept(_begun(start, IN_PLACE).settle(), "I2")


def missing_metrics_hold(start: Start) -> None:
    """Mutant 6: without metrics a step does not pass."""
    run = _at_weight(start).happen(Event.METRICS_LOST).until(_P.HOLDING, _P.PROMOTING, _P.BAKING)
    assert run.phase is _P.HOLDING, run.broken
    _kept(run.settle(), "I11", "I14")


def a_deadline_does_not_begin_anew_with_a_process(start: Start) -> None:
    """Mutant 7: the deadline counts from the rollout, whichever process looks at it."""
    run = _begun(start).happen(Event.NEVER_READY).until(_P.PREPARING)
    before = run.elapsed
    for _ in range(4):
        run.wait(DEADLINE_SECONDS // 3).restart(start())
        if run.phase is _P.PREPARING:
            run.pass_once()
    assert run.phase in (_P.ROLLING_BACK, _P.ROLLED_BACK), run.elapsed - before


def a_rejected_revision_is_not_tried_again(start: Start) -> None:
    """Mutant 8: applying the manifest of a rejected revision again starts nothing."""
    run = _at_weight(start).happen(Event.ABORT).until(_P.ROLLED_BACK).settle()
    for _ in range(10):
        run.restart(start()).settle()
    assert run.phase is _P.ROLLED_BACK
    _kept(run, "I7")


def a_roll_back_moves_traffic_first(start: Start) -> None:
    """Mutant 9: no pod that carries traffic is touched before its traffic is moved."""
    _kept(_at_weight(start).happen(Event.JUDGED_BAD).check_end(), "I5", "I13")


def a_restart_goes_on_at_the_step(start: Start) -> None:
    """Mutant 10: another process goes on at the step and weight where the last one was."""
    run = _at_weight(start)
    run.while_(lambda: run.rollout.step != 2)
    run.restart(start())
    run.while_(lambda: run.phase is _P.STEP and run.rollout.step == 2)
    assert run.rollout.step == 3


def a_revert_creates_only_missing_stable_pods(start: Start) -> None:
    """Mutant 11: a revert creates exactly the stable pods that are missing from T."""
    run = _begun(start, IN_PLACE)
    run.while_(lambda: run.pods(OLD).live == 3)
    _kept(run.happen(Event.REVERT).check_end(), "I5", "I10", "every end")
    assert run.situation.stable == OLD


def terminating_pods_hold_their_room(start: Start) -> None:
    """Mutant 12: a pod that terminates counts until its object is gone."""
    _kept(_begun(start).settle(), "I6")
    _kept(_begun(start, IN_PLACE).settle(), "I6")


def a_paused_rollout_leaves_the_canary_alone(start: Start) -> None:
    """Mutant 13: while it is paused, more pods are more stable pods and no weight rises."""
    setting = Setting(2, 1, 100, Strategy.CANARY, FOUR_STEPS, Provider.REPLICA_RATIO)
    run = _at_weight(start, setting).happen(Event.PAUSE).until(_P.PAUSED)
    before = run.pods(NEW)
    run.happen(Event.SCALE_UP).settle()
    _kept(run, "I14")
    assert run.phase is _P.PAUSED
    assert run.pods(NEW) == before
    assert run.pods(OLD).ready == 3 - before.ready + setting.extra


def a_late_verdict_counts_nothing(start: Start) -> None:
    """Mutant 14: a verdict of another window changes nothing."""
    run = _at_weight(start).happen(Event.LATE_VERDICT)
    _kept(run.check_end(), "Events", "every end")
    assert run.situation.stable == NEW


def a_fallen_total_waits_for_the_end(start: Start) -> None:
    """Mutant 16: a total that falls during a rollout takes no stable pod away."""
    _kept(_at_weight(start).happen(Event.SCALE_DOWN).check_end(), "HELD", "I2", "every end")
    _kept(_at_weight(start, IN_PLACE).happen(Event.SCALE_DOWN).check_end(), "HELD", "I2")


def the_last_stable_pod_stays_below_100(start: Start) -> None:
    """Mutant 17: while stable has a share it has a ready pod."""
    _kept(_begun(start, ONE).settle(), "I13")
    _kept(_begun(start, IN_PLACE).settle(), "I13")


def traffic_stays_until_a_stable_pod_is_ready(start: Start) -> None:
    """Mutant 18: a roll-back does not move traffic to a revision without a ready pod."""
    run = _at_weight(start).happen(Event.LOSE_STABLES).happen(Event.STABLE_NEVER_READY)
    run.happen(Event.ABORT).until(_P.ROLLING_BACK)
    run.while_(lambda: bool(run.situation.cluster.is_applied) and run.phase is _P.ROLLING_BACK)
    _kept(run, "I13")
    run.happen(Event.PODS_REPAIRED)
    _kept(run.check_end(), "I13", "every end")


def holding_has_one_deadline(start: Start) -> None:
    """Mutant 19: coming back to Holding in the same step does not extend its deadline."""
    run = _at_weight(start)
    since = run.elapsed
    for _ in range(20):
        run.happen(Event.METRICS_LOST)
        if run.phase is _P.STEP:
            run.until(_P.HOLDING, *AT_REST)
        if run.phase is not _P.HOLDING:
            break
        run.wait(DEADLINE_SECONDS // 3).pass_once()
        if run.phase is not _P.HOLDING:
            break
        run.happen(Event.METRICS_BACK).until(_P.STEP, *AT_REST)
    _kept(run, "DEADLINE")
    assert run.phase not in (_P.HOLDING, _P.STEP)
    assert run.elapsed - since <= 2 * DEADLINE_SECONDS


def going_back_for_another_edit_rejects_nothing(start: Start) -> None:
    """Mutant 21: a revision that was only edited away is rolled out when the spec has it again."""
    for event in (Event.REVERT, Event.EDIT):
        run = _at_weight(start).happen(event).until(_P.ROLLING_BACK).happen(Event.EDIT)
        _kept(run.check_end(), "every end")
        assert run.situation.stable == NEW


def the_pointer_moves_after_the_traffic(start: Start) -> None:
    """Mutant 23: the canary becomes stable only when all traffic is applied to it."""
    run = _begun(start).until(_P.PREPARING).happen(Event.PROMOTE).until(_P.PROMOTING)
    run.happen(Event.TRAFFIC_STUCK)
    for _ in range(6):
        run.pass_once().wait(5)
    run.happen(Event.TRAFFIC_BACK).settle()
    _kept(run, "POINTER")
    assert run.situation.cluster.route in (Route(NEW), Route(OLD))
