"""Resource → Deployment → pods → containers → events → claims → nodes: to one reason per pod.

Pure, and total: no status or event of any shape makes it raise. Unknown stays unknown: a pod that
merely takes long has ``PodsNotReady``, never a guessed cause. Messages leave out what changes
without news, so that a state that goes on failing in the same way is written once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.diagnosis.containers import explain_container
from llm_operator.diagnosis.ended import explain_ended
from llm_operator.diagnosis.evidence import Evidence, Node
from llm_operator.diagnosis.finding import Finding, found
from llm_operator.diagnosis.pod import Container, Pod, Role, read_pod
from llm_operator.diagnosis.probes import explain_running
from llm_operator.diagnosis.reading import Object
from llm_operator.diagnosis.scheduling import explain_unbound
from llm_operator.diagnosis.volumes import explain_claims, explain_creating
from llm_operator.diagnosis.wording import steady
from llm_operator.diagnosis.workload import Workload, read_workload, refusal

ENDING_PATIENCE: Final = timedelta(seconds=20)
"""How long after the end of its grace a pod's object may stay."""

_BEING_MADE: Final = frozenset({"ContainerCreating", "PodInitializing", ""})


@dataclass(frozen=True, slots=True)
class _Case:
    """What a diagnosis looks at."""

    workloads: Mapping[str, Workload]
    """By revision."""
    evidence: Evidence
    now: datetime


def diagnose(
    pods: Iterable[Object],
    deployments: Iterable[Object],
    evidence: Evidence,
    now: datetime,
) -> tuple[Finding, ...]:
    """Return what keeps pods from being ready, in an order that does not depend on the input's.

    One finding for each pod that should be ready and is not, for each that should have ended, for
    each refusal of pods, and for each revision whose pods end for good.
    """
    workloads = {w.revision: w for w in map(read_workload, deployments)}
    case = _Case(workloads, evidence, now)
    views = sorted(map(read_pod, pods), key=lambda pod: pod.name)
    going = [pod for pod in views if pod.is_terminating]
    staying = [pod for pod in views if not pod.is_terminating]
    findings = (
        *_refusals(workloads),
        *_ended(staying, case),
        *(_unready(pod, case) for pod in staying if not pod.is_ready and not pod.is_finished),
        *(_stuck(pod, case) for pod in going if is_overdue(pod, now)),
    )
    return tuple(replace(f, message=steady(f.message)) for f in findings)


def explain_pod(pod: Pod, workload: Workload | None, evidence: Evidence, now: datetime) -> Finding:
    """Return why one pod that should be ready is not."""
    if not pod.is_bound:
        return explain_unbound(pod, workload, evidence, now)
    unavailable = explain_node(evidence.nodes.get(pod.node))
    if unavailable is not None:
        return unavailable
    events = evidence.events_of(pod.uid)
    explained = (explain_container(pod, container, events) for container in pod.containers)
    cause = next((finding for finding in explained if finding is not None), None)
    if cause is not None:
        return cause
    if all(_is_being_made(container) for container in _current(pod)):
        return _explain_being_made(pod, workload, evidence)
    running = (explain_running(c, events, now) for c in pod.containers if _is_awaited(c))
    return next((finding for finding in running if finding is not None), _waiting(pod))


def explain_node(node: Node | None) -> Finding | None:
    """Say what is wrong with the node of a pod; None if nothing is, or it was not looked at."""
    if node is None or node.ready == "True":
        return None
    if not node.exists:
        return found(Reason.NODE_UNAVAILABLE, f'Node "{node.name}" is gone')
    why = f": {node.ready_reason}" if node.ready_reason else ""
    return found(Reason.NODE_UNAVAILABLE, f'Node "{node.name}" is not ready{why}')


def is_overdue(pod: Pod, now: datetime) -> bool:
    """Whether a pod that ends should be gone."""
    return pod.deleted_at is not None and now - pod.deleted_at > ENDING_PATIENCE


def _refusals(workloads: Mapping[str, Workload]) -> list[Finding]:
    refused = ((revision, refusal(workload)) for revision, workload in sorted(workloads.items()))
    return [replace(finding, revision=revision) for revision, finding in refused if finding]


def _ended(pods: Iterable[Pod], case: _Case) -> list[Finding]:
    """Return a finding for each revision that lacks pods because some ended for good just now.

    It names no pod: each is replaced by one of another name, which would be news every time.
    """
    by_revision: dict[str, list[Pod]] = {}
    for pod in pods:
        by_revision.setdefault(pod.revision, []).append(pod)
    findings = []
    for revision, members in by_revision.items():
        workload = case.workloads.get(revision)
        wanted = workload.replicas if workload else 0
        lost = [pod for pod in members if pod.is_finished]
        if lost and sum(pod.is_ready for pod in members) < wanted:
            finding = explain_ended(lost, case.now)
            findings += [replace(finding, revision=revision)] if finding else []
    return findings


def _unready(pod: Pod, case: _Case) -> Finding:
    finding = explain_pod(pod, case.workloads.get(pod.revision), case.evidence, case.now)
    return replace(finding, pod=pod.name, revision=pod.revision)


def _stuck(pod: Pod, case: _Case) -> Finding:
    node = explain_node(case.evidence.nodes.get(pod.node))
    if node is not None:
        why = f": {node.message}"
    elif pod.finalizers:
        why = f": it has the finalizer {', '.join(pod.finalizers)}"
    else:
        why = f' on node "{pod.node}"' if pod.node else ""
    message = f"The pod should have ended by now{why}"
    return Finding(Reason.STUCK_TERMINATING, message, pod.name, pod.revision)


def _current(pod: Pod) -> tuple[Container, ...]:
    """Return the containers that matter now: the init ones until the first of the others runs."""
    mains = tuple(c for c in pod.containers if c.role is Role.MAIN)
    inits = tuple(c for c in pod.containers if c.role is Role.INIT)
    undone = tuple(c for c in inits if c.ended is None and not c.has_started)
    return undone[:1] or mains


def _is_being_made(container: Container) -> bool:
    return not container.is_running and container.waiting_reason in _BEING_MADE


def _explain_being_made(pod: Pod, workload: Workload | None, evidence: Evidence) -> Finding:
    if pod.condition("PodReadyToStartContainers").status == "True":
        return _waiting(pod)  # volumes and sandbox are there: the image is being pulled
    claims = explain_claims(workload.claims if workload else (), evidence)
    return claims or explain_creating(evidence.events_of(pod.uid)) or _waiting(pod)


def _is_awaited(container: Container) -> bool:
    return container.role is Role.MAIN and container.is_running and not container.is_ready


def _waiting(pod: Pod) -> Finding:
    ready = pod.condition("Ready")
    if ready.reason == "ReadinessGatesNotReady":
        return found(Reason.PODS_NOT_READY, f"The pod waits: {ready.message}")
    return found(Reason.PODS_NOT_READY, "The pod is starting")
