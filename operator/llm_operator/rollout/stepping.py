"""Towards the canary: preparing its first pods, then step by step. Pure."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase
from llm_operator.api.traffic import Provider
from llm_operator.rollout.entering import entered_step, next_step, on_failure, paused, promoting
from llm_operator.rollout.forward import judged, late, scaled, timed, watch_canary
from llm_operator.rollout.position import (
    Case,
    Position,
    extended,
    is_blind,
    is_overdue,
    kept_since,
    needs_evidence,
    verdict,
)
from llm_operator.rollout.promotion import promoted
from llm_operator.rollout.retreat import roll_back
from llm_operator.rollout.scaling import goal, is_reached
from llm_operator.rollout.sizes import (
    WHOLE,
    claimed_pods,
    clears_first,
    effective_weight_percent,
)
from llm_operator.rollout.state import Cause, Step, VerdictOutcome

_SECOND: Final = timedelta(seconds=1)


def from_preparing(position: Position, case: Case) -> Position:
    """Wait for the first pods; the share stays where it is."""
    rollout, canary = position.rollout, case.canary(position)
    position = extended(position, case, canary.ready)
    if _is_clearing(position, case):
        return _late(_timed(position, case), case)
    if rollout.promote_asked and canary.ready >= 1:
        return promoting(position, case)
    if canary.ready >= goal(position, case).canary:
        return _prepared(position, case)
    return _late(_timed(position, case), case)


def _is_clearing(position: Position, case: Case) -> bool:
    """Whether pods must go before the canary may get a share.

    Stable's, where the rollout clears first; and ready ones of a third revision, which an open
    selector would send requests to.
    """
    part = (position.stable, position.rollout.target)
    if any(ready for hash_, ready in case.world.ready.items() if hash_ not in part):
        return True
    return clears_first(position.frozen) and case.stable(position).claimed > 0


def _prepared(position: Position, case: Case) -> Position:
    """Take the first pods into the first step; a first revision has no traffic to move."""
    position = position.but(cause=None, message="")
    if position.stable is None:
        return promoted(position, case)
    if position.rollout.pause_asked or case.policy.paused:
        by = Reason.PAUSED_BY_COMMAND if position.rollout.pause_asked else Reason.PAUSED_BY_SPEC
        return paused(position, case, by, "Before the first step")
    return entered_step(position, case, 0)


def _timed(position: Position, case: Case) -> Position:
    """Let the deadline run unless pods that have to go are still ending, and will end."""
    if _is_waiting_for_room(position, case) and not case.world.stuck:
        return position.but(deadline_at=None)
    anew = _was_held_up(position) and not _is_waiting_for_room(position, case)
    if position.rollout.deadline_at is not None and not anew:
        return position
    return position.but(deadline_at=case.now + case.policy.progress_deadline)


def _is_waiting_for_room(position: Position, case: Case) -> bool:
    """Whether pods of other revisions have to go before there is one of the canary."""
    canary, stable = case.canary(position), case.stable(position)
    others = claimed_pods(case.world) - canary.claimed - stable.claimed
    return canary.claimed == 0 and (others > 0 or _is_clearing(position, case))


def _was_held_up(position: Position) -> bool:
    return position.rollout.cause is Reason.STUCK_TERMINATING


def _late(position: Position, case: Case) -> Position:
    """Give up for a final cause or at the deadline; without a stable revision, go on trying."""
    rollout = position.rollout
    is_tried = case.canary(position).replicas > 0  # or the cause is one of an earlier attempt
    cause = case.world.causes.get(rollout.target or "") if is_tried else None
    if cause is None or not cause.is_final:
        if not is_overdue(position, case):
            return _held_up(position, case)
        known = (cause.message,) if cause else case.world.stuck
        because = f": {known[0]}" if known else ""
        message = f"Revision {rollout.target} was not ready in time{because}"
        cause = Cause(Reason.PROGRESS_DEADLINE_EXCEEDED, message, is_final=True)
    if position.stable is None:
        return position.but(cause=cause.reason, message=cause.message)
    return roll_back(position, case, cause.reason, cause.message)


def _held_up(position: Position, case: Case) -> Position:
    """Note what holds the preparation up: the deadline runs anew when it no longer does."""
    stuck = case.world.stuck
    if stuck and _is_waiting_for_room(position, case):
        return position.but(cause=Reason.STUCK_TERMINATING, message=stuck[0])
    return position.but(cause=None, message="")


def current_step(position: Position, case: Case) -> Step:
    """Return the step that the rollout is at, which the spec may no longer have."""
    steps, rollout = case.steps(position), position.rollout
    index = min(rollout.step or 0, len(steps) - 1)
    return replace(steps[index], weight_percent=rollout.step_weight_percent)


def remapped(position: Position, case: Case) -> Position:
    """Follow steps that were edited: the first one of at least the current share, else the last.

    Missing metrics raise no share (I11): a step that cannot be judged holds before it goes on.
    """
    if _is_at_its_step(position, case):
        return position
    steps, rollout = case.steps(position), position.rollout
    weight, last = rollout.step_weight_percent, len(steps) - 1
    index = next((i for i, step in enumerate(steps) if step.weight_percent >= weight), len(steps))
    if index <= last and steps[index].weight_percent == weight:
        return position.but(step=index)
    if index <= last and rollout.phase is RolloutPhase.STEP:
        return position if is_blind(position, case) else entered_step(position, case, index)
    return _kept_at(position, index - 1 if index else None)


def _is_at_its_step(position: Position, case: Case) -> bool:
    """Whether the spec has the step still, or the first one is yet to come."""
    steps, rollout = case.steps(position), position.rollout
    if rollout.step is None:  # before the first step, unless its weight is below the first one's
        return rollout.phase is not RolloutPhase.STEP
    is_there = rollout.step < len(steps)
    return is_there and steps[rollout.step].weight_percent == rollout.step_weight_percent


def _kept_at(position: Position, before: int | None) -> Position:
    """Keep the share, after that step: with a new window, unless what it shows is waited for."""
    if position.rollout.step == before:
        return position
    if position.rollout.phase is not RolloutPhase.STEP:
        return position.but(step=before)
    return position.but(step=before, window_started_at=None, clock_started_at=None)


def from_step(position: Position, case: Case) -> Position:
    """Move to the step's split, have it judged, go on."""
    position = watch_canary(timed(position, case), case)
    if case.policy.paused:
        return paused(position, case, Reason.PAUSED_BY_SPEC, "spec.rollout.paused is true")
    if position.rollout.promote_asked and case.canary(position).ready >= 1:
        return promoting(position, case)
    elsewhere = judged(position, case) or late(position, case)
    if elsewhere is not None:
        return elsewhere
    if position.rollout.window_started_at is None:
        return _opened(position, case)
    return _passed(position, case)


