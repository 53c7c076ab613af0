"""The table for people and the line for machines. Pure: figures in, text out."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Final

from rich.table import Table

from benchmarks.audit_log import p95_ms
from benchmarks.contender import Contender
from benchmarks.figures import REACTION_BOUND_MS, Figures, Reactions
from benchmarks.machine import Machine

NOTES: Final = """\
Requests are counted from the API server's audit log by the operator's own account; Lease, event,
list and watch requests are not among writes and reads. A reaction lasts from the arrival of the
edit at the API server to its answer to the operator's write of the Service (audit log), so both
requests are part of it; '-' = not all were answered. Resources ask for 0 replicas: no pod starts.
etcd, the API server and the machine are what they are, one disk and a few cores that both operators
share with them: counts carry over to other clusters, milliseconds only compare within this run.
The plain operator handles creation and update as kopf's documentation shows; what is done to a
child by hand is no event for it."""

_ROWS: Final[tuple[tuple[str, Callable[[Figures], str]], ...]] = (
    ("resources", lambda f: str(f.n)),
    ("children per resource", lambda f: _number(f.per_resource(f.creation.children))),
    ("writes per resource", lambda f: _number(f.per_resource(f.creation.writes))),
    ("  of the resource with most", lambda f: str(f.creation.writes_of_busiest)),
    ("reads per resource", lambda f: _number(f.per_resource(f.creation.reads))),
    ("events per resource", lambda f: _number(f.per_resource(f.creation.events))),
    ("first creation to last write, s", lambda f: f"{f.creation.seconds:.1f}"),
    ("CPU per resource, ms", lambda f: f"{f.creation.cpu_seconds / f.n * 1000:.1f}"),
    ("memory (RSS), MiB", lambda f: f"{f.creation.rss_mib:.1f}"),
    ("restart: writes", lambda f: str(f.restart.writes)),
    ("restart: reads", lambda f: str(f.restart.reads)),
    ("restart: lists", lambda f: str(f.restart.lists)),
    ("edited Services repaired", lambda f: _answered(f.drift)),
    ("  p50, ms", lambda f: _number(f.drift.p50_ms)),
    ("  p95, ms", lambda f: _number(p95_ms(f.drift.seconds))),
    ("edited annotations patched", lambda f: _answered(f.edit)),
    ("  p50, ms", lambda f: _number(f.edit.p50_ms)),
    ("  p95, ms", lambda f: _number(p95_ms(f.edit.seconds))),
    ("load of the machine meanwhile", lambda f: f"{f.load_average:.1f}"),
)


def heading(machine: Machine, now: datetime) -> str:
    """Return when and on what the figures were measured."""
    return f"{now:%Y-%m-%d %H:%M} UTC; {machine}"


def table(contenders: tuple[Contender, Contender], figures: tuple[Figures, Figures]) -> Table:
    """Return both operators side by side; the last column is the bound for the first."""
    bounds = _bounds(figures[0])
    result = Table("", *(contender.title for contender in contenders), "bound")
    for index, (label, read) in enumerate(_ROWS):
        result.add_row(label, *(read(each) for each in figures), bounds.get(index, ""))
    return result


def json_line(figures: Figures, peer: Figures) -> str:
    """Return the figures under their published names, on one line."""
    return json.dumps({**figures.to_json(), "peer": peer.to_json()})


def _bounds(figures: Figures) -> dict[int, str]:
    """Return the bounds by row."""
    latency = f"≤ {REACTION_BOUND_MS:g}"
    return {2: f"≤ {figures.writes_bound:g}", 4: "0", 9: "0", 13: latency, 16: latency}


def _answered(reactions: Reactions) -> str:
    answered = sum(value is not None for value in reactions.seconds)
    return f"{answered}/{len(reactions.seconds)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
