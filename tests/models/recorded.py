"""One object for each state that a resource can be in, written by the code that writes statuses."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.api.traffic import Provider
from llm_operator.conditions import merge_conditions
from llm_operator.diagnosis import Finding
from llm_operator.rollout.state import Decision, Frozen, Judgement, Note, Rollout, VerdictOutcome
from llm_operator.status import Progress, Situation, judge, pods_json, rollout_json, summary_phase

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD: Final = "bcdfghjk"
NEW: Final = "vwxz2456"
TOTAL: Final = 4

CANARY: Final = Frozen(Strategy.CANARY, 1, 100, Provider.REPLICA_RATIO)
RECREATE: Final = Frozen(Strategy.RECREATE, 0, 100, Provider.REPLICA_RATIO)
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
    Reason.INSUFFICIENT_ACCELERATOR, "0/3 nodes: 3 Insufficient nvidia.com/gpu", "chat-vwxz2456-1"
)
WAITING: Final = Finding(Reason.PODS_NOT_READY, "The pod is starting", "chat-bcdfghjk-1")
CRASHING: Final = Finding(Reason.CRASH_LOOPING, "The server exited with code 1", "chat-bcdfghjk-1")
WRONG: Final = Finding(Reason.SPEC_INVALID, "spec.model.source: must be one of ...")


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
    "first pods start": _situation(FIRST, 0, findings=(WAITING,)),
    "first pods cannot start": _situation(
        replace(FIRST, rollout=replace(FIRST.rollout, cause=Reason.PROGRESS_DEADLINE_EXCEEDED)),
        0,
        findings=(UNSCHEDULABLE,),
    ),
    "at rest": _situation(at_rest()),
    "pods missing": _situation(at_rest(), 3, findings=(WAITING,)),
    "pods failing": _situation(at_rest(), 3, findings=(CRASHING,)),
    "stopped": _situation(at_rest(), 0, total=0),
    "Preparing": _situation(moving(RolloutPhase.PREPARING, weight_percent=0, step=0)),
    "Preparing, no accelerator": _situation(
        moving(RolloutPhase.PREPARING, weight_percent=0, step=0), findings=(UNSCHEDULABLE,)
    ),
    "Step": _situation(moving(RolloutPhase.STEP)),
    "Step, fewer pods serving": _situation(
        moving(
            RolloutPhase.STEP, frozen=replace(CANARY, max_extra_replicas=0, min_serving_percent=75)
        ),
        3,
    ),
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
    "Promoting": _situation(moving(RolloutPhase.PROMOTING, weight_percent=100, step=None)),
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
    "Recreate": _situation(
        moving(RolloutPhase.PREPARING, frozen=RECREATE, weight_percent=100, step=0), 0
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
    "invalid": _situation(at_rest(), blocked=(WRONG,)),
}
"""By the name that docs/status.md gives each of them."""


def recorded(situation: Situation, generation: int = 2) -> dict[str, Any]:
    """Return the object as the API server would hold it; its spec does not matter here."""
    verdicts = judge(situation)
    decision = situation.decision
    status = {
        "observedGeneration": generation,
        "phase": summary_phase(situation, verdicts).value,
        "conditions": merge_conditions((), verdicts, generation=generation, now=NOW),
        "desiredReplicas": situation.total,
        "readyReplicas": situation.ready,
        "pods": pods_json(situation.findings),
        "rollout": rollout_json(decision.rollout, situation.progress),
        **({"stableRevision": decision.stable} if decision.stable else {}),
    }
    metadata = {"name": "chat", "namespace": "default", "generation": generation}
    return {"metadata": metadata, "status": status}
