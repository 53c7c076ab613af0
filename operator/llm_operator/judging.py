"""The judgement's part of a pass: which counters to read, what they say, what to remember; pure.

The worker asks ``order`` before it gathers, ``reconcile`` calls the rest around the machine. A
window lives as long as the machine keeps ``windowStartedAt``; its memory is persisted beside it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from llm_operator import kinds
from llm_operator import status as reporting
from llm_operator.api.analysis import Analysis
from llm_operator.api.reasons import Reason
from llm_operator.api.resource import LLMDeployment, SpecInvalid
from llm_operator.api.rollout import Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.ask import Ask
from llm_operator.desired.revision import hub_revision, parse_controller_revision
from llm_operator.judgement.evidence import targets_of
from llm_operator.judgement.limits import Case, limits_of
from llm_operator.judgement.order import Order, order_for
from llm_operator.judgement.restarts import (
    PodRestarts,
    as_they_are,
    counted_restarts,
    restarts_of,
)
from llm_operator.judgement.verdict import judge, judge_restarts, unless_news
from llm_operator.judgement.window import Window, follow
from llm_operator.observation import Observation, count_pods
from llm_operator.rollout.position import AT_REST, Position, is_judged
from llm_operator.rollout.sizes import WHOLE
from llm_operator.rollout.state import Decision, Judgement, Policy, Rollout
from llm_operator.status import Memory
from llm_server.contract import COMMIT

_SOON: Final = timedelta(seconds=1)

_COUNTED: Final = frozenset(
    {
        RolloutPhase.STEP,
        RolloutPhase.PAUSED,
        RolloutPhase.HOLDING,
        RolloutPhase.PROMOTING,
        RolloutPhase.BAKING,
    }
)
"""Phases in which restarts of the canary's pods count against it."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the judge says in one pass."""

    fresh: Judgement | None = None
    """For the machine; None where the readings do not suffice for a verdict."""
    shown: Judgement | None = None
    """For the status: where there is no new verdict, the last one of the window."""
    window: Window | None = None
    restarts: tuple[PodRestarts, ...] = ()
    """Of the canary's pods, since it got its first share."""


def order(observation: Observation) -> Order | None:
    """Return what is to be read of pods before the pass; None while nothing of it is needed."""
    memory = reporting.recall(observation.resource.get("status") or {})
    since = _window_start(memory.rollout, memory.stable)
    if since is None and not _lacks_commit(observation, memory):
        return None
    try:
        analysis = LLMDeployment.parse(observation.resource).spec.rollout.analysis
    except SpecInvalid:
        return None
    if since is None:
        return _first_look(observation, memory.rollout, analysis)
    case = _case(observation, memory, timedelta(0))
    return None if case is None else order_for(case, since, analysis, observation.pods)


def _lacks_commit(observation: Observation, memory: Memory) -> bool:
    """Whether only the pods of the rollout's target know what a hub's branch named."""
    if memory.rollout.phase in AT_REST:
        return False
    kept = map(parse_controller_revision, observation.owned(kinds.CONTROLLER_REVISION))
    target = next((r for r in kept if r is not None and r.hash == memory.rollout.target), None)
    if target is None or target.record.model_commit:
        return False
    named = hub_revision(target)
    return bool(named) and not COMMIT.fullmatch(named)


def _first_look(observation: Observation, rollout: Rollout, analysis: Analysis) -> Order | None:
    """Ask one ready pod of the target, which is enough for what it has loaded."""
    revisions = (rollout.target or "",)
    targets = targets_of(observation.pods, revisions)[:1]
    if not targets or rollout.started_at is None:
        return None
    interval = timedelta(seconds=analysis.interval_seconds)
    return Order(revisions, targets, rollout.started_at, interval)


