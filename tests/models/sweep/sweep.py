"""All faults at all writes of all scenarios, and what must be true of every run.

Writes are bounded by figures that follow from the sizes of the rollout, and what a fault adds to
them by what has to be done or told once more. Reads are bounded where nothing goes wrong.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from llm_operator import kinds
from llm_operator.queue import BACKOFF_BASE_SECONDS
from tests.models.sweep.faults import LAG_SECONDS, Fault, Trial
from tests.models.sweep.process import SOONEST_RELIST_SECONDS
from tests.models.sweep.run import STEPS, TOTAL, Outcome, Scenario, by_kind, run
from tests.models.sweep.witness import EXTRA

STATUS: Final = "PATCH llmdeployments/status"
EVENTS: Final = "POST events"
DEPLOYMENTS: Final = "PATCH deployments"

_CANARY: Final = max(1, min(-(-TOTAL * STEPS[0]["weightPercent"] // 100), TOTAL + EXTRA - 1))
"""Canary pods of the first step."""
_STABLE: Final = min(TOTAL, TOTAL + EXTRA - _CANARY)
"""Stable pods beside them."""

_REPEATED: Final = 2
"""A write that is done again; before a status, the revision that it names is written again too."""

_TOLD_APART: Final = 1
"""A status: two things that one pass saw together come to be told one after the other."""

_TOLD_TWICE: Final = 4
"""Something is noticed, and gone again: two statuses, two events."""

_ATTEMPTS: Final = math.ceil(math.log2(LAG_SECONDS / BACKOFF_BASE_SECONDS)) + 1
"""How often a pass begins anew while its cache lags: each time it waits twice as long."""


@dataclass(frozen=True, slots=True)
class Course:
    """What a scenario goes through."""

    made: int
    """Pods of the new revision."""
    removed: int
    """Pods that are given up, of either revision."""
    steps: int
    """Steps that are begun and judged."""

    @property
    def bounds(self) -> Mapping[str, int]:
        """Return the most writes of each kind, without a fault.

        States: Preparing, each step and then its weight, two more at the end. Traffic moves to
        both revisions and then to one. Statuses tell of each state, of each route that was
        written and then followed (the first stands already), of each window that begins and has
        its first verdict, of each pod that starts and gets ready, and of each that is given up.
        """
        states, moves, judged = 1 + 2 * self.steps + 2, 2, 2 * self.steps
        return {
            "PATCH controllerrevisions": 2,  # its begin and its verdict
            "PATCH services": moves,
            "PATCH poddisruptionbudgets": moves,
            DEPLOYMENTS: self.made + self.removed,
            "DELETE deployments": 1,
            STATUS: states + 2 * (moves + 1) + judged + 2 * self.made + self.removed,
            EVENTS: 2 * states,
        }


COURSES: Final[Mapping[Scenario, Course]] = {
    Scenario.PROMOTED: Course(TOTAL, TOTAL, len(STEPS)),
    Scenario.ROLLED_BACK: Course(_CANARY, _CANARY + TOTAL - _STABLE, 1),
}

_LISTED: Final = (*kinds.WATCHED_KINDS, kinds.LLM_DEPLOYMENT, kinds.GATEWAY_CLASS, kinds.GATEWAY)


def read_bounds(scenario: Scenario, seconds: float) -> Mapping[str, int]:
    """Return the most reads of each kind in a run of so long without a fault.

    Every kind is listed, and every optional one looked for, in rounds; nothing that is watched is
    read by itself. Of a pod that is not ready at once its node and its events are read.
    """
    rounds = 1 + math.floor(seconds / SOONEST_RELIST_SECONDS)
    lists = {f"LIST {kind.path()}": rounds for kind in _LISTED}
    looks = {f"GET {kind.path().rpartition('/')[0]}": rounds for kind in kinds.OPTIONAL_KINDS}
    made = COURSES[scenario].made
    evidence = {
        f"GET {kinds.NODE.path(name='node-1')}": made,
        f"LIST {kinds.EVENT.path('default')}": made,
    }
    return lists | looks | evidence


COSTS: Final[Mapping[Fault, int]] = {
    Fault.KILLED_BEFORE: _REPEATED + _TOLD_APART,
    Fault.KILLED_AFTER: _REPEATED + _TOLD_APART,
    Fault.CONFLICT: _REPEATED + _TOLD_APART,
    Fault.EXPIRED: _TOLD_APART,
    Fault.THROTTLED: _REPEATED + _TOLD_APART,
    Fault.ERROR: _REPEATED + _TOLD_APART,
    Fault.TIMED_OUT: _REPEATED + _TOLD_APART,
    Fault.TIMED_OUT_AFTER: _REPEATED + _TOLD_APART,
    Fault.DISCONNECTED: _REPEATED + _TOLD_APART,
    Fault.STALE: _REPEATED * _ATTEMPTS + _TOLD_APART,
    Fault.DELAYED: _TOLD_TWICE + _TOLD_APART,  # routes or pods are not seen to follow
    Fault.DROPPED: _TOLD_TWICE + _TOLD_APART,
}
"""The most writes that a fault adds to a run."""


@dataclass(slots=True)
class Report:
    """What came of all runs."""

    calls: int = 0
    """Writes of the runs without a fault."""
    runs: int = 0
    converged: int = 0
    violations: int = 0
    problems: list[str] = field(default_factory=list)
    """Everything that was not as it must be."""

    def add(self, scenario: Scenario, outcome: Outcome, faultless: Outcome) -> None:
        """Take up one run."""
        self.runs += 1
        wrong_end = list(wrong_ends(scenario, outcome))
        self.converged += not wrong_end
        self.violations += len(outcome.broken)
        problems = (*wrong_end, *outcome.broken, *wrong_counts(scenario, outcome, faultless))
        met = outcome.trial.call - 1 if outcome.trial else None
        where = f" ({faultless.calls[met]})" if met is not None else ""
        what = outcome.trial or "no fault"
        self.problems += [f"{scenario}, {what}{where}: {problem}" for problem in problems]


def wrong_ends(scenario: Scenario, outcome: Outcome) -> Iterator[str]:
    """Yield how the end is not the one that it must be."""
    course = COURSES[scenario]
    yield from outcome.differences
    if outcome.pods_made != course.made:
        yield f"{outcome.pods_made} pods were made, not {course.made}"
    if outcome.pods_most > TOTAL + EXTRA:
        yield f"{outcome.pods_most} pods existed at once"


def wrong_counts(scenario: Scenario, outcome: Outcome, faultless: Outcome) -> Iterator[str]:
    """Yield which writes, or reads of a run without a fault, are more than there may be."""
    if outcome.trial is None:
        found, bounds = by_kind(outcome.calls), COURSES[scenario].bounds
        yield from _beyond(bounds, found)
        yield from _beyond(read_bounds(scenario, outcome.seconds), Counter(outcome.reads))
        return
    extra, cost = len(outcome.calls) - len(faultless.calls), COSTS[outcome.trial.fault]
    if extra > cost:
        more = dict(by_kind(outcome.calls) - by_kind(faultless.calls))
        yield f"{extra} writes more than without, at most {cost}: {more}"
    if outcome.trial.call > len(outcome.calls):
        yield "the fault was never met"


def _beyond(bounds: Mapping[str, int], found: Counter[str]) -> Iterator[str]:
    for call in found:
        if found[call] > bounds.get(call, 0):
            yield f"{found[call]} times {call}, at most {bounds.get(call, 0)}"


def trials(faultless: Outcome) -> list[Trial]:
    """Return every fault at every write."""
    calls = range(1, len(faultless.calls) + 1)
    return [Trial(fault, call) for call in calls for fault in Fault]


def begin(scenario: Scenario, report: Report) -> Outcome:
    """Run a scenario without a fault; that is what all others are compared with."""
    first = run(scenario, None, None)
    again = run(scenario, None, first.state)
    report.add(scenario, again, again)
    report.calls += len(again.calls)
    return again
