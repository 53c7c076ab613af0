"""``make states``: walk everything, try every mutant, end with a line of JSON.

Exits with 1 when a rule did not hold, a mutant survived, or something that should have been seen
was not: an explorer that explores nothing is a defect.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Final

from tests.models.rollouts.coverage import missing, tables
from tests.models.rollouts.explorer import Report
from tests.models.rollouts.mutants import MUTANTS
from tests.models.rollouts.plan import Walk, take, whole

SHOWN: Final = 40
"""Violations that are printed whole."""


def walk_all(tasks: list[Walk], processes: int) -> Report:
    """Walk all settings, saying each one as it ends."""
    total, began = Report(), time.monotonic()
    with ProcessPoolExecutor(processes) as pool:
        running = {pool.submit(take, task): task for task in tasks}
        for number, future in enumerate(as_completed(running), 1):
            report, task = future.result(), running[future]
            total.add(report)
            broken = f", broken: {dict(report.broken)}" if report.broken else ""
            seconds = int(time.monotonic() - began)
            say(
                f"[{number}/{len(running)}, {seconds} s] {task}: {report.states} states, "
                f"{report.transitions} transitions{broken}"
            )
    return total


def try_mutants() -> int:
    """Return how many mutants their rules find, naming those that survive."""
    killed = 0
    for mutant in MUTANTS:
        if mutant.is_killed():
            killed += 1
        else:
            say(f"mutant {mutant.number} survives {mutant.test}")
    return killed


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run all and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="take the walks whose line contains this")
    arguments = parser.parse_args()
    report = walk_all([w for w in whole() if arguments.only in str(w)], arguments.processes)
    for violation in report.violations[:SHOWN]:
        say(str(violation))
    for line in tables(report):
        say(line)
    unseen = missing(report)
    for unseen_line in unseen:
        say(f"never seen: {unseen_line}")
    killed = try_mutants()
    result = {
        "states": report.states,
        "transitions": report.transitions,
        "violations": sum(report.broken.values()) + len(unseen),
        "mutants": len(MUTANTS),
        "killed": killed,
    }
    say(json.dumps(result))
    return 1 if result["violations"] or killed < len(MUTANTS) else 0


if __name__ == "__main__":
    sys.exit(main())