def form_opinion(observation: Observation, memory: Memory, ask: Ask, now: datetime) -> Opinion:
    """Judge the canary's pods, and what was read of them in the window that is open."""
    restarts = _counted(observation, memory)
    since = _window_start(memory.rollout, memory.stable)
    condemned = judge_restarts(restarts)
    case = _case(observation, memory, _min_time(memory.rollout, ask.policy))
    window = follow(memory.window, since)
    if case is None or window is None:
        return Opinion(condemned, condemned, restarts=restarts)
    last = _of_window(memory.verdict, window)
    if observation.readings is None or condemned is not None:
        return Opinion(condemned, condemned or last, window, restarts)
    fresh, window = judge(window, observation.readings, case, limits_of(ask.analysis), now)
    return Opinion(fresh, unless_news(last, fresh), window, restarts)


def carry_over(
    observation: Observation, memory: Memory, opinion: Opinion, decision: Decision
) -> Opinion:
    """Return what is to be remembered after the decision; a new window begins without a verdict."""
    restarts = _kept_restarts(observation, memory.rollout, opinion, decision.rollout)
    window = follow(opinion.window, _window_start(decision.rollout, decision.stable))
    if window is None:
        return Opinion(restarts=restarts)
    return Opinion(shown=_of_window(opinion.shown, window), window=window, restarts=restarts)


def _counted(observation: Observation, memory: Memory) -> tuple[PodRestarts, ...]:
    """Return the restarts of the canary's pods since its first share; () before that."""
    rollout = memory.rollout
    if rollout.phase not in _COUNTED or not is_judged(Position(rollout, memory.stable)):
        return ()
    return counted_restarts(memory.restarts, restarts_of(observation.pods, rollout.target or ""))


def _kept_restarts(
    observation: Observation, before: Rollout, opinion: Opinion, after: Rollout
) -> tuple[PodRestarts, ...]:
    """Return the restarts to remember: anew after a person has overruled the verdict on them."""
    if after.phase not in _COUNTED:
        return ()
    is_overruled = (
        before.paused_by is Reason.PAUSED_BY_FAILURE
        and after.paused_by is not Reason.PAUSED_BY_FAILURE
    )
    if before.phase in _COUNTED and before.target == after.target and not is_overruled:
        return opinion.restarts
    return as_they_are(restarts_of(observation.pods, after.target or ""))


def next_reading(
    observation: Observation, window: Window | None, analysis: Analysis, now: datetime
) -> datetime | None:
    """Return when the counters are to be read again; soon if this window has seen none."""
    if window is None:
        return None
    readings = observation.readings
    if readings is None:
        return now
    if readings.collected_at < window.started_at:
        return now + _SOON
    return readings.collected_at + timedelta(seconds=analysis.interval_seconds)


def _min_time(rollout: Rollout, policy: Policy) -> timedelta:
    """Return how long the present step lasts at least; only a canary's steps last."""
    index, frozen = rollout.step, rollout.frozen
    is_canary = frozen is not None and frozen.strategy is Strategy.CANARY
    if index is None or not is_canary or index >= len(policy.steps):
        return timedelta(0)
    return timedelta(seconds=policy.steps[index].min_seconds)


def _case(observation: Observation, memory: Memory, min_time: timedelta) -> Case | None:
    rollout, stable = memory.rollout, memory.stable
    if rollout.target is None:
        return None
    beside = stable is not None and stable != rollout.target
    has_stable = beside and count_pods(observation).ready.get(stable or "", 0) > 0
    return Case(
        canary=rollout.target,
        stable=stable,
        relative=has_stable and rollout.weight_percent < WHOLE,
        min_time=min_time,
    )


def _window_start(rollout: Rollout, stable: str | None) -> datetime | None:
    """Return since when the canary is judged; None while it is not, or never will be."""
    if rollout.frozen is None or not is_judged(Position(rollout, stable)):
        return None
    return rollout.window_started_at


def _of_window(verdict: Judgement | None, window: Window) -> Judgement | None:
    is_its = verdict is not None and verdict.window_started_at in (None, window.started_at)
    return verdict if is_its else None
