"""When a change has ended, and how: what ``status --watch`` waits for. Pure.

A status counts only when it is about the generation that the resource has: before that it tells of
the rollout before the edit. Rolling back is not an end yet: the old revision may still be short of
pods. Baking is not one either: the new revision can still be taken back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kubectl_llm.exits import ExitCode
from kubectl_llm.stored import status_of
from llm_operator.api.reasons import ConditionType, Reason
from llm_operator.api.status import Condition, ConditionStatus, RolloutPhase, Status

_WILL: Final = frozenset({Reason.PAUSED_BY_SPEC, Reason.PAUSED_BY_STEP, Reason.PAUSED_BY_COMMAND})
"""Causes of a pause that somebody wanted; every other one is a failure."""

_UNDER_WAY: Final = frozenset(RolloutPhase) - {RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a change ended."""

    code: ExitCode
    message: str


def ending(resource: Mapping[str, Any]) -> Ending | None:
    """Return how the change that the resource asks for has ended; None while it goes on."""
    status = status_of(resource)
    if not is_observed(resource, status):
        return None
    match status.rollout.phase if status.rollout else None:
        case RolloutPhase.ROLLED_BACK:
            return Ending(ExitCode.ROLLED_BACK, _rolled_back(status))
        case RolloutPhase.ROLLING_BACK:
            return None
        case RolloutPhase.PAUSED if _paused_by_failure(status):
            return Ending(ExitCode.PAUSED_BY_FAILURE, f"Paused by a failure: {_cause(status)}")
    return _ending_by_conditions(status)


def _ending_by_conditions(status: Status) -> Ending | None:
    stalled = _true(status, ConditionType.STALLED)
    if stalled is not None:
        return Ending(ExitCode.STALLED, f"Stalled, {stalled.reason}: {stalled.message}")
    phase = status.rollout.phase if status.rollout else None
    ready = _true(status, ConditionType.READY)
    goes_on = phase in _UNDER_WAY or _true(status, ConditionType.PROGRESSING)
    if goes_on or ready is None:
        return None
    return Ending(ExitCode.OK, f"Revision {status.stable_revision} serves: {ready.message}")


def is_observed(resource: Mapping[str, Any], status: Status) -> bool:
    """Whether the status is about the spec as it is now."""
    generation = int(resource["metadata"].get("generation", 0))
    return status.observed_generation is not None and status.observed_generation >= generation


def _paused_by_failure(status: Status) -> bool:
    rollout = status.rollout
    cause = rollout.cause or rollout.reason if rollout else None
    return cause is not None and cause not in _WILL


def _rolled_back(status: Status) -> str:
    target = status.rollout.target if status.rollout else None
    return f"Revision {target} was rolled back: {_cause(status)}"


def _cause(status: Status) -> str:
    rollout = status.rollout
    if rollout is None:
        return ""
    cause = rollout.cause or rollout.reason
    told = None if cause is Reason.PAUSED_BY_FAILURE and rollout.message else cause
    parts = [str(part) for part in (told, rollout.message) if part]
    return ": ".join(parts) or "no cause is known"


def _true(status: Status, type_: ConditionType) -> Condition | None:
    condition = status.condition(type_)
    holds = condition is not None and condition.status is ConditionStatus.TRUE
    return condition if holds else None
