"""The status of a resource: read back what a restart must not lose, and say what is so now.

Pure. ``phase`` and the conditions are written for people and tools and never read back to decide.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from llm_operator.api.reasons import ConditionType, Phase, Reason
from llm_operator.api.status import RolloutStatus, Status
from llm_operator.conditions import Verdict, format_time
from llm_operator.diagnosis import Finding, summarise, worst
from llm_operator.rollout.state import Decision, Outcome, Rollout
from llm_operator.rollout.total import ReplicasFloor


@dataclass(frozen=True, slots=True)
class Memory:
    """The decisions that the status carries from pass to pass."""

    stable: str | None = None
    rollout: Rollout = field(default_factory=Rollout)
    desired_replicas: int | None = None
    floor: ReplicasFloor | None = None
    is_lost: bool = False
    """Whether there is no status: a new resource, or one restored without it."""


def recall(json: Mapping[str, Any]) -> Memory:
    """Read the status; what does not parse counts as absent."""
    status = Status.from_json(json)
    floor = status.replicas_floor
    return Memory(
        stable=status.stable_revision,
        rollout=_recall_rollout(status.rollout or RolloutStatus()),
        desired_replicas=status.desired_replicas,
        floor=ReplicasFloor(floor.value, floor.since) if floor else None,
        is_lost=status.observed_generation is None,
    )


def _recall_rollout(rollout: RolloutStatus) -> Rollout:
    return Rollout(
        phase=rollout.phase,
        target=rollout.target,
        strategy=rollout.strategy,
        started_at=rollout.started_at,
        deadline_at=rollout.deadline_at,
        moved_at=rollout.moved_at,
        rejected=rollout.rejected,
    )


def floor_json(floor: ReplicasFloor | None) -> dict[str, Any]:
    """Return ``status.replicasFloor``; empty when nothing is held."""
    return {"value": floor.value, "since": format_time(floor.since)} if floor else {}


def rollout_json(rollout: Rollout) -> dict[str, Any]:
    """Return ``status.rollout`` without what is absent."""
    times = {
        "startedAt": rollout.started_at,
        "deadlineAt": rollout.deadline_at,
        "movedAt": rollout.moved_at,
    }
    values = {
        "phase": rollout.phase.value if rollout.phase else None,
        "target": rollout.target,
        "strategy": rollout.strategy.value if rollout.strategy else None,
        **{name: format_time(moment) for name, moment in times.items() if moment},
        "rejected": list(rollout.rejected),
    }
    return {name: value for name, value in values.items() if value}


@dataclass(frozen=True, slots=True)
class Situation:
    """What the conditions are derived from."""

    decision: Decision
    total: int
    ready: int
    """Ready pods of the serving revision."""
    findings: tuple[Finding, ...] = ()
    """What keeps pods of the serving and the target revision from being ready."""
    blocked: tuple[Finding, ...] = ()
    """What only a change by someone can cure: a refused spec, or an apply that is invalid."""
    conflicts: tuple[Finding, ...] = ()
    stalled_message: str = ""
    """What Stalled said before: the cause of a rejection outlives the pods that showed it."""
    notes: tuple[str, ...] = ()
    """Sentences that belong into the message of Ready, such as a drain shorter than a request."""


def judge(situation: Situation) -> tuple[Verdict, ...]:
    """Return all conditions, in the order in which the status lists them."""
    return (
        _judge_ready(situation),
        _judge_progressing(situation),
        _judge_stalled(situation),
        _judge_conflict(situation),
    )


def _judge_ready(situation: Situation) -> Verdict:
    ready, total = situation.ready, situation.total
    if total == 0:
        return _ready(Reason.STOPPED, "replicas is 0", situation, holds=True)
    serving = situation.decision.stable is not None
    if serving and ready >= total:
        return _ready(Reason.AVAILABLE, f"{ready} of {total} pods are ready", situation, holds=True)
    cause = worst((*situation.blocked, *situation.findings)) or worst(situation.conflicts)
    if cause is None or cause.reason is Reason.PODS_NOT_READY:
        return _ready(
            Reason.PODS_NOT_READY, f"{ready} of {total} pods are ready", situation, holds=False
        )
    return _ready(cause.reason, _said(cause), situation, holds=False)


def _ready(reason: Reason, message: str, situation: Situation, *, holds: bool) -> Verdict:
    return Verdict(ConditionType.READY, holds, reason, ". ".join((message, *situation.notes)))


_PROGRESS: Final = {
    Outcome.CLEARING: Reason.ROLLOUT_PREPARING,
    Outcome.PREPARING: Reason.ROLLOUT_PREPARING,
    Outcome.OVERDUE: Reason.ROLLOUT_PREPARING,
    Outcome.MOVING: Reason.ROLLOUT_PROMOTING,
    Outcome.DRAINING: Reason.ROLLOUT_BAKING,
}


def _judge_progressing(situation: Situation) -> Verdict:
    reason = _PROGRESS.get(situation.decision.outcome)
    if reason is None:
        return Verdict.false(ConditionType.PROGRESSING, Reason.UP_TO_DATE, "No rollout is running")
    target = situation.decision.rollout.target
    cause = worst(situation.findings)
    if reason is Reason.ROLLOUT_PREPARING and cause and cause.reason is not Reason.PODS_NOT_READY:
        return Verdict.true(ConditionType.PROGRESSING, cause.reason, _said(cause))
    message = f"{reason.meaning.rstrip('.')} (revision {target})"
    return Verdict.true(ConditionType.PROGRESSING, reason, message)


def _judge_stalled(situation: Situation) -> Verdict:
    type_ = ConditionType.STALLED
    cause = worst(situation.blocked)
    if cause is not None:
        return Verdict.true(type_, cause.reason, _said(cause))
    if situation.decision.outcome in (Outcome.REJECTED, Outcome.OVERDUE):
        return Verdict.true(type_, Reason.PROGRESS_DEADLINE_EXCEEDED, _overdue(situation))
    return Verdict.false(type_, Reason.NOT_STALLED, "Nothing is in the way")


def _overdue(situation: Situation) -> str:
    decision = situation.decision
    opening = f"Revision {decision.rollout.target} was not ready in time"
    rejected = decision.outcome is Outcome.REJECTED
    if rejected and situation.stalled_message.startswith(opening) and not situation.findings:
        return situation.stalled_message
    cause = worst(situation.findings)
    because = f": {_said(cause)}" if cause else ""
    late = f"{opening}{because}"
    if rejected:
        return f"{late}. Revision {decision.stable} serves on; edit the spec to try again"
    return f"{late}. It is still being tried"


def _judge_conflict(situation: Situation) -> Verdict:
    type_ = ConditionType.CONFLICT
    if not situation.conflicts:
        return Verdict.false(type_, Reason.NO_CONFLICT, "Every object is the resource's own")
    first = situation.conflicts[0]
    message = "; ".join(conflict.message for conflict in situation.conflicts)
    return Verdict.true(type_, first.reason, message)


def _said(finding: Finding) -> str:
    where = f"Pod {finding.pod}: " if finding.pod else ""
    step = finding.reason.next_step
    return f"{where}{finding.message.rstrip('.')}. {step}" if step else f"{where}{finding.message}"


def summary_phase(situation: Situation, verdicts: Iterable[Verdict]) -> Phase:
    """Return the one word for people; the first that applies, in the order of ``Phase``."""
    held = {verdict.type for verdict in verdicts if verdict.holds}
    if any(f.reason in _INVALID for f in situation.blocked):
        return Phase.INVALID
    if ConditionType.STALLED in held:
        return Phase.STALLED
    if situation.total == 0:
        return Phase.STOPPED
    if situation.decision.stable is None:
        return Phase.PENDING
    if ConditionType.PROGRESSING in held:
        return Phase.PROGRESSING
    return Phase.READY if ConditionType.READY in held else Phase.DEGRADED


_INVALID: Final = frozenset({Reason.SPEC_INVALID, Reason.OWNED_FLAG, Reason.OWNED_NAME})


def pods_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return ``status.pods``."""
    return [
        summary.model_dump(mode="json", by_alias=True, exclude_none=True)
        for summary in summarise(findings)
    ]
