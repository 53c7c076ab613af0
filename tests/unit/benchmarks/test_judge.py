"""The simulation of the judge tells a good canary from a slow one."""

import random

from benchmarks.judge import Cell, condemned

RUNS = 20
REQUESTS = 200


def _condemned(slowness: float) -> tuple[int, int]:
    """Of how many canaries the bare limit and the judge made an end."""
    cell = Cell(0.05, 0.8, 1, slowness)
    ends = [condemned(cell, REQUESTS, random.Random(seed)) for seed in range(RUNS)]
    return sum(bare for bare, _ in ends), sum(judge for _, judge in ends)


def test_a_canary_as_fast_as_stable_is_not_condemned() -> None:
    """Whatever the bare comparison makes of noise, the judge lets an identical version pass."""
    bare, judge = _condemned(1.0)

    assert judge == 0
    assert bare >= judge


def test_a_canary_three_times_as_slow_is_condemned() -> None:
    """The margin hides no version that is far beyond the limit."""
    assert _condemned(3.0) == (RUNS, RUNS)
