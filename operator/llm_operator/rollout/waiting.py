"""Waiting: paused by someone, or holding because something is missing. Pure.

Neither raises a share nor creates a pod of the canary. What fails still fails.
"""

from datetime import timedelta
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.entering import held, next_step, on_failure, promoting
from llm_operator.rollout.forward import with_window
from llm_operator.rollout.position import Case, Position, asked, failure, holding_cause, verdict

_SECOND: Final = timedelta(seconds=1)


def from_paused(position: Position, case: Case) -> Position:
    """Go on when the time is over or the spec no longer pauses; fail and hold as a step does."""
    position = with_window(_without_lost_share(position, case), case)
    rollout = position.rollout
    failed = failure(position, case)
    if failed is not None:
        return on_failure(position, case, failed.reason, failed.message)
    if rollout.promote_asked and case.canary(position).ready >= 1:
        return promoting(position, case)
    cause = holding_cause(position, case)
    if cause is not None and rollout.paused_by is not Reason.PAUSED_BY_FAILURE:
        return held(position, case, cause.reason, cause.message)
    if rollout.paused_by is Reason.PAUSED_BY_SPEC and not case.policy.paused:
        return resumed_where_it_was(position, case)
    if rollout.pause_until is not None and case.now >= rollout.pause_until:
        return _pause_over(position, case)
    return position


def _pause_over(position: Position, case: Case) -> Position:
    position = position.but(pause_done=True, pause_until=None)
    if not case.policy.paused:
        return next_step(position, case)
    message = "spec.rollout.paused is true"
    return position.but(
        cause=Reason.PAUSED_BY_SPEC, paused_by=Reason.PAUSED_BY_SPEC, message=message
    )


def resumed_where_it_was(position: Position, case: Case) -> Position:
    """Go on with the step as if the pause had not been; from before the first step, to that."""
    if position.rollout.step is None:
        return next_step(position, case)
    window_open = position.rollout.window_started_at is not None
    elapsed = position.rollout.elapsed_seconds
    clock = case.now - (elapsed or 0) * _SECOND if window_open else None
    return position.but(
        phase=RolloutPhase.STEP,
        cause=None,
        message="",
        paused_by=None,
        clock_started_at=clock,
        elapsed_seconds=None if window_open else elapsed,
        deadline_at=case.now + case.policy.progress_deadline,
    )


def from_holding(position: Position, case: Case) -> Position:
    """Go back when the cause is gone, with a new window; fail at the deadline."""
    position = _without_lost_share(position, case)
    rollout = position.rollout
    failed = failure(position, case)
    if failed is not None:
        return on_failure(position, case, failed.reason, failed.message)
    is_passed = rollout.promote_asked and rollout.return_to is not RolloutPhase.PROMOTING
    if is_passed and case.canary(position).ready >= 1:
        return promoting(position, case)
    position = _watched_again(position, case)
    cause = holding_cause(position, case)
    if cause is not None:
        return _overdue_hold(position.but(cause=cause.reason, message=cause.message), case)
    if _waits_for_metrics(position) and verdict(position, case) is None:
        return _overdue_hold(position, case)
    return _returned(position, case)


def _waits_for_metrics(position: Position) -> bool:
    return position.rollout.cause is Reason.METRICS_MISSING


def _watched_again(position: Position, case: Case) -> Position:
    """Open a window where the canary lost its share meanwhile: only reading tells of metrics."""
    is_open = position.rollout.window_started_at is not None
    if is_open or not _waits_for_metrics(position) or case.canary(position).ready == 0:
        return position
    return position.but(window_started_at=case.now)


def _overdue_hold(position: Position, case: Case) -> Position:
    rollout = position.rollout
    deadline_at = rollout.holding_deadline_at
    if deadline_at is not None and case.now >= deadline_at:
        return on_failure(position, case, rollout.cause or Reason.UNKNOWN, rollout.message)
    return position


def _returned(position: Position, case: Case) -> Position:
    rollout = position.rollout
    return position.but(
        phase=rollout.return_to or RolloutPhase.STEP,
        return_to=None,
        cause=rollout.paused_by,
        message="",
        window_started_at=None,
        clock_started_at=None,
        elapsed_seconds=None,
        deadline_at=case.now + case.policy.progress_deadline,
    )


def _without_lost_share(position: Position, case: Case) -> Position:
    """Take the share from a canary without a ready pod, if stable can have it."""
    rollout = position.rollout
    if rollout.step is None and rollout.weight_percent == 0:
        return position.but(lost_since=None)
    if case.canary(position).ready > 0:
        return position.but(lost_since=None)
    position = position.but(lost_since=rollout.lost_since or case.now)
    if case.stable(position).ready > 0:
        return asked(position, 0)
    return position
