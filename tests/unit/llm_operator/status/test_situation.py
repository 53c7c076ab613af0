from dataclasses import replace
from datetime import timedelta

import pytest

from llm_operator.api.reasons import ConditionType, Phase, Reason
from llm_operator.api.rollout import OnFailure, Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.api.traffic import Provider
from llm_operator.conditions import Verdict
from llm_operator.diagnosis import Finding
from llm_operator.rollout.machine import advance
from llm_operator.rollout.state import Intent, Policy, Step, World
from llm_operator.status import Progress, Situation, judge, summary_phase
from tests.situation_builders import (
    CANARY,
    CRASHING,
    FIRST,
    NEW,
    NOW,
    OLD,
    PROGRESS,
    SITUATIONS,
    STABLE,
    STARTING,
    TOTAL,
    UNSCHEDULABLE,
    at_rest,
    moving,
)


def verdict(situation: Situation, type_: ConditionType) -> Verdict:
    """Return what one condition says of a situation."""
    return next(verdict for verdict in judge(situation) if verdict.type is type_)


def preparing(*findings: Finding) -> Situation:
    """Return a canary that has no traffic yet, while one pod of stable is not ready."""
    decision = moving(RolloutPhase.PREPARING, weight_percent=0, step=None)
    return Situation(decision, TOTAL, ready=TOTAL - 1, findings=findings)


def phase(situation: Situation) -> Phase:
    """Return the word for people."""
    return summary_phase(situation, judge(situation))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Preparing", Reason.ROLLOUT_PREPARING),
        ("Preparing, no accelerator", Reason.INSUFFICIENT_ACCELERATOR),
        ("Step", Reason.ROLLOUT_STEPPING),
        ("Paused", Reason.ROLLOUT_PAUSED),
        ("Holding", Reason.ROLLOUT_HOLDING),
        ("Promoting", Reason.ROLLOUT_PROMOTING),
        ("Baking", Reason.ROLLOUT_BAKING),
        ("RollingBack", Reason.ROLLOUT_ROLLING_BACK),
        ("paused before a rollout", Reason.ROLLOUT_PAUSED),
    ],
)
def test_a_rollout_under_way_is_progressing_by_its_phase(name: str, reason: Reason) -> None:
    """The reason says where it is, or what its pods wait for."""
    progressing = verdict(SITUATIONS[name], ConditionType.PROGRESSING)
    assert (progressing.holds, progressing.reason) == (True, reason)
    assert phase(SITUATIONS[name]) is Phase.PROGRESSING


@pytest.mark.parametrize("name", ["at rest", "RolledBack", "no room for a rollout", "stopped"])
def test_nothing_progresses_at_rest(name: str) -> None:
    """A rejected revision is not under way either."""
    assert not verdict(SITUATIONS[name], ConditionType.PROGRESSING).holds


def test_after_a_rollback_the_stable_revision_is_ready_and_the_change_stalled() -> None:
    """Ready says that it serves, Stalled why the newest spec does not."""
    rolled_back = SITUATIONS["RolledBack"]
    assert verdict(rolled_back, ConditionType.READY).holds
    stalled = verdict(rolled_back, ConditionType.STALLED)
    assert (stalled.holds, stalled.reason) == (True, Reason.ERRORS_TOO_HIGH)
    assert "31 of 100 requests failed" in stalled.message
    assert "bcdfghjk serves on" in stalled.message


def test_a_rollback_without_stable_pods_says_that_nothing_serves() -> None:
    """Ready is False by a reason of its own, with what keeps the pods from being ready."""
    ready = verdict(SITUATIONS["RolledBack, stable not ready"], ConditionType.READY)
    assert (ready.holds, ready.reason) == (False, Reason.STABLE_NOT_READY)
    assert "exited with code 1" in ready.message
    stalled = verdict(SITUATIONS["RolledBack, stable not ready"], ConditionType.STALLED)
    assert "nothing serves" in stalled.message


def test_stable_pods_that_come_back_after_a_rollback_are_ready_again() -> None:
    """StableNotReady is about pods that are not, whatever the rollback came to."""
    recovered = replace(SITUATIONS["RolledBack, stable not ready"], ready=TOTAL, findings=())
    assert verdict(recovered, ConditionType.READY).reason is Reason.AVAILABLE


def test_a_failure_that_pauses_needs_somebody_and_a_pause_that_was_asked_for_does_not() -> None:
    """Only the first is Stalled."""
    assert verdict(SITUATIONS["Paused by a failure"], ConditionType.STALLED).holds
    assert not verdict(SITUATIONS["Paused"], ConditionType.STALLED).holds


def test_a_first_revision_that_is_overdue_is_stalled_and_still_tried() -> None:
    """There is nothing to go back to, so it goes on; but somebody should look."""
    situation = SITUATIONS["first pods cannot start"]
    stalled = verdict(situation, ConditionType.STALLED)
    assert (stalled.holds, stalled.reason) == (True, Reason.PROGRESS_DEADLINE_EXCEEDED)
    assert verdict(situation, ConditionType.PROGRESSING).reason is Reason.INSUFFICIENT_ACCELERATOR


def test_ready_names_what_keeps_the_pods_from_being_ready_that_take_traffic() -> None:
    """A canary pod that finds no node, and gets no requests, is not why stable lacks one."""
    found = preparing(UNSCHEDULABLE, STARTING)
    assert verdict(found, ConditionType.READY).reason is Reason.PODS_NOT_READY


def test_progressing_names_what_the_rollout_waits_for() -> None:
    """A stable pod that crashes holds no preparation up, and the way back needs it."""
    found = preparing(CRASHING)
    assert verdict(found, ConditionType.PROGRESSING).reason is Reason.ROLLOUT_PREPARING
    back = replace(found, decision=moving(RolloutPhase.ROLLING_BACK))
    assert "exited with code 1" in verdict(back, ConditionType.PROGRESSING).message


