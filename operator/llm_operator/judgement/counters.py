"""Counters of servers: sums over pods, differences over time, percentiles of histograms.

A histogram is a vector of counts, one per bucket and not cumulative; the last bucket has no upper
bound. An empty vector is a histogram that was not read, and zero in every sum.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Self

Buckets = tuple[int, ...]
Bounds = tuple[float, ...]
"""Finite upper bounds, rising; one fewer than the buckets."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What one process, or several together, counted since they began."""

    received: int = 0
    """Requests for a generation that reached the server."""
    refused: int = 0
    """Of these, the ones that were wrong: the client's fault."""
    completed: int = 0
    """Answers that were completed."""
    failed: int = 0
    """Requests that ended by the server's fault: 5xx, or an error inside a stream."""
    first_token: Buckets = ()
    inter_token: Buckets = ()

    @property
    def judged(self) -> int:
        """Requests that say something about the server; not those that a client broke off."""
        return self.completed + self.failed

    @property
    def demanded(self) -> int:
        """Requests that wanted an answer, whether they have got one yet or not."""
        return max(0, self.received - self.refused)

    def plus(self, other: Self) -> Self:
        """Return the sum. Histograms of different lengths have none: it is then not read."""
        return type(self)(
            self.received + other.received,
            self.refused + other.refused,
            self.completed + other.completed,
            self.failed + other.failed,
            _sum(self.first_token, other.first_token),
            _sum(self.inter_token, other.inter_token),
        )

    def minus(self, earlier: Self) -> Self:
        """Return what was counted since ``earlier``; no figure is below 0."""
        return type(self)(
            max(0, self.received - earlier.received),
            max(0, self.refused - earlier.refused),
            max(0, self.completed - earlier.completed),
            max(0, self.failed - earlier.failed),
            _difference(self.first_token, earlier.first_token),
            _difference(self.inter_token, earlier.inter_token),
        )


def total(counters: Iterable[Counters]) -> Counters:
    """Return the sum of all."""
    whole = Counters()
    for part in counters:
        whole = whole.plus(part)
    return whole


def percentile(buckets: Buckets, bounds: Bounds, percent: int) -> float | None:
    """Return a percentile in the unit of the bounds, by linear interpolation within its bucket.

    In the bucket without an upper bound it is the highest bound, as ``histogram_quantile`` of
    Prometheus has it. None without a count.

    >>> percentile((0, 10, 10, 0), (1.0, 2.0, 4.0), 75)
    3.0
    """
    if not sum(buckets) or len(buckets) != len(bounds) + 1:
        return None
    rank = sum(buckets) * percent / 100
    reached = list(accumulate(buckets))
    index = next(i for i, count in enumerate(reached) if count >= rank and buckets[i])
    if index == len(bounds):
        return bounds[-1]
    lower = bounds[index - 1] if index else 0.0
    share = (rank - (reached[index] - buckets[index])) / buckets[index]
    return lower + (bounds[index] - lower) * share


def share_above(buckets: Buckets, bounds: Bounds, value: float) -> float:
    """Return the share of what was counted that lies above ``value``, interpolated as well.

    >>> share_above((0, 10, 10, 0), (1.0, 2.0, 4.0), 3.0)
    0.25
    """
    index = bisect_left(bounds, value)
    above = float(sum(buckets[index + 1 :]))
    if index < len(bounds):
        lower = bounds[index - 1] if index else 0.0
        above += buckets[index] * (bounds[index] - value) / (bounds[index] - lower)
    else:
        above += buckets[index]
    return above / sum(buckets)


def _sum(one: Buckets, other: Buckets) -> Buckets:
    if not one or not other:
        return one or other
    return tuple(map(sum, zip(one, other, strict=True))) if len(one) == len(other) else ()


def _difference(later: Buckets, earlier: Buckets) -> Buckets:
    if not earlier or not later:
        return later
    if len(later) != len(earlier):
        return ()
    return tuple(max(0, a - b) for a, b in zip(later, earlier, strict=True))
