"""The children of a resource: which should exist, which drifted, which are someone else's. Pure.

An object is the resource's own when it has a controller reference with the resource's UID. One
that the cache holds under a wanted name with another owner is waited for, since garbage collection
of a predecessor takes a moment, and is a conflict after ``FOREIGN_PATIENCE``. One that the cache
does not hold may still exist, without our label: it is asked for as a new object, and what stands
in its way comes back as a ``Refusal``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from llm_operator import kinds
from llm_operator.api.reasons import Reason
from llm_operator.conditions import parse_time
from llm_operator.desired.identity import controller_of
from llm_operator.desired.objects import (
    HotSpec,
    render_deployment,
    render_objects,
    render_service_account,
)
from llm_operator.desired.pod import knows_renderer, named_account
from llm_operator.desired.revision import (
    Revision,
    kept_revisions,
    parse_controller_revision,
    parse_snapshot,
    render_controller_revision,
)
from llm_operator.diagnosis import Finding
from llm_operator.drift import drifted
from llm_operator.observation import Environment, Observation, Refusal, revision_of
from llm_operator.ownership import foreign_fields
from llm_operator.plan import Apply, Delete
from llm_operator.rollout.state import Decision
from llm_operator.traffic import providers
from llm_operator.traffic.asked import Asked

FOREIGN_PATIENCE: Final = timedelta(seconds=60)
FOREIGN_POLL: Final = timedelta(seconds=5)
REFUSAL_RETRY: Final = timedelta(seconds=30)
"""A refused apply is tried again after so long, or when its manifest may have changed."""

_BY_NAME: Final = {kind.kind: kind for kind in kinds.APPLIED_KINDS}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the decision asks to exist."""

    hot: HotSpec
    decision: Decision
    asked: Asked
    """What is asked of the traffic."""
    target: str
    """Hash of the revision that the spec means."""
    revisions: tuple[Revision, ...]
    """All known ones, with their history."""
    total: int
    revision_history_limit: int


@dataclass(frozen=True, slots=True)
class ChildrenPlan:
    """What to write, and what stands in the way."""

    revisions: tuple[Apply, ...] = ()
    applies: tuple[Apply, ...] = ()
    deletes: tuple[Delete, ...] = ()
    conflicts: tuple[Finding, ...] = ()
    blocked: tuple[Finding, ...] = ()
    repairs: tuple[Apply, ...] = ()
    """Applies of objects that exist and differ from what is wanted."""
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Step:
    """What becomes of one wanted object."""

    apply: Apply | None = None
    conflict: Finding | None = None
    blocked: Finding | None = None
    wake_at: datetime | None = None


def known_revisions(observation: Observation) -> tuple[Revision, ...]:
    """Return the kept revisions; a lost one is rebuilt from its Deployment's snapshot."""
    kept = [parse_controller_revision(obj) for obj in observation.owned(kinds.CONTROLLER_REVISION)]
    snapshots = [parse_snapshot(obj) for obj in observation.owned(kinds.DEPLOYMENT)]
    by_hash = {r.hash: r for r in (*snapshots, *kept) if r is not None}
    return tuple(sorted(by_hash.values(), key=lambda r: (-r.number, r.hash)))


def plan_children(
    observation: Observation, wanted: Wanted, environment: Environment, now: datetime
) -> ChildrenPlan:
    """Compare what should exist with what does."""
    revisions = _wanted_revisions(observation, wanted)
    others = _wanted_objects(observation, wanted, environment)
    revision_steps = [_step(observation, manifest, now) for manifest in revisions]
    other_steps = [_step(observation, manifest, now) for manifest in others]
    steps = (*revision_steps, *other_steps)
    foreign = [step.conflict for step in steps if step.conflict]
    unknown = _unknown_renderers(wanted)
    return ChildrenPlan(
        revisions=tuple(step.apply for step in revision_steps if step.apply),
        applies=tuple(step.apply for step in other_steps if step.apply),
        deletes=_surplus(observation, (*revisions, *others)),
        conflicts=(*foreign, *_foreign_fields(observation)),
        blocked=(*(step.blocked for step in steps if step.blocked), *unknown),
        repairs=tuple(step.apply for step in steps if step.apply and step.apply.uid),
        wake_at=min((step.wake_at for step in steps if step.wake_at), default=None),
    )


def _wanted_revisions(observation: Observation, wanted: Wanted) -> list[dict[str, Any]]:
    decision = wanted.decision
    deployed = {revision_of(obj) for obj in observation.owned(kinds.DEPLOYMENT)}
    rollout = decision.rollout
    named = {wanted.target, decision.stable, rollout.target, rollout.previous}
    in_use = {hash_ for hash_ in (*named, *decision.sizes, *deployed) if hash_}
    kept = kept_revisions(wanted.revisions, in_use, wanted.revision_history_limit)
    return [render_controller_revision(observation.identity, revision) for revision in kept]


