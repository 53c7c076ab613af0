"""The workers: take a key, gather, decide, persist, act. The only caller of the cluster's writes.

Every write goes through here, in the plan's order: revisions, then the status that names them
(guarded by its resourceVersion), then children, then removals, then events. A status that decides
nothing comes after the children. Answers are fed back
into the cache, so that the next pass reads its own writes. An apply that is refused is remembered
and becomes part of the next observation; anything else that fails ends the pass and is retried
with back-off.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from llm_operator import kinds
from llm_operator.api.reasons import Reason
from llm_operator.cluster.cache import Cache, ResourceKey
from llm_operator.cluster.client import ClusterClient, Object, Selection
from llm_operator.cluster.errors import (
    ApiError,
    ClusterUnavailable,
    Conflict,
    Forbidden,
    Invalid,
    NamespaceTerminating,
    NameTaken,
    NotLeader,
)
from llm_operator.desired.identity import controller_of
from llm_operator.diagnosis import refusal_reason
from llm_operator.events import render_event
from llm_operator.gathering import Address, Gatherer
from llm_operator.observation import Environment, Observation, Refusal
from llm_operator.plan import Apply, Delete, EventDraft, Plan
from llm_operator.queue import Lane, QueueClosed, WorkQueue
from llm_operator.reconcile import reconcile
from llm_operator.telemetry import Telemetry

_LOG: Final = structlog.get_logger("llm_operator.reconcile")


CONFLICT_SECONDS: Final = 5.0
"""After a deletion met a conflict, the resource is looked at again within this time."""

Attempt = tuple[str, Mapping[str, Any]]
"""The resourceVersion that was applied to, and what was applied."""


def utc_now() -> datetime:
    """Read the clock, at the edge."""
    return datetime.now(UTC)  # noqa: TID251 - the one edge that reads the clock


@dataclass(slots=True)
class Worker:
    """Reconciles keys from the queue, one at a time per key, while this process leads."""

    cache: Cache
    client: ClusterClient
    queue: WorkQueue[ResourceKey]
    telemetry: Telemetry
    gatherer: Gatherer
    environment: Callable[[], Environment]
    identity: str
    """Name of this process, as events report it."""
    now: Callable[[], datetime] = utc_now
    futile: dict[ResourceKey, dict[Address, Attempt]] = field(default_factory=dict)

    async def run(self) -> None:
        """Serve the queue until cancelled; a key in hand is finished first."""
        while True:
            try:
                key = await self.queue.get()
            except QueueClosed:
                return
            try:
                await asyncio.shield(self._serve(key))
            finally:
                self.queue.done(key)

    async def _serve(self, key: ResourceKey) -> None:
        """Reconcile one key; the one place that turns any failure into a retry."""
        started = time.monotonic()
        log = _LOG.bind(namespace=key.namespace, name=key.name)
        try:
            plan = await self._reconcile(key)
        except NotLeader:
            self.queue.add(key, Lane.EDIT)
            await asyncio.sleep(1)
            return
        except ApiError as error:
            self._retry(key, error)
            log.warning("Postponed reconcile", error=str(error), kind=type(error).__name__)
            result = type(error).__name__
        except Exception:  # a bug must not end the worker; it is logged, counted and retried
            self.queue.retry(key)
            log.exception("Failed to reconcile")
            result = "Bug"
        else:
            self.queue.forget(key)
            result = "Success"
            if plan is not None:
                log.info("Reconciled", **_summary(plan), seconds=_since(started))
        self.telemetry.reconciled(result, time.monotonic() - started)

    def _retry(self, key: ResourceKey, error: ApiError) -> None:
        """Queue the key again with back-off, and no earlier than a busy server asks for.

        A lost race too: the cache is behind, and its news has to come in first.
        """
        told = error.retry_after_seconds if isinstance(error, ClusterUnavailable) else None
        self.queue.retry(key, told or 0)

    async def _reconcile(self, key: ResourceKey) -> Plan | None:
        observation = await self.gatherer.gather(key)
        if observation is None:
            self.futile.pop(key, None)
            self.gatherer.forget(key)
            self.telemetry.forget(key.namespace, key.name)
            return None
        plan = reconcile(observation, self.environment(), self.now())
        await self._perform(key, observation, plan)
        if not plan.is_rolling:
            self.gatherer.end_rollout(key)
        self.telemetry.phase(key.namespace, key.name, plan.phase)
        if plan.wake_at is not None:
            self.queue.add_after(key, max(0.0, (plan.wake_at - self.now()).total_seconds()))
        return plan

    async def _perform(self, key: ResourceKey, observation: Observation, plan: Plan) -> None:
        resource = observation.resource
        for apply in plan.revisions:
            await self._apply(key, observation, apply)
        if plan.decides:
            await self._write_status(resource, plan)
        for apply in plan.applies:
            await self._apply(key, observation, apply)
        for delete in plan.deletes:
            await self._delete(key, delete)
        if not plan.decides:
            await self._write_status(resource, plan)
        for draft in plan.events:
            await self._post_event(resource, draft)

    async def _write_status(self, resource: Mapping[str, Any], plan: Plan) -> None:
        if plan.status is None:
            return
        answer = await self.client.patch_status(
            kinds.LLM_DEPLOYMENT, {**resource, "status": plan.status}
        )
        self.cache.put(kinds.LLM_DEPLOYMENT, answer)

    async def _apply(self, key: ResourceKey, observation: Observation, apply: Apply) -> None:
        """Apply one child; a refusal is remembered, and the rest goes on."""
        if self.futile.get(key, {}).get((apply.kind, apply.name)) == _attempt(apply):
            return
        try:
            live = await self._made_so(observation, apply)
        except NamespaceTerminating:
            return  # everything in it goes, the resource too
        except (NameTaken, Invalid, Forbidden) as error:
            self._remember(key, observation.resource, apply, error)
            return
        self.gatherer.accept(key, (apply.kind, apply.name))
        self._notice_futility(key, apply, live)
        self.cache.put(apply.kind, live)

    async def _made_so(self, observation: Observation, apply: Apply) -> Object:
        """Apply to the known object, or make one that the cache does not hold.

        Where that exists nevertheless, it is a child of ours that the cache does not know yet or
        that has lost its label, or it is somebody else's.

        Raises:
            NameTaken: it is somebody else's; nothing of it was touched.
        """
        if apply.uid is not None:
            return await self.client.apply(apply.kind, apply.manifest, apply.uid)
        try:
            return await self.client.apply_new(apply.kind, apply.manifest)
        except NameTaken as taken:
            wanted = Selection(1, fields=f"metadata.name={apply.name}")
            namespace = observation.identity.namespace
            found = await self.client.sample(apply.kind, namespace, wanted)
            if not found:  # gone again, or another thing was in the way
                raise Conflict(taken.message, taken.status) from taken
            [live] = found
            if not observation.identity.owns(live):
                raise NameTaken(f"it exists and is controlled by {controller_of(live)}") from taken
        return await self.client.apply(apply.kind, apply.manifest, live["metadata"]["uid"])

    def _notice_futility(self, key: ResourceKey, apply: Apply, answer: Mapping[str, Any]) -> None:
        """Remember an apply that changed nothing: something undoes it before it is stored.

        It is not repeated until the object or the manifest changes, or it would be for ever.
        """
        futile = self.futile.setdefault(key, {})
        futile.pop((apply.kind, apply.name), None)
        if apply.live_version == answer["metadata"]["resourceVersion"]:
            futile[apply.kind, apply.name] = _attempt(apply)
            _LOG.warning(
                "An apply changed nothing: a webhook or a default undoes it",
                namespace=key.namespace,
                object=f"{apply.kind.kind}/{apply.name}",
                path=apply.cause,
            )

    def _remember(
        self, key: ResourceKey, resource: Mapping[str, Any], apply: Apply, error: ApiError
    ) -> None:
        refusal = Refusal(
            apply.kind,
            apply.name,
            _refusal_reason(error),
            f'{apply.kind.kind} "{apply.name}": {error}',
            self.now(),
            resource["metadata"].get("generation"),
        )
        self.gatherer.remember(key, refusal)
        self.queue.add(key, Lane.EDIT)

    async def _delete(self, key: ResourceKey, delete: Delete) -> None:
        try:
            await self.client.delete(delete.kind, key.namespace, delete.name, delete.uid)
        except Conflict:
            # Most likely another object already, of which the watch brings the news.
            self.queue.add_after(key, CONFLICT_SECONDS)

    async def _post_event(self, resource: Mapping[str, Any], draft: EventDraft) -> None:
        """Post an event; losing one is no reason to fail a pass."""
        try:
            namespace = resource["metadata"]["namespace"]
            event = render_event(resource, draft, self.identity, self.now())
            await self.client.create_event(namespace, event)
        except ApiError as error:
            _LOG.warning("Lost an event", reason=draft.reason.value, error=str(error))


def _attempt(apply: Apply) -> Attempt:
    return apply.live_version, apply.manifest


def _refusal_reason(error: ApiError) -> Reason:
    match error:
        case Conflict():
            return Reason.FOREIGN_OBJECT
        case Forbidden() if "cannot" not in error.message:  # the words of a missing role
            return refusal_reason(error.message)
        case Forbidden():
            return Reason.UNKNOWN
        case _:
            return Reason.SPEC_INVALID


def _summary(plan: Plan) -> dict[str, Any]:
    return {
        "decided": plan.decided,
        "phase": plan.phase,
        "status_written": plan.status is not None,
        "applied": [f"{a.kind.kind}/{a.name}: {a.cause}" for a in (*plan.revisions, *plan.applies)],
        "deleted": [f"{d.kind.kind}/{d.name}" for d in plan.deletes],
        "events": [draft.reason.value for draft in plan.events],
    }


def _since(started: float) -> float:
    return round(time.monotonic() - started, 4)
