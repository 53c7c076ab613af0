"""What stepping and promoting share: watch over the canary, verdicts, scaling. Pure."""

from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.entering import held, on_failure
from llm_operator.rollout.position import (
    Case,
    Position,
    asked,
    extended,
    failure,
    holding_cause,
    is_overdue,
    is_settled,
)
from llm_operator.rollout.retreat import roll_back
from llm_operator.rollout.scaling import advance_sizes, is_reached, stands


def watch_canary(position: Position, case: Case) -> Position:
    """Note since when the canary has had no ready pod; a share goes back at once if it can."""
    rollout = position.rollout
    if case.canary(position).ready > 0:
        return position.but(lost_since=None)
    position = position.but(lost_since=rollout.lost_since or case.now)
    baking = rollout.phase is RolloutPhase.BAKING
    if not baking and position.stable and case.stable(position).ready > 0:
        return asked(position, 0)
    return position


def judged(position: Position, case: Case) -> Position | None:
    """Return where a bad verdict or a reason to hold leads, None for neither."""
    failed = failure(position, case)
    if failed is not None:
        return on_failure(position, case, failed.reason, failed.message)
    cause = holding_cause(position, case)
    if cause is not None:
        return held(position, case, cause.reason, cause.message)
    return None


def with_window(position: Position, case: Case) -> Position:
    """Open a window where none is left: what carries traffic is judged while it waits, too.

    Not where a person vouches for the revision.
    """
    rollout = position.rollout
    carries = rollout.weight_percent > 0 and case.canary(position).ready > 0
    if rollout.window_started_at is not None or rollout.promote_asked:
        return position
    if not carries or not is_settled(position, case):
        return position
    return position.but(window_started_at=case.now)


def scaled(position: Position, case: Case) -> Position:
    """Ask for the share of the next move; the sizes follow from the position."""
    return asked(position, advance_sizes(position, case).weight_percent)


def timed(position: Position, case: Case) -> Position:
    """Let the deadline run while the split is not reached, anew with each pod that gets ready.

    It goes when the share is applied too, or a canary that is ready for seconds at a time would
    be given its share and lose it for ever.
    """
    canary = case.canary(position)
    if is_reached(position, case):
        return position.but(deadline_at=None, ready_peak=canary.ready)
    if stands(position, case):
        return position
    position = extended(position, case, canary.ready)
    deadline_at = position.rollout.deadline_at or case.now + case.policy.progress_deadline
    return position.but(deadline_at=deadline_at)


def late(position: Position, case: Case) -> Position | None:
    """Go back when scaling did not get further in time; None while there is time.

    Pods that stand are no longer scaled: whether their share gets applied has its own patience.
    """
    if not is_overdue(position, case) or position.stable is None or stands(position, case):
        return None
    message = f"Revision {position.rollout.target} did not scale in time"
    return roll_back(position, case, Reason.PROGRESS_DEADLINE_EXCEEDED, message)
