"""What a walk has to have seen, so that its silence means something."""

from collections.abc import Iterator
from typing import Final

from llm_operator.api.status import RolloutPhase
from tests.models.rollouts.events import Event
from tests.models.rollouts.explorer import Report


def missing(report: Report) -> list[str]:
    """Return all that was never seen and can be."""
    return [*missing_changes(report), *missing_rows(report)]


def missing_changes(report: Report) -> list[str]:
    """Return the phases and the changes of phase that were never seen."""
    phases = [f"phase {phase}" for phase in RolloutPhase if not report.phases[phase]]
    return [*phases, *(f"{a} → {b}" for a, b in CHANGES if not report.changes[a, b])]


def missing_rows(report: Report) -> list[str]:
    """Return the fields of the table of events that were never seen."""
    return [
        f"{event} in {phase}"
        for event in Event
        for phase in RolloutPhase
        if not report.rows[event, phase] and (event, phase) not in IMPOSSIBLE
    ]


def tables(report: Report) -> Iterator[str]:
    """Yield the counts of what was seen."""
    yield "situations by phase: " + _counts(report.phases)
    yield "ends by phase: " + _counts(report.ends)
    yield "changes: " + _counts({f"{a} → {b}": count for (a, b), count in report.changes.items()})
    width = max(len(event) for event in Event)
    yield f"{'events':{width}} " + " ".join(f"{phase:>11}" for phase in RolloutPhase)
    for event in Event:
        counts = (report.rows[event, phase] for phase in RolloutPhase)
        yield f"{event:{width}} " + " ".join(f"{count:11}" for count in counts)


def _counts(counts: dict[str, int] | dict[RolloutPhase, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


_P = RolloutPhase
CHANGES: Final = (
    (_P.STABLE, _P.PREPARING),
    (_P.PREPARING, _P.STEP),
    (_P.PREPARING, _P.ROLLING_BACK),
    (_P.STEP, _P.PAUSED),
    (_P.STEP, _P.HOLDING),
    (_P.STEP, _P.PROMOTING),
    (_P.STEP, _P.ROLLING_BACK),
    (_P.PAUSED, _P.STEP),
    (_P.PAUSED, _P.HOLDING),
    (_P.PAUSED, _P.PROMOTING),
    (_P.PAUSED, _P.ROLLING_BACK),
    (_P.HOLDING, _P.STEP),
    (_P.HOLDING, _P.PAUSED),
    (_P.HOLDING, _P.PROMOTING),
    (_P.HOLDING, _P.ROLLING_BACK),
    (_P.PROMOTING, _P.BAKING),
    (_P.PROMOTING, _P.HOLDING),
    (_P.PROMOTING, _P.ROLLING_BACK),
    (_P.BAKING, _P.STABLE),
    (_P.BAKING, _P.PREPARING),
    (_P.BAKING, _P.ROLLING_BACK),
    (_P.ROLLING_BACK, _P.ROLLED_BACK),
    (_P.ROLLING_BACK, _P.STABLE),
    (_P.ROLLING_BACK, _P.PREPARING),
    (_P.ROLLED_BACK, _P.PREPARING),
    (_P.ROLLED_BACK, _P.STABLE),
)
"""The arrows of the page's picture and of its tables."""

IMPOSSIBLE: Final = frozenset(
    {
        (Event.LOSE_CANARY, _P.STABLE),
        (Event.LOSE_CANARIES, _P.STABLE),
        (Event.SPEC_GO_ON, _P.HOLDING),
        (Event.SPEC_GO_ON, _P.ROLLING_BACK),
        (Event.SPEC_GO_ON, _P.ROLLED_BACK),
        (Event.JUDGED_GOOD, _P.HOLDING),
        (Event.RESTART, _P.ROLLED_BACK),
    }
)
"""Events that cannot be the second one in a phase: at rest there is no canary to lose, and the
others need two events before them. Random lives have them."""
