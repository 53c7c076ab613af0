"""Phase and conditions: what is so now, for people and tools. Pure.

========== ===============================================================================
Ready      the pods that take traffic are as many, and ready, as is asked for now
Progressing  a rollout or a rollback runs, is paused or waits to begin
Stalled    somebody has to change something: the spec, a command, an object
Conflict   an object or a field that is needed belongs to someone else
========== ===============================================================================
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from llm_operator.api.reasons import ConditionType, Phase, Reason
from llm_operator.api.rollout import Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.conditions import Verdict
from llm_operator.diagnosis import Finding, worst
from llm_operator.rollout.sizes import WHOLE
from llm_operator.rollout.state import Decision
from llm_operator.status.report import Progress

_AT_REST: Final = frozenset({RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK})

_PROGRESS: Final = {
    RolloutPhase.PREPARING: Reason.ROLLOUT_PREPARING,
    RolloutPhase.STEP: Reason.ROLLOUT_STEPPING,
    RolloutPhase.PAUSED: Reason.ROLLOUT_PAUSED,
    RolloutPhase.HOLDING: Reason.ROLLOUT_HOLDING,
    RolloutPhase.PROMOTING: Reason.ROLLOUT_PROMOTING,
    RolloutPhase.BAKING: Reason.ROLLOUT_BAKING,
    RolloutPhase.ROLLING_BACK: Reason.ROLLOUT_ROLLING_BACK,
}


@dataclass(frozen=True, slots=True)
class Situation:
    """What phase and conditions are derived from."""

    decision: Decision
    total: int
    ready: int
    """Ready pods of the revisions that take traffic."""
    progress: Progress = Progress()  # noqa: RUF009 - frozen
    findings: tuple[Finding, ...] = ()
    """What keeps pods of the stable and the target revision from being ready."""
    blocked: tuple[Finding, ...] = ()
    """What only a change by someone can cure: a refused spec, or an apply that is invalid."""
    conflicts: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences that belong into the message of Ready, such as a drain shorter than a request."""

    @property
    def is_moving(self) -> bool:
        """Whether a rollout or a rollback is under way."""
        return self.decision.rollout.phase not in _AT_REST

    @property
    def needed(self) -> int:
        """Ready pods that are as many as is asked for now: fewer where a rollout may go below."""
        frozen = self.decision.rollout.frozen
        if not self.is_moving or frozen is None or frozen.strategy is Strategy.RECREATE:
            return self.total
        return max(1, math.ceil(self.total * frozen.min_serving_percent / 100))

    @property
    def of_traffic(self) -> tuple[Finding, ...]:
        """Findings about the pods that take traffic; another revision's say nothing about those."""
        weight, stable = self.decision.rollout.weight_percent, self.decision.stable
        taking = {"", stable} if weight < WHOLE else {""}
        taking |= {self.decision.rollout.target} if weight > 0 else set()
        return tuple(finding for finding in self.findings if finding.revision in taking)

    @property
    def awaited(self) -> tuple[Finding, ...]:
        """Findings about what the rollout waits for: its new pods, or on the way back stable's.

        Pods that do not end hold it back whosever they are.
        """
        rollout = self.decision.rollout
        goes_back = rollout.phase is RolloutPhase.ROLLING_BACK
        wanted = self.decision.stable if goes_back else rollout.target
        return tuple(
            finding
            for finding in self.findings
            if finding.revision in (wanted, "") or finding.reason is Reason.STUCK_TERMINATING
        )


def judge(situation: Situation) -> tuple[Verdict, ...]:
    """Return all conditions, in the order in which the status lists them."""
    return (
        _judge_ready(situation),
        _judge_progressing(situation),
        _judge_stalled(situation),
        _judge_conflict(situation),
    )


def _judge_ready(situation: Situation) -> Verdict:
    ready, total, rollout = situation.ready, situation.total, situation.decision.rollout
    if total == 0:
        return _ready(Reason.STOPPED, "replicas is 0", situation, holds=True)
    count = _counted(ready, total)
    if situation.decision.stable is not None and ready >= situation.needed:
        enough = "" if ready >= total else f"; {situation.needed} are enough during a rollout"
        return _ready(Reason.AVAILABLE, count + enough, situation, holds=True)
    findings = situation.of_traffic or situation.findings
    cause = worst((*situation.blocked, *findings)) or worst(situation.conflicts)
    if rollout.phase is RolloutPhase.ROLLED_BACK and rollout.cause is Reason.STABLE_NOT_READY:
        because = f": {_said(cause)}" if cause else ""
        return _ready(Reason.STABLE_NOT_READY, count + because, situation, holds=False)
    if cause is None or cause.reason is Reason.PODS_NOT_READY:
        return _ready(Reason.PODS_NOT_READY, count, situation, holds=False)
    return _ready(cause.reason, _said(cause), situation, holds=False)


