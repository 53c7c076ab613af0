"""``make sweep``: every fault at every write, ending with a line of JSON.

Exits with 1 when a run did not come to the same end, broke an invariant, or wrote more than it may.
"""

import argparse
import json
import sys
import time
from collections import Counter
from typing import Final

from tests.models.sweep.faults import Fault
from tests.models.sweep.quiet import quietly
from tests.models.sweep.run import Scenario, by_kind, run
from tests.models.sweep.sweep import COSTS, COURSES, Report, begin, trials

PROGRESS_RUNS: Final = 100


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def sweep(scenario: Scenario, report: Report, added: dict[Fault, Counter[int]]) -> None:
    """Run a scenario with every fault at every write."""
    faultless = begin(scenario, report)
    bounds = COURSES[scenario].bounds
    writes = by_kind(faultless.calls)
    say(f"{scenario}: {len(faultless.calls)} writes")
    for kind, count in sorted(writes.items()):
        say(f"  {kind}: {count} (at most {bounds[kind]})")
    for number, trial in enumerate(trials(faultless), 1):
        known = len(report.problems)
        outcome = run(scenario, trial, faultless.state)
        report.add(scenario, outcome, faultless)
        added[trial.fault][len(outcome.calls) - len(faultless.calls)] += 1
        for problem in report.problems[known:]:
            say(problem)
        if number % PROGRESS_RUNS == 0:
            say(f"  {number} runs, {time.process_time():.0f} s of processor time")


def main() -> int:
    """Run all and return the exit status."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    report, added = Report(), {fault: Counter[int]() for fault in Fault}
    with quietly():
        for scenario in Scenario:
            sweep(scenario, report, added)
    say("writes that a fault adds: fewest to most (at most)")
    for fault, counts in added.items():
        say(f"  {fault}: {min(counts)} to {max(counts)} ({COSTS[fault]})")
    say(f"{time.process_time():.0f} s of processor time")
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
