"""Why no node takes a pod: reads the scheduler's message and what is known of nodes and claims.

The scheduler tries its filters in a fixed order and reports of each node the first that fails. So
the node that got furthest is the nearest miss, and what it lacks is what a person should provide:
the rules below stand in the opposite order of the filters.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.diagnosis.evidence import Evidence, Node
from llm_operator.diagnosis.finding import Finding, found
from llm_operator.diagnosis.pod import Pod
from llm_operator.diagnosis.volumes import explain_claims, pending_claims
from llm_operator.diagnosis.workload import Workload

SCHEDULER_PATIENCE: Final = timedelta(seconds=10)
"""A scheduler that works has looked at a pod long before."""

TAINTS_NAMED: Final = 5

_ACCELERATOR: Final = re.compile(r"insufficient [a-z0-9.-]+/")
_COUNT: Final = re.compile(r"^\d+ ")
_NEXT_REASON: Final = re.compile(r",\s(?=\d+ )")
_AFTERTHOUGHT: Final = re.compile(r"(?:,|\.)?\s(?:no new claims to deallocate, )?preemption: .*$")
_HEAD: Final = re.compile(r"^\d+/\d+ nodes are available: ?")
_TAINT_IN_MESSAGE: Final = re.compile(r"\{(?P<key>[^:}]+): ?(?P<value>[^}]*)\}")

_RULES: Final = (
    ('" not found', Reason.VOLUME_CLAIM_MISSING),
    ("readwriteoncepod", Reason.ACCESS_MODE_REFUSED),
    ("persistentvolumeclaim", Reason.VOLUME_NOT_BOUND),
    ("topology spread", Reason.UNSCHEDULABLE),
    ("pod affinity", Reason.UNSCHEDULABLE),
    ("anti-affinity", Reason.UNSCHEDULABLE),
    ("persistent volumes to bind", Reason.VOLUME_NOT_BOUND),
    ("persistentvolume", Reason.VOLUME_NOT_BOUND),
    ("pvc(s)", Reason.VOLUME_NOT_BOUND),
    ("volume node affinity", Reason.VOLUME_NOT_BOUND),
    ("free storage", Reason.VOLUME_NOT_BOUND),
    ("volume zone", Reason.VOLUME_NOT_BOUND),
    ("insufficient memory", Reason.INSUFFICIENT_MEMORY),
    ("insufficient cpu", Reason.INSUFFICIENT_CPU),
    ("insufficient ", Reason.UNSCHEDULABLE),
    ("too many pods", Reason.UNSCHEDULABLE),
    ("free ports", Reason.UNSCHEDULABLE),
    ("affinity/selector", Reason.NO_MATCHING_NODE),
    ("requested node name", Reason.NO_MATCHING_NODE),
    ("scheduler-enforced node affinity", Reason.NO_MATCHING_NODE),
    ("taint", Reason.TAINT_NOT_TOLERATED),
    ("were unschedulable", Reason.NODE_UNAVAILABLE),
    ("unknown conditions", Reason.NODE_UNAVAILABLE),
)
_LAST: Final = (len(_RULES), Reason.UNSCHEDULABLE)

_KEPT: Final = frozenset({Reason.TAINT_NOT_TOLERATED, Reason.NODE_UNAVAILABLE})
_ABOUT_CLAIMS: Final = frozenset({Reason.VOLUME_NOT_BOUND, Reason.VOLUME_CLAIM_MISSING})

_CONDITION_TAINTS: Final = "node.kubernetes.io/"
_PRESSURE: Final = "-pressure"


def explain_unbound(
    pod: Pod, workload: Workload | None, evidence: Evidence, now: datetime
) -> Finding:
    """Say why a pod that has no node has none."""
    names = workload.claims if workload else ()
    claims = explain_claims(names, evidence)
    scheduled = pod.condition("PodScheduled")
    if scheduled.status == "False":
        selector = workload.node_selector if workload else {}
        fitting = [n for n in evidence.nodes.values() if selector.items() <= n.labels.items()]
        blocked = _explain_message(scheduled.message, fitting)
        if blocked.reason not in _ABOUT_CLAIMS:
            return blocked
        return claims or _naming(pending_claims(names, evidence), blocked)
    if claims:
        return claims
    if pod.created_at is None or now - pod.created_at < SCHEDULER_PATIENCE:
        return found(Reason.PODS_NOT_READY, "The pod is starting")
    name = workload.scheduler if workload else ""
    which = f'Scheduler "{name}"' if name else "The scheduler"
    return found(Reason.SCHEDULER_MISSING, f"{which} has not looked at the pod")


def _naming(claims: tuple[str, ...], blocked: Finding) -> Finding:
    """Name the claims, which the scheduler does not."""
    named = ", ".join(f'"{name}"' for name in claims)
    return replace(blocked, message=f"{blocked.message}: {named}") if claims else blocked


def depends_on_nodes(pod: Pod) -> bool:
    """Whether only the nodes can tell why they do not take a pod: the scheduler names no taint.

    Nor does it say whether the nodes that are kept are just those that the pod selects.
    """
    judged = _judged(pod.condition("PodScheduled").message)
    kept = any(reason in _KEPT for _, reason, _ in judged)
    return kept and judged[0][1] in (Reason.NO_MATCHING_NODE, Reason.TAINT_NOT_TOLERATED)


def _explain_message(message: str, fitting: Sequence[Node]) -> Finding:
    """Read the scheduler's message; ``fitting`` are the known nodes that the pod selects."""
    judged = _judged(message)
    if not judged:
        return found(Reason.UNSCHEDULABLE, "No node takes the pod")
    reasons = [reason for _, reason, _ in judged]
    told = "; ".join(text for _, _, text in judged)
    if _HEAD.match(message):
        told = f"No node takes the pod: {told}"
    selected_but_kept = reasons[0] is Reason.NO_MATCHING_NODE and fitting and _KEPT & set(reasons)
    if selected_but_kept or reasons[0] is Reason.TAINT_NOT_TOLERATED:
        return _explain_taints(told, fitting)
    return found(reasons[0], told)