def _counted(ready: int, total: int) -> str:
    """Say how many pods are ready; a rollout may have more than are asked for."""
    if ready > total:
        return f"{ready} pods are ready, {total} are asked for"
    return f"{ready} of {total} pods are ready"


def _ready(reason: Reason, message: str, situation: Situation, *, holds: bool) -> Verdict:
    return Verdict(ConditionType.READY, holds, reason, ". ".join((message, *situation.notes)))


def _judge_progressing(situation: Situation) -> Verdict:
    type_, refusal = ConditionType.PROGRESSING, situation.decision.refusal
    reason = _PROGRESS.get(situation.decision.rollout.phase)
    if reason is not None:
        cause = worst(situation.awaited)
        if reason is Reason.ROLLOUT_PREPARING and cause and cause.is_known:
            return Verdict.true(type_, cause.reason, _said(cause))
        return Verdict.true(type_, reason, _course(situation, reason))
    if refusal is not None and refusal.reason is Reason.PAUSED_BY_SPEC:
        return Verdict.true(type_, Reason.ROLLOUT_PAUSED, refusal.message)
    return Verdict.false(type_, Reason.UP_TO_DATE, "No rollout is running")


def _course(situation: Situation, reason: Reason) -> str:
    """Say where the rollout is, and what it waits for if that is known."""
    rollout = situation.decision.rollout
    where = f"Revision {rollout.target}: {reason.meaning.rstrip('.')}"
    if rollout.phase in (RolloutPhase.STEP, RolloutPhase.PAUSED, RolloutPhase.HOLDING):
        where = f"Revision {rollout.target}, {_share(situation)}"
    judgement = situation.progress.judgement
    reason_now = rollout.paused_by or (judgement.reason if judgement else None)
    why = rollout.message or (reason_now.meaning if reason_now else "")
    cause = worst(situation.awaited)
    waits = (_said(cause),) if cause and cause.is_known else ()
    return ". ".join(part.rstrip(".") for part in (where, why, *waits) if part)


def _share(situation: Situation) -> str:
    rollout, progress = situation.decision.rollout, situation.progress
    of = f" of {progress.steps}" if progress.steps else ""
    step = f"step {rollout.step + 1}{of}, " if rollout.step is not None else ""
    actual = progress.effective_weight_percent
    differs = f" ({actual} % by ready pods)" if actual not in (None, rollout.weight_percent) else ""
    return f"{step}{rollout.weight_percent} % of the traffic{differs}"


def _judge_stalled(situation: Situation) -> Verdict:
    type_, decision = ConditionType.STALLED, situation.decision
    cause = worst(situation.blocked)
    if cause is not None:
        return Verdict.true(type_, cause.reason, _said(cause))
    refusal = decision.refusal
    if refusal is not None and refusal.reason is not Reason.PAUSED_BY_SPEC:
        return Verdict.true(type_, refusal.reason, refusal.message)
    return _judge_failure(situation)


def _judge_failure(situation: Situation) -> Verdict:
    """Say what a rollout failed of, while that is why the resource gets no further."""
    type_, decision = ConditionType.STALLED, situation.decision
    rollout = decision.rollout
    reason = rollout.cause or Reason.PROGRESS_DEADLINE_EXCEEDED
    why = (rollout.message or reason.meaning).rstrip(".")
    match rollout.phase:
        case RolloutPhase.ROLLED_BACK:
            serves = (
                f"revision {decision.stable} serves on" if situation.ready else "nothing serves"
            )
            message = f"Revision {rollout.target} is rejected, {serves}: {why}. {reason.next_step}"
            return Verdict.true(type_, reason, message)
        case RolloutPhase.PAUSED if rollout.paused_by is Reason.PAUSED_BY_FAILURE:
            return Verdict.true(type_, reason, f"{why}. {Reason.PAUSED_BY_FAILURE.next_step}")
        case RolloutPhase.PREPARING if rollout.cause is not None and decision.stable is None:
            return Verdict.true(type_, reason, f"{why}. {reason.next_step} It is still being tried")
    return Verdict.false(type_, Reason.NOT_STALLED, "Nothing is in the way")


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
    if any(finding.reason in _INVALID for finding in situation.blocked):
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
