"""What a diagnosis comes to: findings, which of them to read first, and their summary."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from llm_operator.api.explanations.explanation import Finality
from llm_operator.api.reasons import Reason
from llm_operator.api.status import PodSummary

SUMMARY_LIMIT: Final = 10

_BESIDE_THE_POINT: Final = frozenset({Reason.STUCK_TERMINATING})
"""Causes that hold something back without being why another pod is not ready."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One pod, or a Deployment that gets no pods, and what keeps it from being ready."""

    reason: Reason
    message: str
    pod: str = ""
    revision: str = ""
    is_final: bool = False
    """Whether only a change of the resource cures it; else it may pass."""

    @property
    def is_known(self) -> bool:
        """Whether it names a cause; a pod that is merely not ready yet has none."""
        return self.reason is not Reason.PODS_NOT_READY


def found(reason: Reason, message: str, *, repeats: bool = False) -> Finding:
    """Return a finding that is final if its reason is: at once, or because it ``repeats``."""
    finality = reason.finality
    is_final = finality is Finality.AT_ONCE or (finality is Finality.REPEATED and repeats)
    return Finding(reason, message, is_final=is_final)


def worst(findings: Iterable[Finding]) -> Finding | None:
    """Return the finding that a person should read first: a known cause before mere waiting."""
    return min(findings, key=_urgency, default=None)


def _urgency(finding: Finding) -> tuple[bool, bool, bool, bool, str, str]:
    return (
        not finding.is_known,
        finding.reason is Reason.UNKNOWN,
        finding.reason in _BESIDE_THE_POINT,
        not finding.is_final,
        finding.pod,
        finding.reason,
    )


def cause_by_revision(findings: Iterable[Finding]) -> Mapping[str, Finding]:
    """Return why pods of a revision do not get ready; revisions without a known cause are left out.

    A pod that ends slowly is no such cause, and an unknown trouble is none either.
    """
    known: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.is_known and finding.reason not in (Reason.UNKNOWN, *_BESIDE_THE_POINT):
            known.setdefault(finding.revision, []).append(finding)
    return {revision: min(found, key=_urgency) for revision, found in known.items()}


def summarise(findings: Iterable[Finding]) -> tuple[PodSummary, ...]:
    """Group findings by reason, most frequent first, at most ``SUMMARY_LIMIT`` groups."""
    findings = list(findings)
    counts = Counter(finding.reason for finding in findings)
    first = {finding.reason: finding for finding in reversed(findings)}
    groups = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        PodSummary(
            reason=reason,
            count=count,
            message=first[reason].message,
            pod=first[reason].pod or None,
        )
        for reason, count in groups[:SUMMARY_LIMIT]
    )
