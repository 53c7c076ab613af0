"""What there is to see of one resource: the facts of the live view and of ``-o json``. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from kubectl_llm.ending import is_observed
from kubectl_llm.stored import status_of
from llm_operator import diagnosis
from llm_operator.api.reasons import ConditionType, Reason
from llm_operator.api.status import (
    Condition,
    ConditionStatus,
    PodSummary,
    RolloutPhase,
    RolloutStatus,
    Status,
)
from llm_operator.observation import revision_of

_JUDGED: Final = frozenset({RolloutPhase.STEP, RolloutPhase.PROMOTING, RolloutPhase.BAKING})
"""States in which the reason of a rollout is that of its verdict."""


@dataclass(frozen=True, slots=True)
class RevisionPods:
    """The pods of one revision."""

    revision: str
    role: str
    """``stable``, ``new`` or ``old``."""
    ready: int
    starting: int
    ending: int
    restarts: int


@dataclass(frozen=True, slots=True)
class Overview:
    """One resource and its pods at one moment."""

    namespace: str
    name: str
    source: str
    is_observed: bool
    """Whether the status is about the spec as it is now."""
    status: Status
    pods: tuple[RevisionPods, ...]
    """Empty where the user may not see pods."""

    @property
    def phase(self) -> str:
        """The one word for people; empty before the operator has looked."""
        return self.status.phase.value if self.status.phase else ""

    @property
    def rollout(self) -> RolloutStatus | None:
        """The rollout that is under way or ended last."""
        return self.status.rollout

    @property
    def share(self) -> str:
        """The weights: what is asked and what is, in percent; a dash outside of rollouts."""
        rollout = self.status.rollout
        if rollout is None or rollout.weight_percent is None:
            return "-"
        effective = rollout.effective_weight_percent
        is_other = effective is not None and effective != rollout.weight_percent
        return f"{rollout.weight_percent}%" + (f" (is {effective}%)" if is_other else "")

    @property
    def step(self) -> str:
        """The step out of all; a dash outside of steps."""
        rollout = self.status.rollout
        if rollout is None or not rollout.step or not rollout.steps:
            return "-"
        return f"{rollout.step}/{rollout.steps}"

    @property
    def verdict(self) -> str:
        """What the judgement came to last, and why while it is going on; a dash without one."""
        rollout = self.status.rollout
        if rollout is None or not rollout.verdict:
            return "-"
        is_judging = rollout.phase in _JUDGED and rollout.reason is not None
        return f"{rollout.verdict} {rollout.reason}" if is_judging else rollout.verdict

    @property
    def state(self) -> str:
        """The state of the rollout, with its cause where it does not simply go on."""
        rollout = self.status.rollout
        if rollout is None or rollout.phase is None:
            return ""
        has_cause = rollout.phase not in _JUDGED and rollout.reason is not None
        return f"{rollout.phase} ({rollout.reason})" if has_cause else str(rollout.phase)

    @property
    def told(self) -> str:
        """What the operator says about the rollout: its message, else that of Progressing."""
        rollout = self.status.rollout
        progressing = self.status.condition(ConditionType.PROGRESSING)
        if rollout is not None and rollout.message:
            return rollout.message
        holds = progressing is not None and progressing.status is ConditionStatus.TRUE
        return progressing.message if progressing is not None and holds else ""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Ready, Progressing, Stalled, Conflict."""
        return self.status.conditions

    @property
    def causes(self) -> tuple[PodSummary, ...]:
        """What keeps pods from being ready."""
        return self.status.pods


def look(resource: Mapping[str, Any], pods: Iterable[Mapping[str, Any]] = ()) -> Overview:
    """Return what there is to see."""
    metadata, status = resource["metadata"], status_of(resource)
    return Overview(
        namespace=str(metadata.get("namespace", "")),
        name=str(metadata["name"]),
        source=str(resource.get("spec", {}).get("model", {}).get("source", "")),
        is_observed=is_observed(resource, status),
        status=status,
        pods=_count(pods, status),
    )


def _count(pods: Iterable[Mapping[str, Any]], status: Status) -> tuple[RevisionPods, ...]:
    counted = [pod for pod in pods if not diagnosis.is_finished(pod)]
    by_state = Counter((revision_of(pod), _state(pod)) for pod in counted)
    restarts = Counter[str]()
    for pod in counted:
        restarts[revision_of(pod)] += _restarts(pod)
    revisions = {revision for revision, _ in by_state}
    found = [
        RevisionPods(
            revision=revision,
            role=_role(revision, status),
            ready=by_state[revision, "ready"],
            starting=by_state[revision, "starting"],
            ending=by_state[revision, "ending"],
            restarts=restarts[revision],
        )
        for revision in revisions
    ]
    return tuple(sorted(found, key=lambda row: (row.role != "stable", row.role, row.revision)))


def _state(pod: Mapping[str, Any]) -> str:
    if diagnosis.is_terminating(pod):
        return "ending"
    return "ready" if diagnosis.is_ready(pod) else "starting"


def _restarts(pod: Mapping[str, Any]) -> int:
    containers = pod.get("status", {}).get("containerStatuses") or ()
    return sum(int(container.get("restartCount", 0)) for container in containers)


def _role(revision: str, status: Status) -> str:
    if revision == status.stable_revision:
        return "stable"
    rollout = status.rollout
    return "new" if rollout is not None and revision == rollout.target else "old"


def document(overview: Overview) -> dict[str, Any]:
    """Return the facts for programs."""
    rollout = overview.status.rollout
    content = overview.status.to_json()
    shown = ("phase", "replicas", "desiredReplicas", "readyReplicas", "endpoint", "stableRevision")
    return {
        "namespace": overview.namespace,
        "name": overview.name,
        "source": overview.source,
        "isObserved": overview.is_observed,
        **{key: content[key] for key in shown if key in content},
        "rollout": _rollout_document(rollout, content.get("rollout", {})),
        "pods": [_pods_document(row) for row in overview.pods],
        "conditions": content.get("conditions", []),
        "causes": content.get("pods", []),
    }


_ROLLOUT_KEYS = (
    "phase",
    "target",
    "previous",
    "step",
    "steps",
    "weightPercent",
    "effectiveWeightPercent",
    "verdict",
    "reason",
    "message",
    "startedAt",
    "deadlineAt",
    "stepStartedAt",
    "pauseUntil",
    "rejected",
)


def _rollout_document(
    rollout: RolloutStatus | None, content: Mapping[str, Any]
) -> dict[str, Any] | None:
    if rollout is None:
        return None
    return {key: content[key] for key in _ROLLOUT_KEYS if key in content}


def _pods_document(row: RevisionPods) -> dict[str, Any]:
    return {
        "revision": row.revision,
        "role": row.role,
        "ready": row.ready,
        "starting": row.starting,
        "ending": row.ending,
        "restarts": row.restarts,
    }


def elapsed(since: datetime | None, now: datetime) -> str:
    """Return a time span in its largest unit, as ``kubectl`` does; a dash for none."""
    if since is None:
        return "-"
    seconds = max(0, int((now - since).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def waits_for(overview: Overview) -> str:
    """Return what the next move of a rollout waits for, where a person has to make it."""
    rollout = overview.status.rollout
    if rollout is None or rollout.reason is not Reason.PAUSED_BY_STEP or rollout.pause_until:
        return ""
    return f"Waits for `kubectl llm promote-step {overview.name}`."
