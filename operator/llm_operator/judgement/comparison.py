"""The limits relative to the stable revision, over the same minutes.

Compared are 95th percentiles, once both sides have had enough requests. A breach counts when more
of the canary's requests lie beyond the limit than chance would put there: of 50 identical requests
the 95th percentile is the third slowest, and two such figures differ by half every now and then.
Until then it is neither kept nor broken. The limits count as
measured, and kept, where they cannot be broken: when they do not apply, and when the stable
revision itself fails more than is allowed, for then it sets no example.
"""

import math
from dataclasses import dataclass
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.judgement.counters import Bounds, Buckets, Counters, percentile, share_above
from llm_operator.judgement.difference import Account, Difference
from llm_operator.judgement.limits import Case, Limits

_TAIL: Final = 0.05
"""The share beyond a 95th percentile."""

_CERTAINTY: Final = 2.33
"""Standard deviations of that share which chance reaches once in a hundred."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The 95th percentiles of both sides, in seconds, and the limit."""

    reason: Reason
    canary: float
    stable: float
    limit_percent: int
    share_beyond: float
    """Of the canary's requests, beyond the limit."""
    requests: int
    """How many independent ones there were; tokens of one answer are alike."""

    @property
    def percent(self) -> float:
        """The canary's in percent of the stable revision's."""
        return 100 * self.canary / self.stable

    @property
    def is_breach(self) -> bool:
        """Whether the canary's is above the limit."""
        return self.percent > self.limit_percent

    @property
    def is_certain(self) -> bool:
        """Whether chance hardly puts so many requests beyond the limit."""
        deviation = math.sqrt(_TAIL * (1 - _TAIL) / self.requests)
        return self.share_beyond > _TAIL + _CERTAINTY * deviation


@dataclass(frozen=True, slots=True)
class Compared:
    """What the comparison came to."""

    measured: bool
    pairs: tuple[Pair, ...] = ()

    @property
    def breach(self) -> Pair | None:
        """The first limit that is certainly broken."""
        return next((pair for pair in self.pairs if pair.is_breach and pair.is_certain), None)

    @property
    def doubt(self) -> Pair | None:
        """The first limit that seems broken, by so few requests that it may be chance."""
        return next((pair for pair in self.pairs if pair.is_breach and not pair.is_certain), None)


def compare(difference: Difference, case: Case, limits: Limits) -> Compared:
    """Compare the two sides of a window, as far as there is enough of both."""
    stable = difference.stable.counters
    if not case.relative or (stable.judged >= limits.min_requests and fails(stable, limits)):
        return Compared(measured=True)
    if min(difference.canary.first_tokens, difference.stable.first_tokens) < limits.min_requests:
        return Compared(measured=False)
    requests = difference.canary.first_tokens
    first_token = _pair(
        Reason.FIRST_TOKEN_TOO_SLOW,
        (_first_tokens(difference.canary), _first_tokens(difference.stable)),
        limits.max_first_token_percent,
        requests,
    )
    inter_token = None
    if min(map(_gaps, (difference.canary.counters, stable))) >= limits.min_requests:
        inter_token = _pair(
            Reason.INTER_TOKEN_TOO_SLOW,
            (_inter_tokens(difference.canary), _inter_tokens(difference.stable)),
            limits.max_inter_token_percent,
            requests,
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


def _first_tokens(account: Account) -> tuple[Buckets, Bounds]:
    return account.counters.first_token, account.shape.first_token


def _inter_tokens(account: Account) -> tuple[Buckets, Bounds]:
    return account.counters.inter_token, account.shape.inter_token


def _pair(
    reason: Reason,
    sides: tuple[tuple[Buckets, Bounds], tuple[Buckets, Bounds]],
    limit_percent: int,
    requests: int,
) -> Pair | None:
    canary, stable = (percentile(*side, 95) for side in sides)
    if not canary or not stable:
        return None
    beyond = share_above(*sides[0], stable * limit_percent / 100)
    return Pair(reason, canary, stable, limit_percent, beyond, requests)
