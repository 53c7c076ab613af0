"""Situations that the status is derived from, as the machine of rollouts makes them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.api.traffic import Provider
from llm_operator.diagnosis import Finding
from llm_operator.rollout.state import Decision, Frozen, Judgement, Note, Rollout, VerdictOutcome
from llm_operator.status import Progress, Situation

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD: Final = "bcdfghjk"
NEW: Final = "vwxz2456"
TOTAL: Final = 4

CANARY: Final = Frozen(Strategy.CANARY, 1, 100, Provider.REPLICA_RATIO)
STABLE: Final = Rollout(target=OLD, stable_was_ready=True)
MOVING: Final = Rollout(
    phase=RolloutPhase.STEP,
    target=NEW,
    started_at=NOW,
    deadline_at=NOW + timedelta(minutes=30),
    frozen=CANARY,
    held_total=TOTAL,
    step=1,
    step_weight_percent=25,
    weight_percent=25,
    step_started_at=NOW,
    applied_at=NOW,
    window_started_at=NOW,
    clock_started_at=NOW,
    stable_was_ready=True,
)
PROGRESS: Final = Progress(
    steps=4,
    effective_weight_percent=25,
    judgement=Judgement(
        NOW, VerdictOutcome.INCONCLUSIVE, Reason.TOO_FEW_REQUESTS, "12 of 50 requests"
    ),
)
UNSCHEDULABLE: Final = Finding(
    Reason.INSUFFICIENT_ACCELERATOR,
    "0/3 nodes: 3 Insufficient nvidia.com/gpu",
    "chat-vwxz2456-1",
    NEW,
)
CRASHING: Final = Finding(
    Reason.CRASH_LOOPING, "The server exited with code 1", "chat-bcdfghjk-1", OLD
)
STARTING: Final = Finding(Reason.PODS_NOT_READY, "The pod is starting", "chat-bcdfghjk-2", OLD)


def moving(phase: RolloutPhase, **changes: Any) -> Decision:
    """Return a decision of a rollout that is under way, from OLD to NEW."""
    return Decision(replace(MOVING, phase=phase, **changes), OLD, {OLD: 4, NEW: 1})


def at_rest(rollout: Rollout = STABLE, refusal: Note | None = None) -> Decision:
    """Return a decision with OLD serving and nothing under way."""
    return Decision(rollout, OLD, {OLD: TOTAL}, refusal=refusal)


REJECTED: Final = Rollout(
    phase=RolloutPhase.ROLLED_BACK,
    target=NEW,
    cause=Reason.ERRORS_TOO_HIGH,
    message="31 of 100 requests failed",
    rejected=(NEW,),
    stable_was_ready=True,
)
FIRST: Final = Decision(
    replace(MOVING, phase=RolloutPhase.PREPARING, weight_percent=100, step=None), None, {NEW: 4}
)


def _situation(decision: Decision, ready: int = TOTAL, **more: Any) -> Situation:
    progress = PROGRESS if decision.rollout.phase in _JUDGED else Progress(steps=4)
    return Situation(
        **{"decision": decision, "total": TOTAL, "ready": ready, "progress": progress, **more}
    )


_JUDGED: Final = (RolloutPhase.STEP, RolloutPhase.PROMOTING, RolloutPhase.BAKING)

SITUATIONS: Final[Mapping[str, Situation]] = {
    "first pods cannot start": _situation(
        replace(FIRST, rollout=replace(FIRST.rollout, cause=Reason.PROGRESS_DEADLINE_EXCEEDED)),
        0,
        findings=(UNSCHEDULABLE,),
    ),
    "at rest": _situation(at_rest()),
    "stopped": _situation(at_rest(), 0, total=0),
    "Preparing": _situation(moving(RolloutPhase.PREPARING, weight_percent=0, step=None)),
    "Preparing, no accelerator": _situation(
        moving(RolloutPhase.PREPARING, weight_percent=0, step=None), findings=(UNSCHEDULABLE,)
    ),
    "Step": _situation(moving(RolloutPhase.STEP)),
    "Paused": _situation(
        moving(
            RolloutPhase.PAUSED,
            paused_by=Reason.PAUSED_BY_STEP,
            cause=Reason.PAUSED_BY_STEP,
            message="After the step",
            elapsed_seconds=60,
        )
    ),
    "Paused by a failure": _situation(
        moving(
            RolloutPhase.PAUSED,
            paused_by=Reason.PAUSED_BY_FAILURE,
            cause=Reason.PAUSED_BY_FAILURE,
            message="ErrorsTooHigh: 31 of 100 requests failed",
        )
    ),
    "Holding": _situation(
        moving(
            RolloutPhase.HOLDING,
            cause=Reason.METRICS_MISSING,
            message="Pod chat-vwxz2456-1 has not answered for 30 s",
            return_to=RolloutPhase.STEP,
            holding_deadline_at=NOW + timedelta(minutes=30),
        )
    ),
    "Promoting": _situation(moving(RolloutPhase.PROMOTING, weight_percent=50)),
    "Baking": _situation(
        replace(
            moving(RolloutPhase.BAKING, weight_percent=100, step=None, previous=OLD), stable=NEW
        )
    ),
    "RollingBack": _situation(
        moving(
            RolloutPhase.ROLLING_BACK,
            weight_percent=0,
            cause=Reason.ERRORS_TOO_HIGH,
            message="31 of 100 requests failed",
        )
    ),
    "RolledBack": _situation(at_rest(REJECTED)),
    "RolledBack, stable not ready": _situation(
        at_rest(replace(REJECTED, cause=Reason.STABLE_NOT_READY, message="")),
        0,
        findings=(CRASHING,),
    ),
    "no room for a rollout": _situation(
        at_rest(
            refusal=Note(
                Reason.NO_ROOM_FOR_ROLLOUT, "Raise maxExtraReplicas or lower minServingPercent"
            )
        )
    ),
    "paused before a rollout": _situation(
        at_rest(refusal=Note(Reason.PAUSED_BY_SPEC, "Revision vwxz2456 waits: rollout.paused"))
    ),
}
"""By what is so."""
