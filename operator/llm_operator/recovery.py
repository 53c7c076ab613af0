"""What a pass goes on from: the status, and what stands in for the parts that are lost; pure."""

from dataclasses import replace

from llm_operator import children, kinds
from llm_operator import status as reporting
from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase
from llm_operator.desired.revision import Revision
from llm_operator.observation import Observation, count_pods
from llm_operator.rollout.state import Rollout
from llm_operator.status import Memory


def recover(observation: Observation) -> Memory:
    """Recall the status; where it is lost, the objects say what is stable and what was rejected."""
    memory = reporting.recall(observation.resource.get("status") or {})
    if not memory.is_lost:
        return _recover_stable(observation, memory)
    known = children.known_revisions(observation)
    return replace(
        memory, stable=_serving_hash(observation, known), rollout=_recover_rollout(known)
    )


def _recover_stable(observation: Observation, memory: Memory) -> Memory:
    """Put a pointer back that alone was lost; a first rollout has none, and serves its target."""
    if memory.stable is not None:
        return memory
    serving = _serving_hash(observation, children.known_revisions(observation))
    is_first = memory.rollout.phase is not RolloutPhase.STABLE
    if serving is None or (is_first and serving == memory.rollout.target):
        return memory
    return replace(memory, stable=serving)


def _recover_rollout(known: tuple[Revision, ...]) -> Rollout:
    """Return a rollout that ended as the records say; one under way begins anew."""
    rejected = tuple(revision.hash for revision in reversed(known) if revision.rejected)
    newest = known[0] if known else None
    if newest is None or not newest.rejected:
        return Rollout(rejected=rejected)
    reasons = {reason.value: reason for reason in Reason}
    return Rollout(
        phase=RolloutPhase.ROLLED_BACK,
        target=newest.hash,
        rejected=rejected,
        cause=reasons.get(newest.record.reason),
    )


def _serving_hash(observation: Observation, known: tuple[Revision, ...]) -> str | None:
    """Return the revision that the Service selects.

    While a Service selects every revision, the one with the lower number is stable: the other came
    later, to replace it.
    """
    service = observation.children.get((kinds.SERVICE, observation.identity.name), {})
    if service and observation.identity.owns(service):
        selected = service.get("spec", {}).get("selector", {}).get(kinds.REVISION_LABEL)
        if selected:
            return str(selected)
    numbers = {revision.hash: revision.number for revision in known}
    ready = count_pods(observation).ready
    return min(ready, key=lambda hash_: (numbers.get(hash_, 0), hash_), default=None)


def standing_revision(observation: Observation) -> Revision | None:
    """Return what a refused spec leaves in force: the last revision that was asked for."""
    return next(iter(children.known_revisions(observation)), None)
