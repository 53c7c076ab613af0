"""What is known beyond the watched objects: events, claims and nodes of pods that are not ready.

Frozen and pure; ``llm_operator.evidence`` reads it from the API server, and only then.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from llm_operator.diagnosis.pod import read_conditions
from llm_operator.diagnosis.reading import Object, entries, moment, part, strings, text

_FIELD_PATH: Final = re.compile(r"spec\.\w+\{(?P<container>[^}]*)\}")


@dataclass(frozen=True, slots=True)
class Happening:
    """One event about an object."""

    reason: str
    note: str
    at: datetime | None = None
    container: str = ""
    """The container of the pod that it is about; empty for the pod as a whole."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim that a pod names."""

    name: str
    exists: bool
    uid: str = ""
    phase: str = ""
    storage_class: str = ""
    is_going: bool = False
    """Whether its deletion has begun."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node, as far as it bears on pods."""

    name: str
    exists: bool
    ready: str = ""
    """Status of the condition Ready."""
    ready_reason: str = ""
    taints: tuple[str, ...] = ()
    """``key=value:effect`` of those that keep pods away."""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was read for one resource; empty where all is well."""

    events: Mapping[str, tuple[Happening, ...]] = field(default_factory=dict)
    """By UID of the object that they are about, oldest first."""
    claims: Mapping[str, Claim] = field(default_factory=dict)
    """By name; a claim that was not asked for is absent."""
    nodes: Mapping[str, Node] = field(default_factory=dict)
    """By name; a node that was not asked for is absent."""
    look_again_at: datetime | None = None
    """When there may be more to read; the resource is to be looked at then."""

    def events_of(self, uid: str) -> tuple[Happening, ...]:
        """Return the events about an object."""
        return self.events.get(uid, ())


NOTHING: Final = Evidence()


def read_event(obj: Object) -> Happening:
    """Read an event of ``events.k8s.io/v1``."""
    match = _FIELD_PATH.fullmatch(text(part(obj, "regarding"), "fieldPath"))
    times = (
        moment(part(obj, "series"), "lastObservedTime"),
        moment(obj, "deprecatedLastTimestamp"),
        moment(obj, "eventTime"),
        moment(part(obj, "metadata"), "creationTimestamp"),
    )
    return Happening(
        reason=text(obj, "reason"),
        note=text(obj, "note"),
        at=next((time for time in times if time), None),
        container=match["container"] if match else "",
    )


def read_claim(name: str, obj: Object | None) -> Claim:
    """Read a PersistentVolumeClaim; ``obj`` is None when there is none of that name."""
    if obj is None:
        return Claim(name, exists=False)
    metadata = part(obj, "metadata")
    return Claim(
        name,
        exists=True,
        uid=text(metadata, "uid"),
        phase=text(part(obj, "status"), "phase"),
        storage_class=text(part(obj, "spec"), "storageClassName"),
        is_going="deletionTimestamp" in metadata,
    )


def read_node(name: str, obj: Object | None) -> Node:
    """Read a node; ``obj`` is None when there is none of that name."""
    if obj is None:
        return Node(name, exists=False)
    spec = part(obj, "spec")
    ready = read_conditions(obj).get("Ready")
    return Node(
        name,
        exists=True,
        ready=ready.status if ready else "",
        ready_reason=ready.reason if ready else "",
        taints=tuple(
            _taint(taint)
            for taint in entries(spec, "taints")
            if text(taint, "effect") in ("NoSchedule", "NoExecute")
        ),
        labels=strings(part(obj, "metadata"), "labels"),
    )


def _taint(taint: Mapping[str, Any]) -> str:
    value = text(taint, "value")
    return text(taint, "key") + (f"={value}" if value else "") + f":{text(taint, 'effect')}"
