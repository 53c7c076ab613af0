"""What was read of the pods and of Prometheus; frozen. Made by ``scrape``, read by ``judge``.

Times are of the operator's clock, and in whole seconds where they are compared with persisted ones.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from llm_operator import diagnosis, kinds
from llm_operator.judgement.counters import Bounds, Counters

PODS_MAX: Final = 50
"""Pods of one revision that are read; more would say the same, and cost a round its time."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The bounds of a server's histograms, in seconds."""

    first_token: Bounds = ()
    inter_token: Bounds = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What one exposition says of its process."""

    boot_id: str
    """Of this process and no other: its counters began at 0."""
    ready_seconds: float | None
    """How long it has been in service; None when it does not say."""
    counters: Counters
    shape: Shape
    engine_steps: int
    generation_tokens: int
    running: int
    waiting: int
    commit: str = ""
    """Of the model that it has loaded, where it comes from a hub."""

    @property
    def progress(self) -> tuple[int, int]:
        """What moves as long as the engine gets further."""
        return self.engine_steps, self.generation_tokens

    @property
    def has_work(self) -> bool:
        """Whether there are requests that it could work on."""
        return self.running + self.waiting > 0


@dataclass(frozen=True, slots=True)
class PodSample:
    """The newest reading of one process, which may be gone by now."""

    revision: str
    pod: str
    scraped_at: datetime
    """When the round was that brought it."""
    ready_since: datetime | None
    reading: Reading
    stalled_since: datetime | None = None
    """Since when it has had work and not got any further; None while it gets further."""

    @property
    def boot_id(self) -> str:
        """The process that was read."""
        return self.reading.boot_id

    @property
    def stalled_for(self) -> timedelta:
        """How long it had been stalled when it was read last."""
        return self.scraped_at - (self.stalled_since or self.scraped_at)


@dataclass(frozen=True, slots=True)
class Target:
    """A ready pod, to be read."""

    revision: str
    pod: str
    address: str
    """IPv4 or IPv6."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A pod that the last round could not read."""

    revision: str
    pod: str
    since: datetime
    """The first of the rounds in a row that could not."""
    cause: str


@dataclass(frozen=True, slots=True)
class GuardReading:
    """The newest answer to a guard's query."""

    guard: str
    value: float
    read_at: datetime


@dataclass(frozen=True, slots=True)
class GuardUnread:
    """A guard whose query the last round got no number for."""

    guard: str
    since: datetime
    cause: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known after a round of readings."""

    collected_at: datetime
    """When the last round was; the next is due an interval later."""
    samples: tuple[PodSample, ...] = ()
    """One per process; of processes that are gone, what was read last."""
    unread: tuple[Unread, ...] = ()
    guards: tuple[GuardReading, ...] = ()
    guards_unread: tuple[GuardUnread, ...] = ()
    revisions: tuple[str, ...] = ()
    """Those that the last round was to read."""

    def live(self, revision: str) -> tuple[PodSample, ...]:
        """Return the samples of a revision that the last round brought."""
        return tuple(
            sample
            for sample in self.samples
            if sample.revision == revision and sample.scraped_at == self.collected_at
        )


def advanced(sample: PodSample, before: PodSample | None) -> PodSample:
    """Complete a sample by the one before it of the same process."""
    if before is None or not _stands_still(before.reading, sample.reading):
        return sample
    return replace(sample, stalled_since=before.stalled_since or before.scraped_at)


def _stands_still(before: Reading, reading: Reading) -> bool:
    return before.has_work and reading.has_work and before.progress == reading.progress


def targets_of(pods: Iterable[Mapping[str, Any]], revisions: Iterable[str]) -> tuple[Target, ...]:
    """Return the ready pods of these revisions, at most ``PODS_MAX`` of each, by name."""
    found: list[Target] = []
    candidates = sorted(filter(_can_be_read, pods), key=lambda pod: str(pod["metadata"]["name"]))
    for revision in revisions:
        own = [pod for pod in candidates if _revision(pod) == revision]
        found += [
            Target(revision, pod["metadata"]["name"], pod["status"]["podIP"])
            for pod in own[:PODS_MAX]
        ]
    return tuple(found)


def _can_be_read(pod: Mapping[str, Any]) -> bool:
    ready = diagnosis.is_ready(pod) and not diagnosis.is_terminating(pod)
    return ready and bool(pod.get("status", {}).get("podIP"))


def _revision(pod: Mapping[str, Any]) -> str:
    return str(pod.get("metadata", {}).get("labels", {}).get(kinds.REVISION_LABEL, ""))
