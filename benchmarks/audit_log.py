"""The arithmetic over the API server's audit log: whose requests, of which family, how fast. Pure.

The log is the API server's own account of what an operator cost, so a client cannot flatter
itself. ``trial`` reads it; nothing here knows a cluster.
"""

import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

_WRITING_VERBS: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_FINISHED_STAGES: Final = frozenset({"ResponseComplete", "Panic"})


class Family(StrEnum):
    """What a request is counted as; the election and the events are figures of their own."""

    LEASE = "lease"
    EVENT = "event"
    LIST = "list"
    WATCH = "watch"
    READ = "read"
    WRITE = "write"
    DISCOVERY = "discovery"
    """A request that names no object: versions, groups, health."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the API server recorded it, whatever it was answered."""

    user: str
    verb: str
    resource: str
    """Plural, without the subresource; empty where the request names no object."""
    namespace: str
    name: str
    code: int
    received: datetime
    completed: datetime

    @property
    def family(self) -> Family:
        """What the request is counted as."""
        if not self.resource:
            return Family.DISCOVERY
        if self.resource in _BOOKKEEPING:
            return _BOOKKEEPING[self.resource]
        if self.verb in _WRITING_VERBS:
            return Family.WRITE
        return {"list": Family.LIST, "watch": Family.WATCH}.get(self.verb, Family.READ)

    @property
    def succeeded(self) -> bool:
        """Whether it was answered with a success."""
        return 200 <= self.code < 300


_BOOKKEEPING: Final = {"leases": Family.LEASE, "events": Family.EVENT}


def parse_requests(events: Iterable[Mapping[str, Any]]) -> list[Request]:
    """Read the ``audit.k8s.io/v1`` events of finished requests; a request counts once."""
    finished = {event["auditID"]: event for event in events if event["stage"] in _FINISHED_STAGES}
    return [_parse(event) for event in finished.values()]


def opened_watches(events: Iterable[Mapping[str, Any]], user: str) -> set[str]:
    """Return the plurals that a user has begun to watch: such a request does not finish."""
    return {
        event["objectRef"]["resource"]
        for event in events
        if event["verb"] == "watch"
        and event["stage"] == "ResponseStarted"
        and event["user"]["username"] == user
    }


def _parse(event: Mapping[str, Any]) -> Request:
    reference = event.get("objectRef") or {}
    return Request(
        user=event["user"]["username"],
        verb=event["verb"],
        resource=reference.get("resource", ""),
        namespace=reference.get("namespace", ""),
        name=reference.get("name", ""),
        code=(event.get("responseStatus") or {}).get("code", 0),
        received=datetime.fromisoformat(event["requestReceivedTimestamp"]),
        completed=datetime.fromisoformat(event["stageTimestamp"]),
    )


def of_user(requests: Iterable[Request], user: str) -> list[Request]:
    """Return the requests of one user."""
    return [request for request in requests if request.user == user]


def tally(requests: Iterable[Request]) -> Counter[Family]:
    """Count requests by family."""
    return Counter(request.family for request in requests)


def most_writes(requests: Iterable[Request], owners: Collection[str]) -> int:
    """Return the writes of the resource that took the most: its own and its children's.

    A child is called as its owner, or ``<owner>-<word>``.
    """
    names = Counter(r.name for r in requests if r.family is Family.WRITE)
    by_owner: Counter[str] = Counter()
    for name, count in names.items():
        owner = name if name in owners else name.rpartition("-")[0]
        by_owner[owner] += count
    return max((by_owner[owner] for owner in owners), default=0)


def reaction_seconds(
    edits: Iterable[Request], requests: Sequence[Request], user: str, resource: str
) -> list[float | None]:
    """Return, per edit, the seconds until a user had written the object of the edit's name.

    From the moment the API server received the edit to the moment it answered the first
    successful write, so the handling of both requests is part of it. None: no such write.
    """
    answers = sorted(
        (r for r in requests if _writes(r, user, resource) and r.succeeded),
        key=lambda request: request.received,
    )
    return [_until_first(edit, answers) for edit in edits]


def _writes(request: Request, user: str, resource: str) -> bool:
    return request.user == user and request.resource == resource and request.family is Family.WRITE


def _until_first(edit: Request, answers: Iterable[Request]) -> float | None:
    for answer in answers:
        same = (answer.namespace, answer.name) == (edit.namespace, edit.name)
        if same and answer.received >= edit.received:
            return (answer.completed - edit.received).total_seconds()
    return None


def span_seconds(requests: Sequence[Request]) -> float:
    """Return the seconds from the first request's arrival to the last one's answer."""
    if not requests:
        return 0.0
    first, last = min(r.received for r in requests), max(r.completed for r in requests)
    return (last - first).total_seconds()


def median_ms(seconds: Sequence[float | None]) -> float | None:
    """Return the median in milliseconds; None if an edit was never answered, or there is none."""
    answered = [value for value in seconds if value is not None]
    if not answered or len(answered) < len(seconds):
        return None
    return round(statistics.median(answered) * 1000, 1)


def p95_ms(seconds: Sequence[float | None]) -> float | None:
    """Return the 95th percentile in milliseconds by nearest rank; None as ``median_ms``."""
    answered = sorted(value for value in seconds if value is not None)
    if not answered or len(answered) < len(seconds):
        return None
    rank = -(-95 * len(answered) // 100)
    return round(answered[rank - 1] * 1000, 1)
