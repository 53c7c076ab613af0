"""What a pass goes on from: the status, and what stands in for the parts that are lost; pure."""

from dataclasses import replace

from llm_operator import children, kinds
from llm_operator import status as reporting
from llm_operator.desired.revision import Revision
from llm_operator.observation import Observation, observe_world
from llm_operator.status import Memory


def recover(observation: Observation) -> Memory:
    """Recall the status; where it is lost, the Service's selector says what is stable."""
    memory = reporting.recall(observation.resource.get("status") or {})
    if not memory.is_lost:
        return _recover_stable(observation, memory)
    newest_last = reversed(children.known_revisions(observation))
    rejected = [revision.hash for revision in newest_last if revision.rejected]
    target = rejected[-1] if rejected else None
    rollout = replace(memory.rollout, target=target, rejected=tuple(rejected))
    return replace(memory, stable=_serving_hash(observation), rollout=rollout)


def _recover_stable(observation: Observation, memory: Memory) -> Memory:
    """Put a pointer back that alone was lost; a first rollout has none, and serves its target."""
    serving = _serving_hash(observation) if memory.stable is None else None
    first_target = memory.rollout.target if memory.rollout.phase else None
    if serving is None or serving == first_target:
        return memory
    return replace(memory, stable=serving)


def _serving_hash(observation: Observation) -> str | None:
    selected = [
        service.get("spec", {}).get("selector", {}).get(kinds.REVISION_LABEL)
        for service in observation.owned(kinds.SERVICE)
    ]
    if selected and selected[0]:
        return str(selected[0])
    ready = observe_world(observation).ready
    return max(ready, key=lambda hash_: ready[hash_], default=None)


def standing_revision(observation: Observation, memory: Memory) -> Revision | None:
    """Return what a refused spec leaves in force: the last revision that was asked for."""
    known = {revision.hash: revision for revision in children.known_revisions(observation)}
    return known.get(memory.rollout.target or "") or known.get(memory.stable or "")
