"""Root causes: from what the cluster reports to one named reason per pod. Pure.

``inquire`` says what is worth reading beyond the watched objects, ``llm_operator.evidence`` reads
it, ``diagnose`` walks from Deployments over pods, containers, events, claims and nodes to findings.
The last log lines come in the container's termination message: the kubelet puts them there, so the
operator needs no permission to read logs.
"""

from llm_operator.diagnosis.containers import waits_for_others
from llm_operator.diagnosis.evidence import NOTHING, Evidence
from llm_operator.diagnosis.finding import Finding, cause_by_revision, summarise, worst
from llm_operator.diagnosis.inquiry import Inquiry, inquire
from llm_operator.diagnosis.pod import is_finished, is_ready, is_terminating
from llm_operator.diagnosis.walk import diagnose
from llm_operator.diagnosis.workload import refusal_reason

__all__ = [
    "NOTHING",
    "Evidence",
    "Finding",
    "Inquiry",
    "cause_by_revision",
    "diagnose",
    "inquire",
    "is_finished",
    "is_ready",
    "is_terminating",
    "refusal_reason",
    "summarise",
    "waits_for_others",
    "worst",
]