def test_no_room_is_stalled_with_what_would_make_room() -> None:
    """The machine names the two fields; the status repeats them."""
    stalled = verdict(SITUATIONS["no room for a rollout"], ConditionType.STALLED)
    assert stalled.reason is Reason.NO_ROOM_FOR_ROLLOUT
    assert "maxExtraReplicas" in stalled.message
    assert "minServingPercent" in stalled.message


@pytest.mark.parametrize(
    ("percent", "ready", "holds"),
    [(100, 4, True), (100, 3, False), (75, 3, True), (75, 2, False), (60, 3, True), (0, 0, False)],
)
def test_a_rollout_may_go_as_low_as_it_was_allowed_and_stays_ready(
    percent: int, ready: int, holds: bool
) -> None:
    """MinServingPercent of the total, rounded up, and never nothing at all."""
    frozen = replace(CANARY, min_serving_percent=percent)
    situation = Situation(moving(RolloutPhase.STEP, frozen=frozen), TOTAL, ready)
    assert verdict(situation, ConditionType.READY).holds is holds


@pytest.mark.parametrize(
    ("ready", "words"),
    [
        (TOTAL - 1, "3 of 4 pods are ready"),
        (TOTAL, "4 of 4 pods are ready"),
        (TOTAL + 1, "5 pods are ready, 4 are asked for"),
    ],
)
def test_more_ready_pods_than_asked_for_are_said_to_be_more(ready: int, words: str) -> None:
    """A step runs a pod beside the total; nobody should read that 5 of 4 are ready."""
    situation = Situation(moving(RolloutPhase.STEP), TOTAL, ready)
    assert verdict(situation, ConditionType.READY).message.startswith(words)


def test_at_rest_all_pods_are_needed() -> None:
    """What a rollout was allowed counts while it runs only."""
    assert not verdict(Situation(at_rest(), TOTAL, 3), ConditionType.READY).holds


def test_nothing_is_ready_before_the_first_revision_is() -> None:
    """Ready pods of a revision that never took over serve nobody yet."""
    situation = Situation(FIRST, TOTAL, TOTAL)
    assert not verdict(situation, ConditionType.READY).holds
    assert phase(situation) is Phase.PENDING


def test_a_step_says_where_it_is_and_what_share_there_is() -> None:
    """With one stable pod a step of 10 % is one of 50 %, and the status says so."""
    situation = replace(SITUATIONS["Step"], progress=replace(PROGRESS, effective_weight_percent=50))
    message = verdict(situation, ConditionType.PROGRESSING).message
    assert "step 2 of 4, 25 % of the traffic (50 % by ready pods)" in message


def test_a_share_that_is_as_asked_is_said_once() -> None:
    """No remark where there is nothing to remark."""
    message = verdict(SITUATIONS["Step"], ConditionType.PROGRESSING).message
    assert "by ready pods" not in message


def test_the_messages_of_a_step_change_only_with_news() -> None:
    """Two verdicts of the same reason with other counts say the same: no write per interval."""
    judgement = PROGRESS.judgement
    assert judgement is not None
    later = replace(PROGRESS, judgement=replace(judgement, message="13 of 50 requests"))
    assert judge(replace(SITUATIONS["Step"], progress=later)) == judge(SITUATIONS["Step"])


def test_pods_that_cannot_start_are_named_in_every_phase() -> None:
    """A rollout that waits for an accelerator says so while it steps, too."""
    situation = replace(SITUATIONS["Step"], findings=(UNSCHEDULABLE,))
    assert "Insufficient nvidia.com/gpu" in verdict(situation, ConditionType.PROGRESSING).message


def test_what_is_refused_stalls_whatever_the_rollout_does() -> None:
    """A wrong spec is said first, and the rollout that runs goes on."""
    wrong = Finding(Reason.OWNED_FLAG, "spec.server.args[0]: --port is set by the operator")
    situation = replace(SITUATIONS["Step"], blocked=(wrong,))
    assert verdict(situation, ConditionType.STALLED).reason is Reason.OWNED_FLAG
    assert verdict(situation, ConditionType.PROGRESSING).holds
    assert phase(situation) is Phase.INVALID


def test_an_edit_under_a_paused_spec_is_said_to_wait() -> None:
    """The machine begins nothing, and the status says that somebody holds it back."""
    policy = Policy(
        strategy=Strategy.CANARY,
        steps=(Step(50), Step(100)),
        max_extra_replicas=1,
        min_serving_percent=100,
        provider=Provider.REPLICA_RATIO,
        on_failure=OnFailure.ROLLBACK,
        bake=timedelta(minutes=5),
        inconclusive=timedelta(minutes=30),
        progress_deadline=timedelta(minutes=30),
        paused=True,
    )
    pods = {OLD: TOTAL}
    world = World(ready=pods, existing=pods, replicas=pods)
    decision = advance(STABLE, OLD, Intent(NEW, TOTAL, policy), world, None, NOW)
    assert decision.sizes == pods
    progressing = verdict(Situation(decision, TOTAL, TOTAL), ConditionType.PROGRESSING)
    assert (progressing.holds, progressing.reason) == (True, Reason.ROLLOUT_PAUSED)
    assert NEW in progressing.message


def test_notes_stand_behind_the_message_of_ready() -> None:
    """What is allowed but has a price is told to whoever reads on."""
    situation = Situation(at_rest(), 1, 1, Progress(), notes=("drainSeconds is short",))
    assert verdict(situation, ConditionType.READY).message.endswith(". drainSeconds is short")
