"""Conditions: upsert by type, and move ``lastTransitionTime`` only when the status changes.

Rule of the Kubernetes API conventions, "Typical status properties".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from llm_operator.api.reasons import ConditionType, Reason
from llm_operator.api.status import shorten


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one condition says now."""

    type: ConditionType
    holds: bool
    reason: Reason
    message: str

    @classmethod
    def true(cls, type_: ConditionType, reason: Reason, message: str) -> Self:
        """Say that the condition holds."""
        return cls(type_, holds=True, reason=reason, message=message)

    @classmethod
    def false(cls, type_: ConditionType, reason: Reason, message: str) -> Self:
        """Say that the condition does not hold."""
        return cls(type_, holds=False, reason=reason, message=message)


def merge_conditions(
    previous: Iterable[Mapping[str, Any]],
    verdicts: Iterable[Verdict],
    *,
    generation: int,
    now: datetime,
) -> list[dict[str, Any]]:
    """Return all conditions in the order of ``verdicts``, as JSON."""
    known = {condition.get("type"): condition for condition in previous}
    return [
        _condition(known.get(verdict.type.value, {}), verdict, generation, now)
        for verdict in verdicts
    ]


def _condition(
    before: Mapping[str, Any], verdict: Verdict, generation: int, now: datetime
) -> dict[str, Any]:
    status = "True" if verdict.holds else "False"
    unchanged = before.get("status") == status and "lastTransitionTime" in before
    return {
        "type": verdict.type.value,
        "status": status,
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if unchanged else format_time(now),
        "reason": verdict.reason.value,
        "message": shorten(verdict.message),
    }


def changed_verdicts(
    previous: Iterable[Mapping[str, Any]], verdicts: Iterable[Verdict]
) -> tuple[Verdict, ...]:
    """Return the verdicts whose status or reason is news: what becomes an event.

    A condition that was never set and does not hold is no news, except for Ready.
    """
    known = {c.get("type"): (c.get("status"), c.get("reason")) for c in previous}
    return tuple(
        verdict for verdict in verdicts if _is_news(known.get(verdict.type.value), verdict)
    )


def _is_news(before: tuple[Any, Any] | None, verdict: Verdict) -> bool:
    if before is None:
        return verdict.holds or verdict.type is ConditionType.READY
    return before != ("True" if verdict.holds else "False", verdict.reason.value)


def format_time(moment: datetime) -> str:
    """Return RFC 3339 in UTC with whole seconds, as ``metav1.Time`` has it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: object) -> datetime | None:
    """Return the moment of an RFC 3339 text, or None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
