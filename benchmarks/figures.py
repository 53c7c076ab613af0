"""What the benchmark finds out about one operator, and the form in which machines read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.audit_log import median_ms

WRITES_BEYOND_CHILDREN: Final = 2
"""Writes that a resource may cost beside one per child: its status, when it begins and ends."""
REACTION_BOUND_MS: Final = 50.0


@dataclass(frozen=True, slots=True)
class Creation:
    """What it took until all resources were there and nothing moved any more."""

    children: int
    """Objects that the resources control, all together."""
    writes: int
    writes_of_busiest: int
    reads: int
    events: int
    seconds: float
    """From the first resource's creation to the operator's last write."""
    cpu_seconds: float
    rss_mib: float


@dataclass(frozen=True, slots=True)
class Restart:
    """What a new process asked for when there was nothing to do."""

    writes: int
    reads: int
    lists: int


@dataclass(frozen=True, slots=True)
class Reactions:
    """How fast edits were answered."""

    seconds: Sequence[float | None]
    """One per edit, None where no answer was seen."""
    holds: bool
    """Whether the objects themselves were found as they should be afterwards."""

    @property
    def p50_ms(self) -> float | None:
        """The median; None unless every edit was answered and the objects say so too."""
        return median_ms(self.seconds) if self.holds else None


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of one operator at ``n`` resources."""

    n: int
    creation: Creation
    restart: Restart
    drift: Reactions
    edit: Reactions
    load_average: float
    """Of the machine over the minute in which the edits were timed: what else it had to do."""

    def per_resource(self, count: float) -> float:
        """Return a count divided by the resources, whole where it is whole."""
        share = round(count / self.n, 3)
        return int(share) if share == int(share) else share

    @property
    def writes_bound(self) -> float:
        """The writes that a resource may cost."""
        return self.per_resource(self.creation.children) + WRITES_BEYOND_CHILDREN

    def to_json(self) -> dict[str, Any]:
        """Return the figures under their published names."""
        return {
            "n": self.n,
            "children_per_resource": self.per_resource(self.creation.children),
            "writes_per_resource": self.per_resource(self.creation.writes),
            "reads_per_resource": self.per_resource(self.creation.reads),
            "restart_writes": self.restart.writes,
            "drift_p50_ms": self.drift.p50_ms,
            "edit_p50_ms": self.edit.p50_ms,
            "rss_mib": self.creation.rss_mib,
        }