def _judged(message: str) -> list[tuple[int, Reason, str]]:
    """Return the reasons of a message, what the nearest node lacks first."""
    body = _HEAD.sub("", _AFTERTHOUGHT.sub("", message.strip()))
    return sorted({(*_judge(text), text) for text in _reasons(body)})


def _reasons(body: str) -> list[str]:
    """Return the reasons without how many nodes have them: nodes come and go."""
    parts = (_COUNT.sub("", entry).strip(" .") for entry in _NEXT_REASON.split(body))
    return [entry for entry in parts if entry]


def _judge(text: str) -> tuple[int, Reason]:
    lowered = text.lower()
    if _ACCELERATOR.search(lowered):
        position = next(n for n, (_, r) in enumerate(_RULES) if r is Reason.INSUFFICIENT_MEMORY)
        return position - 1, Reason.INSUFFICIENT_ACCELERATOR
    rules = enumerate(_RULES)
    return next(((n, reason) for n, (words, reason) in rules if words in lowered), _LAST)


def _explain_taints(told: str, nodes: Iterable[Node]) -> Finding:
    """Tell taints that someone put there from those by which a node says that it is unwell."""
    by_node = [node.taints for node in nodes if node.taints]
    named = [f"{m['key']}={m['value']}" for m in _TAINT_IN_MESSAGE.finditer(told)]
    by_node += [(taint,) for taint in named]
    taints = sorted({taint for some in by_node for taint in some})
    listed = "" if named or not taints else f": {', '.join(taints[:TAINTS_NAMED])}"
    unwell = bool(by_node) and all(
        any(taint.startswith(_CONDITION_TAINTS) for taint in some) for some in by_node
    )
    reason = Reason.TAINT_NOT_TOLERATED
    if unwell:
        pressed = any(_PRESSURE in taint for taint in taints)
        reason = Reason.NODE_PRESSURE if pressed else Reason.NODE_UNAVAILABLE
    return found(reason, told + listed)
