"""``make states``: walk everything, try every mutant, end with a line of JSON.

Exits with 1 when a rule did not hold, a mutant survived, or something that should have been seen
was not: an explorer that explores nothing is a defect.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Final, NamedTuple

from llm_operator.api.rollout import OnFailure
from llm_operator.rollout.machine import advance
from tests.models.rollouts.coverage import missing, tables
from tests.models.rollouts.explorer import Explorer, Report
from tests.models.rollouts.moves import Pace
from tests.models.rollouts.settings import (
    FOUR_STEPS,
    PAUSING_STEPS,
    SHORT_STEPS,
    canaries,
    presets,
)
from tests.models.rollouts.situation import Setting

SHOWN: Final = 40
"""Violations that are printed whole."""


class Walk(NamedTuple):
    """One setting, the order of things, and how many events may happen."""

    setting: Setting
    pace: Pace
    events: int


def plan() -> Iterator[Walk]:
    """Yield all walks: one event in any order of things, two events in two orders."""
    settings = [
        *canaries(FOUR_STEPS, OnFailure.ROLLBACK),
        *canaries(PAUSING_STEPS, OnFailure.PAUSE),
        *canaries(SHORT_STEPS, OnFailure.ROLLBACK),
        *presets(),
    ]
    for setting in settings:
        yield Walk(setting, Pace.ANY, 1)
        yield Walk(setting, Pace.READY_FIRST, 2)
        yield Walk(setting, Pace.GONE_FIRST, 2)


def walk(task: Walk) -> Report:
    """Walk one setting."""
    return Explorer(task.setting, advance, task.pace).explore(task.events)


def walk_all(tasks: Iterable[Walk], processes: int) -> Report:
    """Walk all settings, saying each one as it ends."""
    total = Report()
    with ProcessPoolExecutor(processes, max_tasks_per_child=8) as pool:
        running = {pool.submit(walk, task): task for task in tasks}
        for number, future in enumerate(as_completed(running), 1):
            report, task = future.result(), running[future]
            total.add(report)
            broken = f", broken: {dict(report.broken)}" if report.broken else ""
            say(
                f"[{number}/{len(running)}] {task.setting}, {task.pace}, {task.events} events: "
                f"{report.states} states, {report.transitions} transitions{broken}"
            )
    return total


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run all and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="walk settings whose line contains this")
    arguments = parser.parse_args()
    tasks = [task for task in plan() if arguments.only in f"{task.setting} {task.pace}"]
    report = walk_all(tasks, arguments.processes)
    for violation in report.violations[:SHOWN]:
        say(str(violation))
    for line in tables(report):
        say(line)
    unseen = missing(report)
    for line in unseen:
        say(f"never seen: {line}")
    say(
        json.dumps(
            {
                "states": report.states,
                "transitions": report.transitions,
                "violations": sum(report.broken.values()) + len(unseen),
            }
        )
    )
    return 1 if report.broken or unseen else 0


if __name__ == "__main__":
    sys.exit(main())
