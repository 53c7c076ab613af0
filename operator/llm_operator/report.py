"""From what a pass decided to its plan: the status, the events, and when to look again; pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from llm_operator import ask as asking
from llm_operator import judging, kinds
from llm_operator import status as reporting
from llm_operator.api.reasons import Reason
from llm_operator.api.status import MODEL_REVISION_LIMIT, shorten
from llm_operator.conditions import Verdict, changed_verdicts, merge_conditions
from llm_operator.course import Course, Given
from llm_operator.desired.revision import Revision, hub_revision
from llm_operator.diagnosis import Finding, is_finished, is_terminating
from llm_operator.observation import Observation, count_pods, revision_of
from llm_operator.plan import Apply, EventDraft, Plan
from llm_operator.rollout.position import AT_REST
from llm_operator.rollout.sizes import steps_of
from llm_operator.rollout.state import Decision
from llm_operator.status import Progress, Situation
from llm_operator.traffic import providers
from llm_server import contract

_ACTIONS: Final[Mapping[Reason, str]] = {
    Reason.COMMAND_EXECUTED: "Command",
    Reason.COMMAND_INVALID: "Command",
    Reason.STALE_COMMAND: "Command",
}
"""What the operator was doing when it made a note; everything else is part of a rollout."""


def report(course: Course) -> Plan:
    """Return the plan of a pass."""
    situation = _situation(course)
    verdicts = reporting.judge(situation)
    status = _status(course, situation, verdicts)
    before = course.given.observation.resource.get("status") or {}
    return Plan(
        status=None if status == before else status,
        decides=status != before and reporting.recall(status) != reporting.recall(before),
        revisions=course.wanted.revisions,
        applies=course.wanted.applies,
        deletes=course.wanted.deletes,
        events=_events(course, before, verdicts),
        wake_at=min((wake for wake in _wakes(course) if wake), default=None),
        is_rolling=course.decision.rollout.phase not in AT_REST,
        phase=status["phase"],
        decided=course.decision.rollout.phase.value,
    )


def refuse(given: Given, wrong: tuple[Finding, ...]) -> Plan:
    """Change nothing but the status, which names what is wrong and what is allowed."""
    resource, memory = given.observation.resource, given.memory
    before = resource.get("status") or {}
    decision = Decision(memory.rollout, memory.stable, {})
    total = (memory.desired_replicas or 0) if memory.stable else 1
    ready = count_pods(given.observation).ready.get(memory.stable, 0) if memory.stable else 0
    situation = Situation(decision, total, ready, blocked=wrong)
    verdicts = reporting.judge(situation)
    stable = {"stableRevision": memory.stable} if memory.stable else {}
    counts = {
        "replicas": _count_staying(given.observation, (memory.stable or "",)),
        "readyReplicas": ready,
    }
    status = before | _judged(resource, situation, verdicts, given.now) | counts | stable
    return Plan(
        status=None if status == before else status,
        events=tuple(_transitions(before, verdicts, "Validate")),
        phase=status["phase"],
        decided=wrong[0].reason.value,
    )


def _wakes(course: Course) -> tuple[datetime | None, ...]:
    """Return the moments at which something is due although nothing happens before."""
    observation, now = course.given.observation, course.given.now
    return (
        course.view.total.wake_at,
        course.decision.wake_at,
        course.wanted.wake_at,
        observation.evidence.look_again_at,
        judging.next_reading(observation, course.opinion.window, course.ask.analysis, now),
    )


def _situation(course: Course) -> Situation:
    decision, ready = course.decision, course.view.world.ready
    return Situation(
        decision=decision,
        total=course.replicas,
        ready=sum(ready.get(hash_, 0) for hash_ in course.asked.hashes),
        progress=_progress(course),
        findings=() if course.replicas == 0 else course.view.findings,
        blocked=course.wanted.blocked,
        conflicts=course.wanted.conflicts,
        notes=_notes(course),
    )


def _progress(course: Course) -> Progress:
    decision, opinion = course.decision, course.opinion
    frozen = decision.rollout.frozen
    if decision.rollout.phase in AT_REST or frozen is None:
        return Progress()
    return Progress(
        steps=len(steps_of(course.ask.policy, frozen, course.replicas)),
        effective_weight_percent=reporting.effective_weight_percent(decision, course.view.world),
        judgement=opinion.shown,
        window=opinion.window,
        restarts=opinion.restarts,
    )


def _notes(course: Course) -> tuple[str, ...]:
    notes = asking.notes_on(course.ask.revisioned)
    monitors_known = kinds.SERVICE_MONITOR in course.given.environment.optional_kinds
    if course.ask.hot.service_monitor is not None and not monitors_known:
        notes = (*notes, Reason.SERVICE_MONITOR_MISSING.meaning.rstrip("."))
    given = course.given
    objection = providers.objection(given.observation, given.environment, course.asked)
    return (*notes, objection) if objection else notes


def _status(course: Course, situation: Situation, verdicts: tuple[Verdict, ...]) -> dict[str, Any]:
    observation, hashes = course.given.observation, course.asked.hashes
    identity = observation.identity
    status = {
        **_judged(observation.resource, situation, verdicts, course.given.now),
        "replicas": _count_staying(observation, hashes),
        "desiredReplicas": course.replicas,
        "readyReplicas": situation.ready,
        "selector": identity.serving_selector(hashes),
        "endpoint": _endpoint(identity.name, identity.namespace, course.ask.hot.service["port"]),
        "stableRevision": course.decision.stable,
        "replicasFloor": reporting.floor_json(course.view.total.floor),
        "model": _model(identity.name, course.serving),
        "pods": reporting.pods_json(situation.findings),
        "rollout": reporting.rollout_json(course.decision.rollout, situation.progress),
    }
    return reporting.fit({key: value for key, value in status.items() if value not in _EMPTY})


_EMPTY: Final[tuple[object, ...]] = (None, [], {})


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


def _count_staying(observation: Observation, hashes: tuple[str, ...]) -> int:
    return sum(
        revision_of(pod) in hashes and not is_terminating(pod) and not is_finished(pod)
        for pod in observation.pods
    )


def _endpoint(name: str, namespace: str, port: int) -> str:
    suffix = "" if port == 80 else f":{port}"
    return f"http://{name}.{namespace}.svc{suffix}/v1"


def _model(name: str, serving: Revision) -> dict[str, Any]:
    model = serving.spec.get("model", {})
    source = str(model.get("source", ""))
    named = hub_revision(serving)
    loaded = shorten(serving.record.model_commit, MODEL_REVISION_LIMIT)
    revision = {"revision": loaded or named} if named else {}
    return {
        "source": source,
        **revision,
        "servedName": model.get("servedName", name),
        "simulated": source == f"builtin://{contract.BUILTIN_SIMULATED}",
    }


def _events(
    course: Course, before: Mapping[str, Any], verdicts: tuple[Verdict, ...]
) -> tuple[EventDraft, ...]:
    events = [
        EventDraft(note.reason, note.message, _ACTIONS.get(note.reason, "Roll"))
        for note in course.decision.notes
    ]
    told = {event.reason for event in events}
    events += [e for e in _transitions(before, verdicts, "Reconcile") if e.reason not in told]
    if course.view.total.floor is not None and course.given.memory.floor is None:
        message = f"Keeping {course.replicas} pods although the manifest lowered replicas"
        events.append(EventDraft(Reason.REPLICAS_HELD, message, "Scale"))
    if _is_steady(course, before):
        events += [
            EventDraft(Reason.REPAIRED, _said(apply), "Repair")
            for apply in course.wanted.repairs
            if not _is_handing_over(course, apply)
        ]
    return tuple(events)


def _transitions(
    before: Mapping[str, Any], verdicts: tuple[Verdict, ...], action: str
) -> list[EventDraft]:
    return [
        EventDraft(verdict.reason, verdict.message, action)
        for verdict in changed_verdicts(before.get("conditions") or (), verdicts)
    ]


def _is_steady(course: Course, before: Mapping[str, Any]) -> bool:
    """Whether nobody asked for a change: what is applied again was changed by others."""
    generation = course.given.observation.resource["metadata"].get("generation")
    return (
        before.get("observedGeneration") == generation
        and course.decision.rollout == course.given.memory.rollout
        and course.decision.rollout.phase in AT_REST
        and course.replicas == course.given.memory.desired_replicas
    )


def _is_handing_over(course: Course, apply: Apply) -> bool:
    """Whether an apply may be part of moving traffic, which goes on after a rollout's end."""
    canary = (kinds.SERVICE, course.given.observation.identity.canary_name)
    return apply.kind in kinds.TRAFFIC_KINDS and canary in course.given.observation.children


def _said(apply: Apply) -> str:
    return f'Put right {apply.kind.kind} "{apply.name}": {apply.cause}'
