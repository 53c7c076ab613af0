"""How often the judge condemns by latency: ``make bench-judge``; needs no cluster.

Canaries of a known slowness are simulated, and the operator's own comparison is asked after every
ten requests of theirs, as it would be round by round. What is counted is the share of canaries that
are condemned in some round of a step: of one that is as fast as stable that is a false alarm, of a
slow one it is what the judge is for. Two readings of the limit are counted in the same runs:
``bare`` compares the two 95th percentiles, ``judge`` also asks whether more requests lie beyond the
limit than chance explains, and is what the operator does. The last line is JSON.
"""

import json
import math
import random
import sys
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from llm_operator.api.analysis import Analysis
from llm_operator.judgement.comparison import compare
from llm_operator.judgement.counters import Counters
from llm_operator.judgement.difference import Account, Difference
from llm_operator.judgement.evidence import Shape
from llm_operator.judgement.limits import Case, limits_of
from llm_server.telemetry import FIRST_TOKEN_BUCKETS

SLOWNESS: Final = (1.0, 1.2, 2.0, 3.0)
"""Of the canary, in times of stable; the limit is 1.5."""
MEDIANS_SECONDS: Final = (0.003, 0.05, 0.2, 1.2)
"""Time to the first token: of the timing model, a small model, a large one, a busy one."""
SPREADS: Final = (0.5, 0.8)
"""Standard deviations of its logarithm: the p95 is 2.3 and 3.7 times the median."""
STABLE_PER_CANARY: Final = (9, 1)
"""Requests of stable for one of the canary: steps of 10 % and of 50 %."""
ROUND_REQUESTS: Final = 10
"""Requests of the canary from one round of the judge to the next."""
FALSE_ALARMS_PERCENT: Final = 2.0
"""More of them in any cell fails the benchmark."""
_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
_LIMITS: Final = limits_of(Analysis())
_CASE: Final = Case("canary", "stable", relative=True, min_time=_LIMITS.interval)


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of step, and how slow its canary is."""

    median_seconds: float
    spread: float
    stable_per_canary: int
    slowness: float


@dataclass(frozen=True, slots=True)
class Row:
    """Of how many canaries of a cell, in percent, which reading of the limit condemned."""

    cell: Cell
    bare_percent: float
    judge_percent: float


@dataclass(slots=True)
class _Side:
    """The requests of one revision, as its histogram has them."""

    median_seconds: float
    spread: float
    buckets: list[int]

    def serve(self, requests: int, chance: random.Random) -> None:
        for _ in range(requests):
            seconds = chance.lognormvariate(math.log(self.median_seconds), self.spread)
            self.buckets[bisect_left(FIRST_TOKEN_BUCKETS, seconds)] += 1

    @property
    def account(self) -> Account:
        counters = Counters(completed=sum(self.buckets), first_token=tuple(self.buckets))
        return Account(counters, Shape(first_token=FIRST_TOKEN_BUCKETS))


def _side(median_seconds: float, spread: float) -> _Side:
    return _Side(median_seconds, spread, [0] * (len(FIRST_TOKEN_BUCKETS) + 1))


def condemned(cell: Cell, requests: int, chance: random.Random) -> tuple[bool, bool]:
    """Judge one canary round by round; whether the bare limit and the judge ever condemn it."""
    canary = _side(cell.median_seconds * cell.slowness, cell.spread)
    stable = _side(cell.median_seconds, cell.spread)
    bare = False
    for _ in range(0, requests, ROUND_REQUESTS):
        canary.serve(ROUND_REQUESTS, chance)
        stable.serve(ROUND_REQUESTS * cell.stable_per_canary, chance)
        seen = Difference(_EPOCH, _EPOCH, canary.account, stable.account)
        compared = compare(seen, _CASE, _LIMITS)
        bare = bare or any(pair.is_breach for pair in compared.pairs)
        if compared.breach is not None:
            return True, True
    return bare, False


def measure(runs: int, requests: int) -> Iterator[Row]:
    """Yield every cell; each begins with the same seed."""
    for medians in product(SPREADS, MEDIANS_SECONDS, STABLE_PER_CANARY, SLOWNESS):
        spread, median_seconds, stable_per_canary, slowness = medians
        cell = Cell(median_seconds, spread, stable_per_canary, slowness)
        chance = random.Random(1)  # noqa: S311 - a simulation that is to be repeatable
        ends = [condemned(cell, requests, chance) for _ in range(runs)]
        bare, judge = (100 * sum(column) / runs for column in zip(*ends, strict=True))
        yield Row(cell, bare, judge)


def _table(rows: list[Row]) -> Table:
    table = Table("spread", "median, s", "stable : canary", box=None, pad_edge=False)
    for slowness in SLOWNESS:
        table.add_column(f"{slowness:g}x: bare, judge", justify="right")
    width = len(SLOWNESS)
    for start in range(0, len(rows), width):
        cell = rows[start].cell
        ends = [f"{r.bare_percent:g} %, {r.judge_percent:g} %" for r in rows[start : start + width]]
        ratio = f"{cell.stable_per_canary} : 1"
        table.add_row(f"{cell.spread:g}", f"{cell.median_seconds:g}", ratio, *ends)
    return table


def _ranges(rows: list[Row]) -> dict[str, dict[str, list[float]]]:
    """Return the least and the most of all cells, by slowness and reading."""
    result = {}
    for slowness in SLOWNESS:
        of_it = [row for row in rows if row.cell.slowness == slowness]
        bare, judge = [r.bare_percent for r in of_it], [r.judge_percent for r in of_it]
        result[f"{slowness:g}x"] = {
            "bare": [min(bare), max(bare)],
            "judge": [min(judge), max(judge)],
        }
    return result


def main(
    runs: Annotated[int, typer.Option(min=10, max=100_000, help="canaries per cell")] = 200,
    requests: Annotated[int, typer.Option(min=50, max=100_000, help="of each canary")] = 400,
) -> None:
    """Simulate, and fail if a canary as good as stable is condemned too often."""
    rows = list(measure(runs, requests))
    console = Console(width=110, highlight=False)
    console.print(
        f"Condemned by latency, in percent of {runs} canaries of up to {requests} requests each;"
        f" limit {_LIMITS.max_first_token_percent} % of stable's p95, from"
        f" {_LIMITS.min_requests} requests on"
    )
    console.print(_table(rows))
    ranges = _ranges(rows)
    print(json.dumps({"runs": runs, "requests": requests, "condemned_percent": ranges}))
    sys.exit(ranges["1x"]["judge"][1] > FALSE_ALARMS_PERCENT)


if __name__ == "__main__":
    typer.run(main)
