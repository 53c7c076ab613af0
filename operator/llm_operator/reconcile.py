"""One pass over one resource: from an observation to a plan. Pure: no clock, client or logger.

Gather (the worker) → decide (here) → persist the status → act. A crash between any two writes is
answered by the next pass, which sees what was done and plans the rest.

A pass recalls what the status keeps, reads what is asked for, finds the revision that the spec
means, looks at pods and traffic in terms of what was asked of them, has the canary judged, asks
the machine, and derives every object from its answer.
"""

from dataclasses import replace
from datetime import datetime

from llm_operator import ask as asking
from llm_operator import children, judging, kinds, recovery
from llm_operator.api.command import Command
from llm_operator.api.reasons import Reason
from llm_operator.api.resource import LLMDeployment, SpecInvalid
from llm_operator.ask import Ask, Misread
from llm_operator.course import Course, Given, View
from llm_operator.desired.revision import choose_target, renumber
from llm_operator.diagnosis import Finding, diagnose
from llm_operator.ledger import add_contents, write_history
from llm_operator.observation import Environment, Observation
from llm_operator.plan import Plan
from llm_operator.report import refuse, report
from llm_operator.rollout.machine import advance
from llm_operator.rollout.position import AT_REST
from llm_operator.rollout.state import Decision, Intent, Note
from llm_operator.rollout.total import decide_total
from llm_operator.world import asked_traffic, observe_world


def reconcile(observation: Observation, environment: Environment, now: datetime) -> Plan:
    """Decide what the resource needs next."""
    given = Given(observation, environment, recovery.recover(observation), now)
    try:
        resource = LLMDeployment.parse(observation.resource)
    except SpecInvalid as error:
        return refuse(given, (Finding(Reason.SPEC_INVALID, str(error)),))
    ask, wrong = asking.read_ask(resource, environment), asking.wrong_in(resource)
    if wrong:
        standing = recovery.standing_revision(observation)
        if standing is None:
            return refuse(given, wrong)
        ask = replace(ask, revisioned=standing.spec)
    view = _look(given, ask)
    return report(_follow(given, ask, view, _decide(given, ask, view), wrong))


def _look(given: Given, ask: Ask) -> View:
    observation, memory, now = given.observation, given.memory, given.now
    known = children.known_revisions(observation)
    default = (given.environment.renderer, given.environment.default_image)
    target = renumber(choose_target(ask.revisioned, known, memory.stable, default), known)
    findings = diagnose(
        observation.pods, observation.owned(kinds.DEPLOYMENT), observation.evidence, now
    )
    asked = asked_traffic(memory.rollout, memory.stable, target.hash, ask.policy.provider)
    return View(
        known=known,
        target=target,
        total=decide_total(ask.asked, memory.desired_replicas, memory.floor, now=now),
        findings=findings,
        world=observe_world(observation, given.environment, asked, findings),
        opinion=judging.form_opinion(given.observation, memory, ask, now),
    )


def _decide(given: Given, ask: Ask, view: View) -> Decision:
    memory, command = given.memory, ask.command
    intent = Intent(
        target=view.target.hash,
        total=view.total.value,
        policy=ask.policy,
        command=command if isinstance(command, Command) else None,
    )
    fresh = view.opinion.fresh
    decision = advance(memory.rollout, memory.stable, intent, view.world, fresh, given.now)
    return _note_misread(decision, command) if isinstance(command, Misread) else decision


def _note_misread(decision: Decision, misread: Misread) -> Decision:
    """Say once that an annotation is no command."""
    rollout = decision.rollout
    if misread.nonce in rollout.commands:
        return decision
    return replace(
        decision,
        rollout=replace(rollout, commands=(*rollout.commands, misread.nonce)),
        notes=(*decision.notes, Note(Reason.COMMAND_INVALID, misread.message)),
    )


def _follow(
    given: Given, ask: Ask, view: View, decision: Decision, refused: tuple[Finding, ...]
) -> Course:
    """Derive everything else from what was decided."""
    memory, target = given.memory, view.target
    provider = ask.policy.provider
    asked = asked_traffic(decision.rollout, decision.stable, target.hash, provider)
    kept = (target, *(r for r in view.known if r.hash != target.hash))
    decided = write_history(kept, memory.rollout, memory.stable, decision, given.now)
    history = add_contents(decided, given.observation)
    wanted = children.plan_children(
        given.observation,
        children.Wanted(
            hot=ask.hot,
            decision=decision,
            asked=asked,
            target=target.hash,
            revisions=history,
            total=_replicas(decision, view.total.value),
            revision_history_limit=ask.revision_history_limit,
        ),
        given.environment,
        given.now,
    )
    return Course(
        given=given,
        ask=ask,
        view=view,
        decision=decision,
        asked=asked,
        opinion=judging.carry_over(given.observation, memory, view.opinion, decision),
        replicas=_replicas(decision, view.total.value),
        wanted=replace(wanted, blocked=(*refused, *wanted.blocked)),
        history=history,
    )


def _replicas(decision: Decision, total: int) -> int:
    """Return the pods to run in total: a rollout holds what it began with, but 0 is obeyed."""
    rollout = decision.rollout
    if total == 0 or rollout.phase in AT_REST:
        return total
    return max(total, rollout.held_total or 0)
