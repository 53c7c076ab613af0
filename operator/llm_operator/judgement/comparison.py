"""The limits relative to the stable revision, over the same minutes.

Compared are 95th percentiles, once both sides have had enough requests. The limits count as
measured, and kept, where they cannot be broken: when they do not apply, and when the stable
revision itself fails more than is allowed, for then it sets no example.
"""

from dataclasses import dataclass

from llm_operator.api.reasons import Reason
from llm_operator.judgement.counters import Counters
from llm_operator.judgement.difference import Difference
from llm_operator.judgement.limits import Case, Limits


@dataclass(frozen=True, slots=True)
class Pair:
    """The 95th percentiles of both sides, in seconds, and the limit."""

    reason: Reason
    canary: float
    stable: float
    limit_percent: int

    @property
    def percent(self) -> float:
        """The canary's in percent of the stable revision's."""
        return 100 * self.canary / self.stable

    @property
    def is_breach(self) -> bool:
        """Whether the canary's is above the limit."""
        return self.percent > self.limit_percent


@dataclass(frozen=True, slots=True)
class Compared:
    """What the comparison came to."""

    measured: bool
    pairs: tuple[Pair, ...] = ()

    @property
    def breach(self) -> Pair | None:
        """The first limit that is broken."""
        return next((pair for pair in self.pairs if pair.is_breach), None)


def compare(difference: Difference, case: Case, limits: Limits) -> Compared:
    """Compare the two sides of a window, as far as there is enough of both."""
    stable = difference.stable.counters
    if not case.relative or (stable.judged >= limits.min_requests and fails(stable, limits)):
        return Compared(measured=True)
    if min(difference.canary.first_tokens, difference.stable.first_tokens) < limits.min_requests:
        return Compared(measured=False)
    first_token = _pair(
        Reason.FIRST_TOKEN_TOO_SLOW,
        (difference.canary.first_token_p95(), difference.stable.first_token_p95()),
        limits.max_first_token_percent,
    )
    inter_token = None
    if min(map(_gaps, (difference.canary.counters, stable))) >= limits.min_requests:
        inter_token = _pair(
            Reason.INTER_TOKEN_TOO_SLOW,
            (difference.canary.inter_token_p95(), difference.stable.inter_token_p95()),
            limits.max_inter_token_percent,
        )
    return Compared(
        measured=True, pairs=tuple(pair for pair in (first_token, inter_token) if pair is not None)
    )


def fails(counters: Counters, limits: Limits) -> bool:
    """Whether more requests failed than is allowed."""
    return 100 * counters.failed > limits.max_error_percent * counters.judged


def _gaps(counters: Counters) -> int:
    """Return how many times between two tokens were measured; none in answers of one token."""
    return sum(counters.inter_token)


def _pair(
    reason: Reason, percentiles: tuple[float | None, float | None], limit_percent: int
) -> Pair | None:
    canary, stable = percentiles
    return Pair(reason, canary, stable, limit_percent) if canary and stable else None
