"""What the judge remembers of one window, in ``status.rollout.window``; it changes only with news.

A window begins when a weight is applied. Its baseline is what the pods had counted by then: sums
per revision, and the boot ids that are in them. The counters of a process that began later count
from 0. A process of unknown age joins the baseline when it is first read, so that nothing it did
before is taken for news.

JSON is written without what is empty and read with tolerance: what is not understood is left out,
and is measured again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from llm_operator.conditions import format_time, parse_time
from llm_operator.judgement.counters import Buckets, Counters
from llm_operator.judgement.evidence import PODS_MAX, PodSample


@dataclass(frozen=True, slots=True)
class Side:
    """What one revision's processes had counted when the baseline was taken."""

    boots: frozenset[str] = frozenset()
    counters: Counters = field(default_factory=Counters)

    def with_sample(self, sample: PodSample) -> Self:
        """Return the side with one more process in it, unless there are too many."""
        if len(self.boots) >= PODS_MAX or sample.boot_id in self.boots:
            return self
        counters = self.counters.plus(sample.reading.counters)
        return replace(self, boots=self.boots | {sample.boot_id}, counters=counters)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The counters that a window's differences are taken from."""

    at: datetime
    sides: Mapping[str, Side]
    """By revision hash."""

    def side(self, revision: str) -> Side:
        """Return the side of a revision; an unknown one had counted nothing."""
        return self.sides.get(revision, Side())


@dataclass(frozen=True, slots=True)
class Window:
    """The judge's memory; see the module."""

    started_at: datetime
    baseline: Baseline | None = None
    """None until every pod has been read once."""
    breaches: Mapping[str, datetime] = field(default_factory=dict)
    """When the last reading of a guard was above its maximum, the one before it was not."""
    is_missing: bool = False
    """Metrics were missing, and have not been read since."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON for the status; a second or two of KiB at most."""
        content = {
            "startedAt": format_time(self.started_at),
            "baseline": None if self.baseline is None else _baseline_json(self.baseline),
            "breaches": [
                {"guard": guard, "at": format_time(at)}
                for guard, at in sorted(self.breaches.items())
            ],
            "missing": self.is_missing,
        }
        return {key: value for key, value in content.items() if value}

    @classmethod
    def from_json(cls, content: object) -> Self | None:
        """Return the window that the status holds, or None when there is none to understand."""
        fields = _mapping(content)
        started_at = parse_time(fields.get("startedAt"))
        if started_at is None:
            return None
        return cls(
            started_at=started_at,
            baseline=_read_baseline(fields.get("baseline")),
            breaches={
                str(entry["guard"]): at
                for entry in map(_mapping, _items(fields.get("breaches")))
                if "guard" in entry and (at := parse_time(entry.get("at"))) is not None
            },
            is_missing=fields.get("missing") is True,
        )


def follow(window: Window | None, started_at: datetime | None) -> Window | None:
    """Return the window that belongs to ``started_at``: the same one, a new one or none."""
    if started_at is None:
        return None
    started_at = started_at.replace(microsecond=0)
    if window is not None and window.started_at == started_at:
        return window
    return Window(started_at)


def _baseline_json(baseline: Baseline) -> dict[str, Any]:
    return {
        "at": format_time(baseline.at),
        "revisions": [
            _side_json(revision, side) for revision, side in sorted(baseline.sides.items())
        ],
    }


def _side_json(revision: str, side: Side) -> dict[str, Any]:
    counters = side.counters
    content: dict[str, Any] = {
        "revision": revision,
        "boots": " ".join(sorted(side.boots)),
        "requests": {
            "received": counters.received,
            "refused": counters.refused,
            "completed": counters.completed,
            "failed": counters.failed,
        },
        "firstToken": list(counters.first_token),
        "interToken": list(counters.inter_token),
    }
    return {key: value for key, value in content.items() if value}


def _read_baseline(content: object) -> Baseline | None:
    """Return the baseline only if all of it is understood: half a sum would invent requests."""
    fields = _mapping(content)
    at = parse_time(fields.get("at"))
    if at is None:
        return None
    try:
        sides = dict(_read_side(_mapping(entry)) for entry in _items(fields.get("revisions")))
    except (KeyError, ValueError, TypeError):
        return None
    return Baseline(at, sides)


def _read_side(fields: Mapping[str, Any]) -> tuple[str, Side]:
    """Raises KeyError, ValueError or TypeError for what is missing or no count."""
    requests: Mapping[str, Any] = fields["requests"]
    received, refused, completed, failed = (
        _count(requests[name]) for name in ("received", "refused", "completed", "failed")
    )
    first_token, inter_token = _buckets(fields, "firstToken"), _buckets(fields, "interToken")
    counters = Counters(received, refused, completed, failed, first_token, inter_token)
    return str(fields["revision"]), Side(
        frozenset(str(fields.get("boots") or "").split()), counters
    )


def _buckets(fields: Mapping[str, Any], name: str) -> Buckets:
    return tuple(_count(value) for value in _items(fields.get(name)))


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: object) -> Iterable[object]:
    return value if isinstance(value, list | tuple) else ()
