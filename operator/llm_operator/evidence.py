"""Reads what the watched objects do not tell: events, claims and nodes of pods in trouble.

Called by the worker while it gathers. ``diagnosis.inquire`` says what is worth reading; where that
is nothing, nothing is read. Answers are kept for a while, longer each time that the same questions
come up, and all resources together read no more often than an allowance. Nothing here raises: what
cannot be read is left out, and the diagnosis says less.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from llm_operator import kinds
from llm_operator.cluster.cache import ResourceKey
from llm_operator.cluster.client import ClusterClient, Selection
from llm_operator.cluster.errors import ApiError, NotFound
from llm_operator.diagnosis import NOTHING, Evidence, Inquiry, inquire
from llm_operator.diagnosis.evidence import (
    Claim,
    Happening,
    Node,
    read_claim,
    read_event,
    read_node,
)

_LOG: Final = structlog.get_logger("llm_operator.evidence")

Object = Mapping[str, Any]

EVENT_LIMIT: Final = 50
"""Events per object; the kubelet joins repeated ones."""
NODE_LIMIT: Final = 50
READ_SECONDS: Final = 3.0
"""All reads for one resource; what has not come by then is left out."""
KEPT_SECONDS: Final = (5, 10, 20, 40, 60)
"""How long an answer is kept, the first time, the second…; the last one for ever after."""
SPACING_SECONDS: Final = 3
"""Between two reads for one resource, whatever changes in between."""
READS_PER_SECOND: Final = 5.0
BURST: Final = 20


@dataclass(slots=True)
class Allowance:
    """How many resources may be read about, all together; refills with time."""

    per_second: float = READS_PER_SECOND
    burst: float = BURST
    left: float = BURST
    counted_at: datetime | None = None

    def take(self, now: datetime) -> bool:
        """Take one read, if there is one."""
        if self.counted_at is not None:
            passed = max(0.0, (now - self.counted_at).total_seconds())
            self.left = min(self.burst, self.left + passed * self.per_second)
        self.counted_at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read for one resource."""

    inquiry: Inquiry
    evidence: Evidence
    read_at: datetime
    times: int
    """How often the same was asked before."""


@dataclass(slots=True)
class EvidenceReader:
    """Evidence by resource."""

    client: ClusterClient
    watched_namespace: str
    """Empty for all; in a single one the operator may not read nodes."""
    now: Callable[[], datetime]
    allowance: Allowance = field(default_factory=Allowance)
    known: dict[ResourceKey, _Known] = field(default_factory=dict)

    async def gather(
        self, key: ResourceKey, pods: Iterable[Object], deployments: Iterable[Object]
    ) -> Evidence:
        """Return what is known beyond the watched objects; empty where nothing needs asking."""
        now = self.now()
        inquiry = inquire(pods, deployments, now)
        if inquiry.is_empty:
            self.forget(key)
            return replace(NOTHING, look_again_at=inquiry.due_at)
        evidence = await self._answer(key, inquiry, now)
        times = (evidence.look_again_at, inquiry.due_at)
        return replace(evidence, look_again_at=min(time for time in times if time))

    def forget(self, key: ResourceKey) -> None:
        """Drop what is known of a resource that is gone or well."""
        self.known.pop(key, None)

    async def _answer(self, key: ResourceKey, inquiry: Inquiry, now: datetime) -> Evidence:
        """Return what is known, read anew if it is old or if something else is asked."""
        questions = replace(inquiry, due_at=None)
        known = self.known.get(key)
        same = known is not None and known.inquiry == questions
        wait_until = now
        if known is not None:
            kept = KEPT_SECONDS[min(known.times, len(KEPT_SECONDS) - 1)]
            wait_until = known.read_at + timedelta(seconds=kept if same else SPACING_SECONDS)
        if now < wait_until or not self.allowance.take(now):
            later = max(wait_until, now + timedelta(seconds=1))
            return replace(known.evidence if known else NOTHING, look_again_at=later)
        times = known.times + 1 if known and same else 0
        evidence = await self._read(key.namespace, inquiry)
        self.known[key] = _Known(questions, evidence, now, times)
        kept = KEPT_SECONDS[min(times, len(KEPT_SECONDS) - 1)]
        return replace(evidence, look_again_at=now + timedelta(seconds=kept))

    async def _read(self, namespace: str, inquiry: Inquiry) -> Evidence:
        reading = _Reading(self.client, namespace, reads_nodes=not self.watched_namespace)
        try:
            async with asyncio.timeout(READ_SECONDS):
                await reading.read(inquiry)
        except TimeoutError:
            _LOG.warning("Read only a part of the evidence in time", namespace=namespace)
        return Evidence(reading.events, reading.claims, reading.nodes)


@dataclass(slots=True)
class _Reading:
    """One round of reads; holds what has come so far."""

    client: ClusterClient
    namespace: str
    reads_nodes: bool
    events: dict[str, tuple[Happening, ...]] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)

    async def read(self, inquiry: Inquiry) -> None:
        """Read what is asked, the most telling first."""
        for uid in inquiry.pods:
            await self._attempt(self._read_events(uid))
        for name in inquiry.claims:
            await self._attempt(self._read_claim(name))
        if self.reads_nodes:
            for name in inquiry.nodes:
                await self._attempt(self._read_node(name))
            for labels in inquiry.surveys:
                await self._attempt(self._survey_nodes(labels))

    async def _attempt(self, reading: Coroutine[Any, Any, None]) -> None:
        """Do one reading; one that fails is left out."""
        try:
            await reading
        except ApiError as error:
            _LOG.info("Left out of the evidence", namespace=self.namespace, error=str(error))

    async def _read_events(self, uid: str) -> None:
        wanted = Selection(fields=f"regarding.uid={uid}", limit=EVENT_LIMIT)
        found = await self.client.sample(kinds.EVENT, self.namespace, wanted)
        happenings = enumerate(map(read_event, found))
        # Without a time, the order of the answer stands.
        ordered = sorted(happenings, key=lambda h: (h[1].at is not None, h[1].at or h[0], h[0]))
        self.events[uid] = tuple(happening for _, happening in ordered)

    async def _read_claim(self, name: str) -> None:
        try:
            obj = await self.client.get(kinds.VOLUME_CLAIM, self.namespace, name)
        except NotFound:
            self.claims[name] = read_claim(name, None)
            return
        claim = self.claims[name] = read_claim(name, obj)
        if claim.phase == "Pending":
            await self._read_events(claim.uid)

    async def _read_node(self, name: str) -> None:
        try:
            self.nodes[name] = read_node(name, await self.client.get(kinds.NODE, None, name))
        except NotFound:
            self.nodes[name] = read_node(name, None)

    async def _survey_nodes(self, labels: str) -> None:
        wanted = Selection(labels=labels, limit=NODE_LIMIT)
        for obj in await self.client.sample(kinds.NODE, None, wanted):
            name = str(obj.get("metadata", {}).get("name", ""))
            self.nodes[name] = read_node(name, obj)