def _opened(position: Position, case: Case) -> Position:
    """Open the window when the step's split is reached."""
    if is_reached(position, case):
        clock = position.rollout.clock_started_at
        if position.rollout.elapsed_seconds is not None:
            clock = case.now - position.rollout.elapsed_seconds * _SECOND
        opened = position.but(
            window_started_at=case.now, clock_started_at=clock or case.now, elapsed_seconds=None
        )
        return _announced(opened, case) if clock is None else opened
    return scaled(position, case)


def _announced(position: Position, case: Case) -> Position:
    """Say that a canary's step is reached, and which share it is where pods decide that."""
    rollout, steps = position.rollout, case.steps(position)
    if not needs_evidence(position):
        return position
    weight = rollout.step_weight_percent
    message = f"Step {(rollout.step or 0) + 1} of {len(steps)}: {weight} %"
    canary, stable = case.canary(position).ready, case.stable(position).ready
    effective = effective_weight_percent(canary, stable)
    by_pods = position.frozen.provider is Provider.REPLICA_RATIO and 0 < weight < WHOLE
    if by_pods and effective != weight:
        message += f", which {canary} of {canary + stable} ready pods make {effective} %"
    return position.noted(Reason.STEP_REACHED, message)


def _passed(position: Position, case: Case) -> Position:
    """Go on after minSeconds and a Pass; give up after too long without one.

    A step whose share was lost and came back lasts its time anew, as often as fits into twice it.
    """
    step, clock = current_step(position, case), position.rollout.clock_started_at or case.now
    judgement, least = verdict(position, case), step.min_seconds * _SECOND
    patience = case.policy.inconclusive
    passes = judgement is not None and judgement.outcome is VerdictOutcome.PASS
    if passes or not needs_evidence(position):
        if case.now >= (kept_since(position.rollout) or case.now) + least:
            reached = is_reached(position, case)
            return _step_done(position, case, step) if reached else scaled(position, case)
        patience += 2 * least
    if case.now >= clock + patience:
        message = f"No verdict for {patience // _SECOND} s"
        return on_failure(position, case, Reason.INCONCLUSIVE_TOO_LONG, message)
    return position if passes or is_reached(position, case) else scaled(position, case)


def _step_done(position: Position, case: Case, step: Step) -> Position:
    if step.pause is not None and not position.rollout.pause_done:
        until = None
        if step.pause.seconds is not None:
            until = case.now + step.pause.seconds * _SECOND
        message = f"After the step of {step.weight_percent} %"
        return paused(position, case, Reason.PAUSED_BY_STEP, message).but(pause_until=until)
    return next_step(position, case)
