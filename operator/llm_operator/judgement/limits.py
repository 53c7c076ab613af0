"""The limits that a new revision is judged by, and the question that is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from llm_operator.api.analysis import Analysis
from llm_operator.api.quantity import parse_quantity

PATIENCE_INTERVALS: Final = 3
"""Rounds that may miss something before it counts as missing (rollout.md, "Judgement")."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What ``spec.rollout.analysis`` allows."""

    interval: timedelta
    min_requests: int
    max_error_percent: int
    max_first_token_percent: int
    """Of the stable revision's 95th percentile."""
    max_inter_token_percent: int
    guards: Mapping[str, float] = field(default_factory=dict)
    """The highest value that is allowed, by the guard's name."""

    @property
    def patience(self) -> timedelta:
        """How long something may go unread before it counts as missing."""
        return self.interval * PATIENCE_INTERVALS


def limits_of(analysis: Analysis) -> Limits:
    """Return the limits that a spec asks for."""
    return Limits(
        interval=timedelta(seconds=analysis.interval_seconds),
        min_requests=analysis.min_requests,
        max_error_percent=analysis.max_error_percent,
        max_first_token_percent=analysis.max_time_to_first_token_percent,
        max_inter_token_percent=analysis.max_inter_token_percent,
        guards={guard.name: float(parse_quantity(guard.maximum)) for guard in analysis.guards},
    )


@dataclass(frozen=True, slots=True)
class Case:
    """Who is judged against whom, and how."""

    canary: str
    stable: str | None
    relative: bool
    """Whether the limits relative to stable apply: both sides have ready pods and traffic."""
    min_time: timedelta
    """How long there must have been no request at all before that speaks for the canary."""

    @property
    def revisions(self) -> tuple[str, ...]:
        """The revisions that are read, the canary first."""
        return (self.canary,) if self.stable in (None, self.canary) else (self.canary, self.stable)
