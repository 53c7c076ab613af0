"""What is worth asking the API server before a diagnosis: nothing, while all is well.

Pure. Pods that are ready, that are only a few seconds old, or that say themselves what is wrong
lead to no question.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.diagnosis.evidence import NOTHING
from llm_operator.diagnosis.finding import Finding
from llm_operator.diagnosis.pod import Pod, read_pod
from llm_operator.diagnosis.probes import ANSWER_PATIENCE
from llm_operator.diagnosis.reading import Object
from llm_operator.diagnosis.scheduling import SCHEDULER_PATIENCE, depends_on_nodes
from llm_operator.diagnosis.walk import ENDING_PATIENCE, explain_pod, is_overdue
from llm_operator.diagnosis.workload import Workload, read_workload

PATIENCE: Final = timedelta(seconds=5)
"""A pod that is younger is merely new."""

STARTING_PATIENCE: Final = ANSWER_PATIENCE
"""A server that runs has so long to answer its first probe before anyone asks."""

POD_LIMIT: Final = 3
CLAIM_LIMIT: Final = 3

_VAGUE: Final = frozenset(
    {
        Reason.PODS_NOT_READY,
        Reason.UNKNOWN,
        Reason.IMAGE_PULL_FAILED,
        Reason.KILLED,
        Reason.CRASH_LOOPING,
        Reason.VOLUME_NOT_BOUND,
        Reason.SCHEDULER_MISSING,
    }
)
"""Reasons that events, claims or nodes may make more exact."""

_MAY_BE_A_PROBE: Final = frozenset({0, 137, 143})
"""Exit codes of a server that the kubelet ended; others are the server's own."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What to read for one resource."""

    pods: tuple[str, ...] = ()
    """UIDs of the pods whose events are wanted."""
    claims: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    surveys: tuple[str, ...] = ()
    """Label selectors of nodes whose taints are wanted; an empty one selects all."""
    symptoms: tuple[str, ...] = ()
    """What the pods look like; other symptoms make what was read before worthless."""
    due_at: datetime | None = None
    """When the next question may come up that is not asked yet."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read now."""
        return not (self.pods or self.claims or self.nodes or self.surveys)


@dataclass(frozen=True, slots=True)
class _Question:
    """What one pod gives cause to read, from ``asked_at`` on."""

    asked_at: datetime
    pod: Pod
    symptom: str
    claims: tuple[str, ...] = ()
    survey: str | None = None


def inquire(pods: Iterable[Object], deployments: Iterable[Object], now: datetime) -> Inquiry:
    """Return what to read now, and when to ask again."""
    workloads = {w.revision: w for w in map(read_workload, deployments)}
    views = sorted(map(read_pod, pods), key=lambda pod: pod.name)
    questions = [q for pod in views for q in _questions(pod, workloads.get(pod.revision), now)]
    now_due = [q for q in questions if q.asked_at <= now][:POD_LIMIT]
    later = [q.asked_at for q in questions if q.asked_at > now]
    bound = [q.pod for q in now_due if q.pod.node]
    claims = dict.fromkeys(name for q in now_due for name in q.claims)
    return Inquiry(
        pods=tuple(pod.uid for pod in bound if pod.uid),
        claims=tuple(claims)[:CLAIM_LIMIT],
        nodes=tuple(dict.fromkeys(pod.node for pod in bound)),
        surveys=tuple(dict.fromkeys(q.survey for q in now_due if q.survey is not None)),
        symptoms=tuple(q.symptom for q in now_due),
        due_at=min(later, default=None),
    )


def _questions(pod: Pod, workload: Workload | None, now: datetime) -> Iterator[_Question]:
    if pod.is_terminating:
        yield _Question(_overdue_at(pod, now), pod, Reason.STUCK_TERMINATING)
        return
    if pod.is_ready or pod.is_finished or pod.created_at is None:
        return
    finding = explain_pod(pod, workload, NOTHING, now)
    if not _is_vague(pod, finding):
        return
    if not pod.is_bound and not pod.condition("PodScheduled").status:
        # Nothing to read, but something to see: a pod that nobody schedules gives no news.
        yield _Question(pod.created_at + SCHEDULER_PATIENCE, pod, _symptom(pod, finding))
    yield _Question(
        asked_at=_asked_at(pod, pod.created_at, finding),
        pod=pod,
        symptom=_symptom(pod, finding),
        claims=workload.claims if workload and not _has_run(pod) else (),
        survey=_survey(workload) if _waits_for_nodes(pod) else None,
    )


def _overdue_at(pod: Pod, now: datetime) -> datetime:
    """Return when a pod that ends is first overdue; ``now`` if it is."""
    if pod.deleted_at is None or is_overdue(pod, now):
        return now
    return pod.deleted_at + ENDING_PATIENCE + timedelta(seconds=1)


def _survey(workload: Workload | None) -> str:
    """Return the label selector of the nodes that a pod may go to."""
    labels = workload.node_selector if workload else {}
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def _waits_for_nodes(pod: Pod) -> bool:
    return not pod.is_bound and depends_on_nodes(pod)


def _is_vague(pod: Pod, finding: Finding) -> bool:
    if _waits_for_nodes(pod):
        return True
    if finding.reason is not Reason.CRASH_LOOPING:
        return finding.reason in _VAGUE
    runs = (run for c in pod.containers for run in (c.ended, c.ended_before) if run)
    return any(run.exit_code in _MAY_BE_A_PROBE for run in runs)


def _asked_at(pod: Pod, created: datetime, finding: Finding) -> datetime:
    """Return from when on a pod's trouble is worth a question."""
    if finding.reason is not Reason.PODS_NOT_READY:
        return created
    since = [c.running_since for c in pod.containers if c.running_since and not c.is_ready]
    if not since:
        return created + PATIENCE
    starting = [c for c in pod.containers if c.is_running and not c.has_started]
    return max(since) + (STARTING_PATIENCE if starting else PATIENCE)


def _symptom(pod: Pod, finding: Finding) -> str:
    containers = (f"{c.restarts}{c.is_running}{c.has_started}" for c in pod.containers)
    return " ".join((pod.name, finding.reason, *containers))


def _has_run(pod: Pod) -> bool:
    return any(c.is_running or c.ended or c.ended_before for c in pod.containers)
