"""What a round is to read, and the evidence after it; pure. ``scrape`` does the reading between."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from llm_operator.api.analysis import Analysis
from llm_operator.judgement.evidence import (
    Evidence,
    GuardReading,
    GuardUnread,
    PodSample,
    Reading,
    Target,
    Unread,
    advanced,
    targets_of,
)
from llm_operator.judgement.limits import Case

GONE_MAX: Final = 100
"""Processes that are remembered although the last round did not read them."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to read for one resource."""

    revisions: tuple[str, ...]
    targets: tuple[Target, ...]
    since: datetime
    """When the window began: what ended before is forgotten."""
    interval: timedelta
    guards: Mapping[str, str] = field(default_factory=dict)
    """PromQL by the guard's name."""
    prometheus: str = ""
    """Address of the API that guards are asked at."""


@dataclass(frozen=True, slots=True)
class PodAnswer:
    """What came back from a pod: a reading, or the cause why there is none."""

    target: Target
    answer: Reading | str
    ready_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class GuardAnswer:
    """What came back for a guard: a number, or the cause why there is none."""

    guard: str
    answer: float | str


@dataclass(frozen=True, slots=True)
class Round:
    """All answers of one round."""

    at: datetime
    """In whole seconds."""
    pods: tuple[PodAnswer, ...] = ()
    guards: tuple[GuardAnswer, ...] = ()


def order_for(
    case: Case, since: datetime, analysis: Analysis, pods: Iterable[Mapping[str, Any]]
) -> Order:
    """Return what is to be read for a case whose window began at ``since``."""
    return Order(
        revisions=case.revisions,
        targets=targets_of(pods, case.revisions),
        since=since,
        interval=timedelta(seconds=analysis.interval_seconds),
        guards={guard.name: guard.query for guard in analysis.guards},
        prometheus=analysis.prometheus.address if analysis.prometheus is not None else "",
    )


def is_due(known: Evidence | None, order: Order, now: datetime) -> bool:
    """Whether a round is due: an interval is over, or what is asked is newer or is more.

    So it is, too, where the clock was set back.
    """
    if known is None or known.collected_at < order.since.replace(microsecond=0):
        return True
    if not set(order.revisions) <= set(known.revisions):
        return True
    age = now - known.collected_at
    return age >= order.interval or age < timedelta(0)


def merged(known: Evidence | None, order: Order, round_: Round) -> Evidence:
    """Return the evidence after a round."""
    known = known or Evidence(round_.at)
    fresh = _fresh(known, round_)
    unread = _unread(known, round_)
    boots = {sample.boot_id for sample in fresh}
    older = [sample for sample in known.samples if sample.boot_id not in boots]
    return Evidence(
        collected_at=round_.at,
        samples=(*fresh, *_remembered(older, order, {entry.pod for entry in unread})),
        unread=unread,
        guards=_guards(known, order, round_),
        guards_unread=_guards_unread(known, round_),
        revisions=order.revisions,
    )


def _fresh(known: Evidence, round_: Round) -> tuple[PodSample, ...]:
    before = {sample.boot_id: sample for sample in known.samples}
    return tuple(
        advanced(
            PodSample(pod.target.revision, pod.target.pod, round_.at, pod.ready_since, pod.answer),
            before.get(pod.answer.boot_id),
        )
        for pod in round_.pods
        if isinstance(pod.answer, Reading)
    )


def _remembered(
    older: Iterable[PodSample], order: Order, unread: set[str]
) -> tuple[PodSample, ...]:
    """Keep what a window may still need, and what a pod said that may answer again."""
    kept = [
        sample
        for sample in older
        if sample.revision in order.revisions
        and (sample.scraped_at >= order.since.replace(microsecond=0) or sample.pod in unread)
    ]
    return tuple(sorted(kept, key=lambda sample: sample.scraped_at, reverse=True)[:GONE_MAX])


def _unread(known: Evidence, round_: Round) -> tuple[Unread, ...]:
    since = {entry.pod: entry.since for entry in known.unread}
    return tuple(
        Unread(
            pod.target.revision,
            pod.target.pod,
            since.get(pod.target.pod, round_.at),
            pod.answer,
        )
        for pod in round_.pods
        if isinstance(pod.answer, str)
    )


def _guards(known: Evidence, order: Order, round_: Round) -> tuple[GuardReading, ...]:
    newest = {reading.guard: reading for reading in known.guards if reading.guard in order.guards}
    for guard in round_.guards:
        if not isinstance(guard.answer, str):
            newest[guard.guard] = GuardReading(guard.guard, guard.answer, round_.at)
    return tuple(newest.values())


def _guards_unread(known: Evidence, round_: Round) -> tuple[GuardUnread, ...]:
    since = {entry.guard: entry.since for entry in known.guards_unread}
    return tuple(
        GuardUnread(guard.guard, since.get(guard.guard, round_.at), guard.answer)
        for guard in round_.guards
        if isinstance(guard.answer, str)
    )
