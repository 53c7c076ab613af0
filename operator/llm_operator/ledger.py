"""The history of revisions: what each rollout came to, kept on the ControllerRevisions. Pure.

People read it (``kubectl llm history``). Only a rejection is ever read back, and only where the
status is lost. What the pods run is recorded beside a verdict and once: it takes no write of its
own, unless no pod was ready by then.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase
from llm_operator.conditions import format_time
from llm_operator.desired.revision import Record, Revision, RevisionVerdict, hub_revision
from llm_operator.judgement.evidence import Evidence as Readings
from llm_operator.observation import Observation, running_digests
from llm_operator.rollout.state import Decision, Rollout
from llm_server.contract import COMMIT

_AT_REST: Final = frozenset({RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK})

_LISTED_MAX: Final = 3
"""Digests of one revision that are recorded: more than one says that its tag moved."""


def write_history(
    revisions: tuple[Revision, ...],
    before: Rollout,
    stable_before: str | None,
    decision: Decision,
    now: datetime,
) -> tuple[Revision, ...]:
    """Return the revisions with the records that this pass began or closed."""
    return tuple(
        replace(revision, record=_record(revision, before, stable_before, decision, now))
        for revision in revisions
    )


def add_contents(revisions: tuple[Revision, ...], observation: Observation) -> tuple[Revision, ...]:
    """Return the revisions with what their ready pods run; what is recorded stays."""
    return tuple(
        replace(revision, record=_with_contents(revision, observation)) for revision in revisions
    )


def _with_contents(revision: Revision, observation: Observation) -> Record:
    record = revision.record
    if record.verdict is None:
        return record
    digests = running_digests(observation.pods, revision.hash)
    return replace(
        record,
        image_digest=record.image_digest or _listed(digests),
        model_commit=record.model_commit or _listed(_commits(revision, observation.readings)),
    )


def _commits(revision: Revision, readings: Readings | None) -> tuple[str, ...]:
    """Return the commit that the source names, or those that the pods said they had loaded."""
    named = hub_revision(revision)
    if COMMIT.fullmatch(named):
        return (named,)
    samples = readings.samples if readings is not None else ()
    own = (sample.reading for sample in samples if sample.revision == revision.hash)
    return tuple(reading.commit for reading in own if reading.commit)


def _listed(values: Iterable[str]) -> str:
    return ",".join(sorted(set(values))[:_LISTED_MAX])


def _record(
    revision: Revision,
    before: Rollout,
    stable_before: str | None,
    decision: Decision,
    now: datetime,
) -> Record:
    after, record = decision.rollout, revision.record
    is_target = revision.hash == after.target
    if is_target and after.started_at is not None and after.started_at != before.started_at:
        record = Record(started_at=format_time(after.started_at))
    verdict = _verdict(revision.hash, before, stable_before, decision)
    if verdict is None or verdict is record.verdict:
        return record
    reason = after.cause.value if verdict is RevisionVerdict.REJECTED and after.cause else ""
    return replace(record, verdict=verdict, reason=reason, ended_at=format_time(now))


def _verdict(
    hash_: str, before: Rollout, stable_before: str | None, decision: Decision
) -> RevisionVerdict | None:
    """Return what this pass decided about a revision, None for nothing."""
    after, stable = decision.rollout, decision.stable
    if hash_ in after.rejected:
        return RevisionVerdict.REJECTED
    if hash_ == stable and stable != stable_before:
        return RevisionVerdict.PROMOTED
    was_under_way = hash_ == before.target and before.phase not in _AT_REST
    if not was_under_way or hash_ == stable:
        return None
    if after.target != hash_ and after.phase not in _AT_REST:
        return RevisionVerdict.SUPERSEDED
    if after.phase not in _AT_REST:
        return None
    overtaken = any(note.reason is Reason.SUPERSEDED for note in decision.notes)
    return RevisionVerdict.SUPERSEDED if overtaken else RevisionVerdict.REVERTED
