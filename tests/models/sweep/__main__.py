"""``make sweep``: every fault at every write, ending with a line of JSON.

Exits with 1 when a run did not come to the same end, broke an invariant, or wrote more than it may.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from typing import Final

from tests.models.sweep.faults import Fault
from tests.models.sweep.quiet import quietly
from tests.models.sweep.run import Outcome, Scenario, by_kind, run
from tests.models.sweep.sweep import COSTS, COURSES, Report, begin, trials

PROGRESS_RUNS: Final = 100
CHUNK_RUNS: Final = 8

Added = dict[Fault, Counter[int]]


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Yield processes that make runs, as quietly as this one."""
    with quietly(), ProcessPoolExecutor(processes) as made:
        yield made


def sweep(scenario: Scenario, report: Report, added: Added, runners: ProcessPoolExecutor) -> None:
    """Run a scenario with every fault at every write."""
    faultless = begin(scenario, report)
    bounds = COURSES[scenario].bounds
    say(f"{scenario}: {len(faultless.calls)} writes, {len(faultless.reads)} reads")
    for kind, count in sorted(by_kind(faultless.calls).items()):
        say(f"  {kind}: {count} (at most {bounds[kind]})")
    tried = trials(faultless)
    same, end = repeat(scenario), repeat(faultless.state)
    outcomes = runners.map(run, same, tried, end, chunksize=CHUNK_RUNS)
    for number, (trial, outcome) in enumerate(zip(tried, outcomes, strict=True), 1):
        take_up(scenario, outcome, faultless, report)
        added[trial.fault][len(outcome.calls) - len(faultless.calls)] += 1
        if number % PROGRESS_RUNS == 0:
            say(f"  {number} of {len(tried)} runs")


def take_up(scenario: Scenario, outcome: Outcome, faultless: Outcome, report: Report) -> None:
    """Add a run to the report and say at once what was wrong about it."""
    known = len(report.problems)
    report.add(scenario, outcome, faultless)
    for problem in report.problems[known:]:
        say(problem)


def main() -> int:
    """Run all and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=1)
    report, added = Report(), {fault: Counter[int]() for fault in Fault}
    with pool(parser.parse_args().processes) as runners:
        for scenario in Scenario:
            sweep(scenario, report, added, runners)
    say("writes that a fault adds: fewest to most (at most)")
    for fault, counts in added.items():
        say(f"  {fault}: {min(counts)} to {max(counts)} ({COSTS[fault]})")
    used = os.times()
    seconds = used.user + used.system + used.children_user + used.children_system
    say(f"{seconds:.0f} s of processor time")
    result = {
        "calls": report.calls,
        "faults": len(Fault),
        "runs": report.runs,
        "converged": report.converged,
        "invariant_violations": report.violations,
    }
    say(json.dumps(result))
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