def _wanted_objects(
    observation: Observation, wanted: Wanted, environment: Environment
) -> list[Mapping[str, Any]]:
    """Return all objects but revisions: traffic first, then sizes, of which those that grow."""
    hot = wanted.hot
    if kinds.SERVICE_MONITOR not in environment.optional_kinds:
        hot = replace(hot, service_monitor=None)
    return [
        *providers.render(observation, environment, hot, wanted.asked),
        *_wanted_accounts(observation, wanted),
        *render_objects(observation.identity, hot, wanted.asked.hashes, wanted.total),
        *_wanted_deployments(observation, wanted),
    ]


def _wanted_accounts(observation: Observation, wanted: Wanted) -> list[dict[str, Any]]:
    """Return the pods' account, unless the spec names one that has its name and is the user's."""
    identity = observation.identity
    targets = (revision for revision in wanted.revisions if revision.hash == wanted.target)
    if identity.name in map(named_account, targets) and not observation.owned(
        kinds.SERVICE_ACCOUNT
    ):
        return []
    return [render_service_account(identity)]


def _wanted_deployments(observation: Observation, wanted: Wanted) -> list[dict[str, Any]]:
    sizes, identity = wanted.decision.sizes, observation.identity
    live = {
        revision_of(obj): int(obj.get("spec", {}).get("replicas", 1))
        for obj in observation.owned(kinds.DEPLOYMENT)
    }
    sized = [
        revision
        for revision in wanted.revisions
        if revision.hash in sizes and knows_renderer(revision.renderer)
    ]
    sized.sort(key=lambda revision: sizes[revision.hash] < live.get(revision.hash, 0))
    return [render_deployment(identity, revision, sizes[revision.hash]) for revision in sized]


def _unknown_renderers(wanted: Wanted) -> list[Finding]:
    return [
        Finding(
            Reason.UNKNOWN,
            f"Revision {revision.hash} was made by a newer operator (renderer {revision.renderer})",
        )
        for revision in wanted.revisions
        if revision.hash in wanted.decision.sizes and not knows_renderer(revision.renderer)
    ]


def _step(observation: Observation, manifest: Mapping[str, Any], now: datetime) -> _Step:
    kind, name = _BY_NAME[manifest["kind"]], manifest["metadata"]["name"]
    live = observation.children.get((kind, name))
    refusal = observation.refusal(kind, name)
    if live is not None and not observation.identity.owns(live):
        return _await_foreign(observation, kind, name, live, now)
    if refusal is not None and now < refusal.at + REFUSAL_RETRY:
        return replace(_refused(refusal), wake_at=refusal.at + REFUSAL_RETRY)
    if live is None:
        apply = Apply(kind, manifest, None, "missing")
    elif path := drifted(manifest, live):
        metadata = live["metadata"]
        apply = Apply(kind, manifest, metadata["uid"], path, metadata["resourceVersion"])
    else:
        return _Step()
    # What was refused stays so until it is accepted: a try in between is no news.
    return replace(_refused(refusal) if refusal else _Step(), apply=apply)


def _refused(refusal: Refusal) -> _Step:
    finding = Finding(refusal.reason, refusal.message)
    if refusal.reason is Reason.FOREIGN_OBJECT:
        return _Step(conflict=finding)
    return _Step(blocked=finding)


def _await_foreign(
    observation: Observation,
    kind: kinds.ResourceKind,
    name: str,
    live: Mapping[str, Any],
    now: datetime,
) -> _Step:
    since = parse_time(observation.resource["metadata"].get("creationTimestamp")) or now
    if now < since + FOREIGN_PATIENCE:
        return _Step(wake_at=now + FOREIGN_POLL)
    message = f'{kind.kind} "{name}" exists and is controlled by {controller_of(live)}'
    return _Step(conflict=Finding(Reason.FOREIGN_OBJECT, message), wake_at=now + FOREIGN_PATIENCE)


def _surplus(observation: Observation, wanted: Iterable[Mapping[str, Any]]) -> tuple[Delete, ...]:
    names = {(_BY_NAME[m["kind"]], m["metadata"]["name"]) for m in wanted}
    return tuple(
        Delete(kind, obj["metadata"]["name"], obj["metadata"]["uid"])
        for kind in kinds.PRUNED_KINDS
        for obj in observation.owned(kind)
        if (kind, obj["metadata"]["name"]) not in names
        and "deletionTimestamp" not in obj["metadata"]
    )


def _foreign_fields(observation: Observation) -> list[Finding]:
    return [
        Finding(
            Reason.FOREIGN_FIELD,
            f'Manager "{field.manager}" set {field.path} of'
            f' Deployment "{deployment["metadata"]["name"]}"',
        )
        for deployment in observation.owned(kinds.DEPLOYMENT)
        for field in foreign_fields(deployment, ("spec", "template"))
    ]
