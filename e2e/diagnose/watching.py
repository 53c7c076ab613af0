"""Follows what the statuses of resources say, several times a second, in a thread of its own."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from e2e.access import api_client
from e2e.story import Cluster, condition_of
from llm_operator import kinds
from llm_operator.api.explanations import placement, pods
from llm_operator.api.reasons import ConditionType, Reason

LOOK_SECONDS: Final = 0.25
CAUSES: Final = frozenset(map(Reason, {**pods.EXPLANATIONS, **placement.EXPLANATIONS})) - {
    Reason.PODS_NOT_READY,
    Reason.UNKNOWN,
}
"""Reasons that name a cause."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Told:
    """What a status gives as the cause, and since when."""

    at: float
    """On the monotonic clock."""
    reason: str
    message: str


@dataclass(slots=True)
class Watching:
    """What each resource's status told so far, changes only."""

    told: dict[Key, list[Told]] = field(default_factory=lambda: defaultdict(list))

    def of(self, key: Key, since: float) -> list[Told]:
        """Return what was told since a moment, with what stood then."""
        entries = list(self.told[key])
        later = [entry for entry in entries if entry.at >= since]
        earlier = [entry for entry in entries if entry.at < since]
        return [*(Told(since, e.reason, e.message) for e in earlier[-1:]), *later]

    def look(self, api: httpx.Client) -> None:
        """Note what is told now."""
        found = api.get(kinds.LLM_DEPLOYMENT.path()).json()["items"]
        now = time.monotonic()
        for resource in found:
            metadata = resource["metadata"]
            reason, message = primary_cause(resource.get("status", {}))
            entries = self.told[metadata["namespace"], metadata["name"]]
            if not entries or (entries[-1].reason, entries[-1].message) != (reason, message):
                entries.append(Told(now, reason, message))


def primary_cause(status: dict[str, Any]) -> tuple[str, str]:
    """Return the reason and message that a person reads first; empty while none is given."""
    shown = [
        found
        for type_, bad in (
            (ConditionType.STALLED, "True"),
            (ConditionType.READY, "False"),
            (ConditionType.PROGRESSING, "True"),
        )
        if (found := condition_of(status, type_)).status == bad
    ]
    given = [(c.reason, c.message) for c in shown]
    given += [(p["reason"], p.get("message", "")) for p in status.get("pods", [])]
    causes = [entry for entry in given if entry[0] in CAUSES]
    unknown = [entry for entry in given if entry[0] == Reason.UNKNOWN]
    return next(iter([*causes, *unknown]), ("", ""))


@contextmanager
def watching(cluster: Cluster) -> Iterator[Watching]:
    """Follow all resources of a cluster for as long as the block runs."""
    seen, ended = Watching(), threading.Event()

    def follow() -> None:
        with api_client(cluster.backend) as api:
            while not ended.wait(LOOK_SECONDS):
                seen.look(api)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield seen
    finally:
        ended.set()
        follower.join(timeout=30)
