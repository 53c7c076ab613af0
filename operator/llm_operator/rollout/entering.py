"""Entering a phase: what is set anew, what is kept, what is worth an event. Pure."""

from datetime import timedelta
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import OnFailure
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.position import Case, Position, kept_since
from llm_operator.rollout.retreat import roll_back
from llm_operator.rollout.sizes import WHOLE
from llm_operator.rollout.state import Rollout

_SECOND: Final = timedelta(seconds=1)


def entered_step(position: Position, case: Case, index: int) -> Position:
    """Begin a step; its window opens when its share is applied."""
    step = case.steps(position)[index]
    return position.but(
        phase=RolloutPhase.STEP,
        step=index,
        step_weight_percent=step.weight_percent,
        step_started_at=case.now,
        deadline_at=case.now + case.policy.progress_deadline,
        ready_peak=case.canary(position).ready,
        window_started_at=None,
        clock_started_at=None,
        elapsed_seconds=None,
        return_to=None,
        paused_by=None,
        pause_until=None,
        pause_done=False,
        holding_deadline_at=None,
        lost_since=None,
        cause=None,
        message="",
    )


def promoting(position: Position, case: Case) -> Position:
    """Begin to take over all traffic; whatever stops it on the way is behind the last step."""
    return position.but(
        phase=RolloutPhase.PROMOTING,
        step=len(case.steps(position)) - 1,
        step_weight_percent=WHOLE,
        step_started_at=case.now,
        deadline_at=case.now + case.policy.progress_deadline,
        ready_peak=case.canary(position).ready,
        return_to=None,
        paused_by=None,
        pause_until=None,
        holding_deadline_at=None,
        lost_since=None,
        cause=None,
        message="",
    )


def next_step(position: Position, case: Case) -> Position:
    """Go on to the following step, from a pause before the first one to that; else promote."""
    index = 0 if position.rollout.step is None else position.rollout.step + 1
    if index < len(case.steps(position)):
        return entered_step(position, case, index)
    return promoting(position, case)


def what_failed(rollout: Rollout) -> tuple[Reason, str]:
    """Return the failure that a pause for a person stands for; ``on_failure`` wrote it."""
    name, _, message = rollout.message.partition(": ")
    if name in set(Reason):
        return Reason(name), message
    return Reason.PAUSED_BY_FAILURE, rollout.message


def on_failure(position: Position, case: Case, reason: Reason, message: str) -> Position:
    """Go back, or wait for a person, as the spec says."""
    if case.policy.on_failure is OnFailure.PAUSE:
        if position.rollout.paused_by is Reason.PAUSED_BY_FAILURE:
            return position
        return paused(position, case, Reason.PAUSED_BY_FAILURE, f"{reason}: {message}")
    return roll_back(position, case, reason, message)


def paused(position: Position, case: Case, by: Reason, message: str) -> Position:
    """Keep everything as it is until someone or something lets it go on."""
    rollout = position.rollout
    elapsed, began = rollout.elapsed_seconds, kept_since(rollout)
    if began is not None:
        elapsed = (case.now - began) // _SECOND
    return position.but(
        phase=RolloutPhase.PAUSED,
        cause=by,
        message=message,
        paused_by=by,
        pause_until=None,
        elapsed_seconds=elapsed,
        clock_started_at=None,
        return_to=None,
        pause_asked=False,
        promote_asked=False,
    ).noted(by, message)


def held(position: Position, case: Case, reason: Reason, message: str) -> Position:
    """Keep everything as it is until the rollout can be judged and steered again."""
    rollout = position.rollout
    deadline_at = rollout.holding_deadline_at or case.now + case.policy.progress_deadline
    if rollout.holding_deadline_at is not None and case.now >= deadline_at:
        return on_failure(position, case, reason, message)
    return position.but(
        phase=RolloutPhase.HOLDING,
        return_to=rollout.phase,
        cause=reason,
        message=message,
        holding_deadline_at=deadline_at,
    ).noted(reason, message)
