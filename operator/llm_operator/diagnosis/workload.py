"""A revision's Deployment as a diagnosis reads it, and why it gets no pods."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from llm_operator import kinds
from llm_operator.api.reasons import Reason
from llm_operator.diagnosis.finding import Finding, found
from llm_operator.diagnosis.pod import Condition, read_conditions
from llm_operator.diagnosis.reading import Object, entries, part, strings, text, whole

_FORBIDDEN: Final = re.compile(r"^.*?[\w.]+ \"[^\"]*\" is forbidden: ")
"""Names the refused object, whose name is random and would be news at every attempt."""

_USED: Final = re.compile(r", used: .*?(?=, limited: |$)")
"""How much others use changes without news."""

_REFUSALS: Final = (
    ("violates podsecurity", Reason.POD_SECURITY_VIOLATED),
    ("admission webhook", Reason.ADMISSION_DENIED),
    ("failed calling webhook", Reason.ADMISSION_DENIED),
    ("validatingadmissionpolicy", Reason.ADMISSION_DENIED),
    ("error looking up service account", Reason.SERVICE_ACCOUNT_MISSING),
    ("no priorityclass with name", Reason.PRIORITY_CLASS_MISSING),
    ("runtimeclass", Reason.RUNTIME_CLASS_MISSING),
    ("exceeded quota", Reason.QUOTA_EXCEEDED),
    ("failed quota", Reason.QUOTA_EXCEEDED),
    ("insufficient quota", Reason.QUOTA_EXCEEDED),
    ("status unknown for quota", Reason.QUOTA_EXCEEDED),
)
_LIMIT_RANGE: Final = re.compile(r"(?:minimum|maximum) \S+ usage per |limit to request ratio per ")
_REFUSED_CONDITIONS: Final = (
    ("ReplicaFailure", "True", ""),
    ("Progressing", "False", "ReplicaSetCreateError"),
)


@dataclass(frozen=True, slots=True)
class Workload:
    """The Deployment of one revision."""

    revision: str
    replicas: int
    claims: tuple[str, ...]
    """Names of the PersistentVolumeClaims that its pods use."""
    scheduler: str
    """Name of the scheduler that its pods are for; empty for the cluster's own."""
    node_selector: Mapping[str, str]
    """Labels that a node must have for its pods."""
    conditions: Mapping[str, Condition]


def read_workload(deployment: Object) -> Workload:
    """Read a Deployment of any shape."""
    spec = part(deployment, "spec")
    pod = part(spec, "template", "spec")
    claims = (part(volume, "persistentVolumeClaim") for volume in entries(pod, "volumes"))
    replicas = whole(spec, "replicas")
    return Workload(
        revision=text(part(deployment, "metadata", "labels"), kinds.REVISION_LABEL),
        replicas=1 if replicas is None else replicas,
        claims=tuple(name for claim in claims if (name := text(claim, "claimName"))),
        scheduler=text(pod, "schedulerName"),
        node_selector=strings(pod, "nodeSelector"),
        conditions=read_conditions(deployment),
    )


def refusal(workload: Workload) -> Finding | None:
    """Say why pods, or what makes them, are refused; None if they are not."""
    for type_, status, reason in _REFUSED_CONDITIONS:
        condition = workload.conditions.get(type_)
        if condition and condition.status == status and reason in ("", condition.reason):
            message = condition.message
            return found(refusal_reason(message), _USED.sub("", _FORBIDDEN.sub("", message)))
    return None


def refusal_reason(message: str) -> Reason:
    """Name the admission plugin by the words of its refusal."""
    lowered = message.lower()
    if _LIMIT_RANGE.search(lowered):
        return Reason.LIMIT_RANGE_VIOLATED
    named = (reason for words, reason in _REFUSALS if words in lowered)
    return next(named, Reason.ADMISSION_DENIED if "denied" in lowered else Reason.UNKNOWN)
