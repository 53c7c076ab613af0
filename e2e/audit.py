"""Reads the API server's audit log: who asked for what, and what was answered."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

WRITING_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})
DECISION = "authorization.k8s.io/decision"
BOOKKEEPING = frozenset({"leases", "events"})
"""Resources whose writes say nothing about the children: election and events."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the API server recorded it."""

    user: str
    pod: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    code: int
    forbidden: bool
    """Whether the authoriser refused it; admission answers 403 too, in a dying namespace."""

    def __str__(self) -> str:
        """Render for a failure's message."""
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.verb} {self.resource} {where} -> {self.code}"


def parse(event: dict[str, Any]) -> Request:
    """Read one ``audit.k8s.io/v1`` event."""
    reference = event.get("objectRef") or {}
    resource = str(reference.get("resource", event.get("requestURI", "")))
    subresource = reference.get("subresource")
    extra = event.get("user", {}).get("extra") or {}
    return Request(
        user=event.get("user", {}).get("username", ""),
        pod=next(iter(extra.get("authentication.kubernetes.io/pod-name", [])), ""),
        verb=event.get("verb", ""),
        group=reference.get("apiGroup", ""),
        resource=f"{resource}/{subresource}" if subresource else resource,
        namespace=reference.get("namespace", ""),
        name=reference.get("name", ""),
        code=(event.get("responseStatus") or {}).get("code", 0),
        forbidden=(event.get("annotations") or {}).get(DECISION) == "forbid",
    )


def requests_of(events: Iterable[dict[str, Any]], user: str) -> list[Request]:
    """Return the requests of one user."""
    return [found for found in map(parse, events) if found.user == user]


def writes(requests: Iterable[Request]) -> list[Request]:
    """Return what changes objects, the Lease and events apart."""
    return [
        request
        for request in requests
        if request.verb in WRITING_VERBS and request.resource not in BOOKKEEPING
    ]


def tally(requests: Iterable[Request]) -> dict[str, int]:
    """Count requests by verb and resource, the most frequent first."""
    return dict(Counter(f"{r.verb} {r.resource}" for r in requests).most_common())
