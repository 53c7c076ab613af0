"""The end of a good rollout: all traffic, the pointer, and the time to prove itself. Pure."""

from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.forward import judged, late, scaled, timed, watch_canary, with_window
from llm_operator.rollout.position import (
    LOSS_PATIENCE,
    Case,
    Position,
    failure,
)
from llm_operator.rollout.rest import settled
from llm_operator.rollout.retreat import roll_back
from llm_operator.rollout.scaling import is_reached


def from_promoting(position: Position, case: Case) -> Position:
    """Move to all of the traffic; then the pointer moves, and nothing else."""
    position = with_window(watch_canary(timed(position, case), case), case)
    elsewhere = judged(position, case)
    if elsewhere is not None:
        return elsewhere
    if is_reached(position, case):
        return promoted(position, case)
    return late(position, case) or scaled(position, case)


def promoted(position: Position, case: Case) -> Position:
    """Move the pointer: the pods that were judged are the pods that serve."""
    rollout, old = position.rollout, position.stable
    moved = Position(rollout, rollout.target, position.notes).but(
        phase=RolloutPhase.BAKING,
        previous=None if position.frozen.replaces_directly else old,
        step_started_at=case.now,
        window_started_at=case.now,
        clock_started_at=None,
        deadline_at=None,
        holding_deadline_at=None,
        promote_asked=False,
        step=None,
        stable_was_ready=True,
        stable_lost_since=None,
    )
    instead = f" instead of {old}" if old else ""
    return moved.noted(Reason.PROMOTED, f"Revision {rollout.target} is stable{instead}")


def from_baking(position: Position, case: Case) -> Position:
    """Keep the old revision ready to take over until the new one has proved itself."""
    rollout = position.rollout
    if rollout.previous is None:
        return settled(position, rollout.target or "")
    position = watch_canary(position, case)
    failed = failure(position, case)
    if failed is not None:
        return pointer_back(position, case, failed.reason, failed.message)
    lost = position.rollout.lost_since
    can_serve = case.count(rollout.previous).ready > 0
    if lost is not None and case.now >= lost + LOSS_PATIENCE and can_serve:
        message = f"No pod of revision {rollout.target} is ready"
        return pointer_back(position, case, Reason.CANARY_LOST, message)
    began = rollout.step_started_at or case.now
    has_way_back = lost is not None and can_serve
    if not has_way_back and case.now >= began + case.policy.bake:
        return settled(position, rollout.target or "")
    return position


def pointer_back(position: Position, case: Case, reason: Reason, message: str) -> Position:
    """Make the old revision stable again and bring its pods back."""
    back = Position(position.rollout, position.rollout.previous, position.notes)
    return roll_back(back.but(previous=None), case, reason, message)
