"""One pass over one resource: from an observation to a plan. Pure: no clock, client or logger.

Gather (the worker) → decide (here) → persist the status → act. A crash between any two writes is
answered by the next pass, which sees what was done and plans the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from llm_operator import ask as asking
from llm_operator import children, kinds, recovery
from llm_operator import status as reporting
from llm_operator.api.reasons import ConditionType, Reason
from llm_operator.api.resource import LLMDeployment, SpecInvalid
from llm_operator.conditions import Verdict, changed_verdicts, merge_conditions
from llm_operator.desired.revision import Revision, choose_target, renumber
from llm_operator.diagnosis import Finding, diagnose_pods, is_finished, is_terminating
from llm_operator.observation import (
    Environment,
    Observation,
    observe_world,
    revision_of,
)
from llm_operator.plan import EventDraft, Plan
from llm_operator.rollout.machine import advance
from llm_operator.rollout.state import Decision, Intent, Outcome, World
from llm_operator.rollout.total import Total, decide_total
from llm_operator.status import Memory, Situation
from llm_server import contract


def reconcile(observation: Observation, environment: Environment, now: datetime) -> Plan:
    """Decide what the resource needs next."""
    memory = recovery.recover(observation)
    try:
        resource = LLMDeployment.parse(observation.resource)
    except SpecInvalid as error:
        return _refuse(observation, memory, (Finding(Reason.SPEC_INVALID, str(error)),), now)
    ask, wrong = asking.read_ask(resource), asking.wrong_in(resource)
    if wrong:
        standing = recovery.standing_revision(observation, memory)
        if standing is None:
            return _refuse(observation, memory, wrong, now)
        ask = replace(ask, revisioned=standing.spec)
    return _carry_out(_Request(observation, environment, memory, now), ask, wrong)


@dataclass(frozen=True, slots=True)
class _Request:
    """What a pass is given."""

    observation: Observation
    environment: Environment
    memory: Memory
    now: datetime


@dataclass(frozen=True, slots=True)
class _Pass:
    """What a pass has decided so far."""

    observation: Observation
    memory: Memory
    world: World
    revisions: tuple[Revision, ...]
    """All known revisions, the target among them."""
    target: Revision
    decision: Decision
    total: Total


def _carry_out(request: _Request, ask: asking.Ask, refused: tuple[Finding, ...]) -> Plan:
    """Plan what the ask needs; ``refused`` says what of the spec is not carried out."""
    observation, memory, now = request.observation, request.memory, request.now
    environment = request.environment
    known, world = children.known_revisions(observation), observe_world(observation)
    default = (environment.renderer, environment.default_image)
    target = choose_target(ask.revisioned, known, memory.stable, default)
    target = renumber(target, known, memory.rollout.target)
    total = decide_total(
        ask.asked, memory.desired_replicas, memory.floor, rolling=_holds_total(memory, now), now=now
    )
    intent = Intent(target.hash, total.value, ask.strategy, ask.progress_deadline)
    decision = advance(memory.rollout, memory.stable, intent, world, now)
    revisions = (target, *(r for r in known if r.hash != target.hash))
    state = _Pass(observation, memory, world, revisions, target, decision, total)
    wanted = children.plan_children(
        observation,
        children.Wanted(ask.hot, decision, revisions, total.value, ask.revision_history_limit),
        environment,
        now,
    )
    wanted = replace(wanted, blocked=(*refused, *wanted.blocked))
    return _report(state, ask, wanted, environment, now)


def _holds_total(memory: Memory, now: datetime) -> bool:
    """Whether a change of revision keeps the total from falling.

    The first revision changes nothing, and one that is overdue may never end: both may be smaller
    than was asked for at first, if that is all that the cluster has room for.
    """
    rollout = memory.rollout
    if rollout.phase is None or memory.stable is None:
        return False
    return rollout.deadline_at is None or now < rollout.deadline_at


def _report(
    state: _Pass,
    ask: asking.Ask,
    wanted: children.ChildrenPlan,
    environment: Environment,
    now: datetime,
) -> Plan:
    notes = asking.notes_on(ask.revisioned)
    monitors_known = kinds.SERVICE_MONITOR in environment.optional_kinds
    if ask.hot.service_monitor is not None and not monitors_known:
        notes = (*notes, Reason.SERVICE_MONITOR_MISSING.meaning.rstrip("."))
    situation = _situation(state, wanted, notes)
    verdicts = reporting.judge(situation)
    status = _status(state, situation, verdicts, ask, now)
    before = state.observation.resource.get("status") or {}
    wakes = (state.total.wake_at, state.decision.wake_at, wanted.wake_at)
    return Plan(
        status=None if status == before else status,
        decides=reporting.recall(status) != reporting.recall(before),
        revisions=wanted.revisions,
        applies=wanted.applies,
        deletes=wanted.deletes,
        events=_events(state, before, verdicts, wanted),
        wake_at=min((wake for wake in wakes if wake), default=None),
        phase=status["phase"],
        decided=state.decision.outcome.value,
    )


def _situation(state: _Pass, wanted: children.ChildrenPlan, notes: tuple[str, ...]) -> Situation:
    observation, decision = state.observation, state.decision
    concerned = {decision.stable, decision.rollout.target}
    pods = [pod for pod in observation.pods if revision_of(pod) in concerned]
    deployments = [d for d in observation.owned(kinds.DEPLOYMENT) if revision_of(d) in concerned]
    findings = diagnose_pods([pod for pod in pods if not is_finished(pod)], deployments)
    return Situation(
        decision=decision,
        total=state.total.value,
        ready=state.world.ready.get(decision.selected, 0),
        findings=() if state.total.value == 0 else findings,
        blocked=wanted.blocked,
        conflicts=wanted.conflicts,
        stalled_message=_message_of(observation, ConditionType.STALLED),
        notes=notes,
    )


def _message_of(observation: Observation, type_: ConditionType) -> str:
    conditions = (observation.resource.get("status") or {}).get("conditions") or ()
    return next((str(c.get("message", "")) for c in conditions if c.get("type") == type_), "")


def _status(
    state: _Pass,
    situation: Situation,
    verdicts: tuple[Verdict, ...],
    ask: asking.Ask,
    now: datetime,
) -> dict[str, Any]:
    identity, decision = state.observation.identity, state.decision
    serving = next((r for r in state.revisions if r.hash == decision.selected), state.target)
    status = {
        **_judged(state.observation.resource, situation, verdicts, now),
        "replicas": _serving_pods(state.observation, decision.selected),
        "desiredReplicas": state.total.value,
        "readyReplicas": situation.ready,
        "selector": identity.serving_selector(decision.selected),
        "endpoint": _endpoint(identity.name, identity.namespace, ask.hot.service["port"]),
        "stableRevision": decision.stable,
        "replicasFloor": reporting.floor_json(state.total.floor),
        "model": _model(identity.name, serving),
        "pods": reporting.pods_json(situation.findings),
        "rollout": reporting.rollout_json(decision.rollout),
    }
    return {key: value for key, value in status.items() if value not in (None, [], {})}


def _judged(
    resource: Mapping[str, Any],
    situation: Situation,
    verdicts: tuple[Verdict, ...],
    now: datetime,
) -> dict[str, Any]:
    """Return the part of a status that says how things are with this generation."""
    generation = int(resource["metadata"].get("generation", 0))
    before = (resource.get("status") or {}).get("conditions") or ()
    return {
        "observedGeneration": generation,
        "phase": reporting.summary_phase(situation, verdicts).value,
        "conditions": merge_conditions(before, verdicts, generation=generation, now=now),
    }


def _serving_pods(observation: Observation, selected: str) -> int:
    return sum(
        revision_of(pod) == selected and not is_terminating(pod) and not is_finished(pod)
        for pod in observation.pods
    )


def _endpoint(name: str, namespace: str, port: int) -> str:
    suffix = "" if port == 80 else f":{port}"
    return f"http://{name}.{namespace}.svc{suffix}/v1"


def _model(name: str, serving: Revision) -> dict[str, Any]:
    model = serving.spec.get("model", {})
    source = str(model.get("source", ""))
    match = contract.SOURCE_PATTERNS["hf"].fullmatch(source)
    revision = {"revision": match["revision"] or "main"} if match else {}
    return {
        "source": source,
        **revision,
        "servedName": model.get("servedName", name),
        "simulated": source == f"builtin://{contract.BUILTIN_SIMULATED}",
    }


def _events(
    state: _Pass,
    before: Mapping[str, Any],
    verdicts: tuple[Verdict, ...],
    wanted: children.ChildrenPlan,
) -> tuple[EventDraft, ...]:
    events = _transitions(before, verdicts, "Reconcile")
    stable, was = state.decision.stable, state.memory.stable
    if stable != was and stable is not None:
        message = f"The Service selects revision {stable}" + (f" instead of {was}" if was else "")
        events.append(EventDraft(Reason.TRAFFIC_MOVED, message, "MoveTraffic"))
    if state.total.floor is not None and state.memory.floor is None:
        message = f"Keeping {state.total.value} pods although the manifest lowered replicas"
        events.append(EventDraft(Reason.REPLICAS_HELD, message, "Scale"))
    same_spec = before.get("observedGeneration") == state.observation.resource["metadata"].get(
        "generation"
    )
    if same_spec and state.decision.rollout == state.memory.rollout:
        events += [EventDraft(Reason.REPAIRED, text, "Repair") for text in wanted.repairs]
    return tuple(events)


def _transitions(
    before: Mapping[str, Any], verdicts: tuple[Verdict, ...], action: str
) -> list[EventDraft]:
    return [
        EventDraft(verdict.reason, verdict.message, action)
        for verdict in changed_verdicts(before.get("conditions") or (), verdicts)
    ]


def _refuse(
    observation: Observation, memory: Memory, wrong: tuple[Finding, ...], now: datetime
) -> Plan:
    """Change nothing but the status, which names what is wrong and what is allowed."""
    resource = observation.resource
    before = resource.get("status") or {}
    decision = Decision(memory.rollout, memory.stable, {}, Outcome.IDLE)
    total = memory.desired_replicas if memory.stable else 1
    ready = observe_world(observation).ready.get(memory.stable, 0) if memory.stable else 0
    situation = Situation(decision, total or 0, ready, blocked=wrong)
    verdicts = reporting.judge(situation)
    status = {
        **before,
        **_judged(resource, situation, verdicts, now),
        "replicas": _serving_pods(observation, memory.stable or ""),
        "readyReplicas": ready,
    }
    if memory.stable is not None:
        status["stableRevision"] = memory.stable
    return Plan(
        status=None if status == before else status,
        events=tuple(_transitions(before, verdicts, "Validate")),
        phase=status["phase"],
        decided=wrong[0].reason.value,
    )
