"""Machines with one mistake each: the right one, spoiled in what it is told or what it says.

The numbers are those of the list that ``mutants`` holds; the machines after them have mistakes that
no number names, so that every rule can be seen to bite (``tests/states/test_invariants.py``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.machine import advance
from llm_operator.rollout.state import (
    AppliedTraffic,
    Decision,
    Intent,
    Judgement,
    Rollout,
    VerdictOutcome,
    World,
)
from tests.models.rollouts.operator import Machine

_P = RolloutPhase


@dataclass(frozen=True, slots=True)
class Question:
    """What the machine is asked, and how it answers."""

    rollout: Rollout
    stable: str | None
    intent: Intent
    world: World
    judgement: Judgement | None
    now: datetime

    def answer(self) -> Decision:
        """Return what the right machine says."""
        return advance(self.rollout, self.stable, self.intent, self.world, self.judgement, self.now)


Spoil = Callable[[Question], Decision]


def machine(spoil: Spoil) -> Machine:
    """Return a machine that answers as ``spoil`` does."""

    def wrong(
        rollout: Rollout,
        stable: str | None,
        intent: Intent,
        world: World,
        judgement: Judgement | None,
        now: datetime,
    ) -> Decision:
        return spoil(Question(rollout, stable, intent, world, judgement, now))

    return wrong


def _resized(decision: Decision, sizes: Mapping[str | None, int]) -> Decision:
    named = {name: size for name, size in sizes.items() if name is not None}
    return replace(decision, sizes={**decision.sizes, **named})


def _rewritten(decision: Decision, **fields: object) -> Decision:
    return replace(decision, rollout=replace(decision.rollout, **fields))  # type: ignore[arg-type]


# Those of the list


def weight_before_readiness(asked: Question) -> Decision:
    """1: a pod that exists counts as ready."""
    world = asked.world
    ready = {h: world.ready.get(h, 0) + world.starting.get(h, 0) for h in world.existing}
    return replace(asked, world=replace(world, ready=ready)).answer()


def weight_stays_on_the_superseded(asked: Question) -> Decision:
    """2: a second edit swaps the target and leaves step and weight."""
    if asked.rollout.phase is not _P.STEP or asked.intent.target == asked.stable:
        return asked.answer()
    return replace(asked, rollout=replace(asked.rollout, target=asked.intent.target)).answer()


def scaling_revives_the_rejected(asked: Question) -> Decision:
    """3: a scale event after RolledBack spreads the total over both revisions."""
    decision = asked.answer()
    live = asked.world.replicas.get(asked.stable or "", 0)
    if decision.rollout.phase is not _P.ROLLED_BACK or asked.intent.total == live:
        return decision
    return _resized(decision, {decision.rollout.target: 1})


def promotion_copies_the_template(asked: Question) -> Decision:
    """4: the canary's pods go when its template has been promoted."""
    decision = asked.answer()
    promoted = asked.rollout.phase is not _P.BAKING and decision.rollout.phase is _P.BAKING
    return _resized(decision, {decision.rollout.target: 0}) if promoted else decision


def stable_shrinks_first(asked: Question) -> Decision:
    """5: stable gets the size of the step at once."""
    decision = asked.answer()
    if decision.rollout.phase is not _P.STEP or asked.stable is None:
        return decision
    total = asked.intent.total
    canary = -(-total * decision.rollout.step_weight_percent // 100)
    return _resized(decision, {asked.stable: max(total - canary, 1)})


def missing_metrics_pass(asked: Question) -> Decision:
    """6: nothing measured is nothing wrong."""
    judgement = asked.judgement
    if judgement is None or not judgement.is_missing:
        return asked.answer()
    passed = replace(judgement, outcome=VerdictOutcome.PASS, is_missing=False, measured=True)
    return replace(asked, judgement=passed).answer()


class DeadlineOfTheProcess:
    """7: the deadline counts from when this process first looked."""

    def __init__(self) -> None:
        self._has_looked = False

    def __call__(self, asked: Question) -> Decision:
        if not self._has_looked and asked.rollout.deadline_at is not None:
            self._has_looked = True
            late = asked.now + asked.intent.policy.progress_deadline
            return replace(asked, rollout=replace(asked.rollout, deadline_at=late)).answer()
        return asked.answer()


def rejection_is_forgotten(asked: Question) -> Decision:
    """8: what the spec has and does not serve is rolled out."""
    if asked.rollout.phase is not _P.ROLLED_BACK:
        return asked.answer()
    forgotten = replace(asked.rollout, phase=_P.STABLE, rejected=(), target=asked.stable)
    return replace(asked, rollout=forgotten).answer()


def roll_back_removes_pods_first(asked: Question) -> Decision:
    """9: the canary goes as soon as it has failed."""
    decision = asked.answer()
    if decision.rollout.phase is not _P.ROLLING_BACK:
        return decision
    return _resized(decision, {decision.rollout.target: 0})


class StepOfTheProcess:
    """10: a new process begins with the first step."""

    def __init__(self) -> None:
        self._has_looked = False

    def __call__(self, asked: Question) -> Decision:
        if not self._has_looked and asked.rollout.phase is _P.STEP:
            self._has_looked = True
            first = replace(
                asked.rollout,
                step=0,
                step_weight_percent=asked.intent.policy.steps[0].weight_percent,
            )
            return replace(asked, rollout=first).answer()
        self._has_looked = True
        return asked.answer()


def revert_creates_too_many(asked: Question) -> Decision:
    """11: the way back counts like the way forth."""
    decision = asked.answer()
    if decision.rollout.phase is not _P.ROLLING_BACK:
        return decision
    return _resized(decision, {decision.stable: asked.intent.total + 1})


def terminating_pods_are_gone(asked: Question) -> Decision:
    """12: as Deployment ``status.replicas`` counts."""
    world = asked.world
    hashes = {*world.ready, *world.starting}
    live = {h: world.ready.get(h, 0) + world.starting.get(h, 0) for h in hashes}
    return replace(asked, world=replace(world, existing=live)).answer()


def scaling_reaches_the_paused_canary(asked: Question) -> Decision:
    """13: a total that rises spreads over both revisions, paused or not."""
    decision = asked.answer()
    held = asked.rollout.held_total or asked.intent.total
    if decision.rollout.phase is not _P.PAUSED or asked.intent.total <= held:
        return decision
    canary = decision.rollout.target
    return _resized(decision, {canary: decision.sizes.get(canary or "", 0) + 1})


def late_verdicts_count(asked: Question) -> Decision:
    """14: a verdict is a verdict, whichever window it speaks of."""
    window, judgement = asked.rollout.window_started_at, asked.judgement
    if judgement is None or window is None:
        return asked.answer()
    return replace(asked, judgement=replace(judgement, window_started_at=window)).answer()


def a_fallen_total_counts_at_once(asked: Question) -> Decision:
    """16: the total is whatever the spec says."""
    total = min(asked.rollout.held_total or asked.intent.total, asked.intent.total)
    if asked.rollout.held_total is None:
        return asked.answer()
    return replace(asked, rollout=replace(asked.rollout, held_total=total)).answer()


def the_last_stable_pod_goes(asked: Question) -> Decision:
    """17: enough pods are ready without it."""
    decision = asked.answer()
    canary = decision.rollout.target
    is_ready = asked.world.ready.get(canary or "", 0) > 0
    if decision.rollout.phase is not _P.STEP or not is_ready:
        return decision
    is_last = asked.world.ready.get(asked.stable or "", 0) <= 1
    return _resized(decision, {asked.stable: 0}) if is_last else decision


def traffic_goes_back_at_once(asked: Question) -> Decision:
    """18: weight 0 is always safe."""
    decision = asked.answer()
    if decision.rollout.phase is not _P.ROLLING_BACK:
        return decision
    return _rewritten(decision, weight_percent=0)


def each_holding_has_its_deadline(asked: Question) -> Decision:
    """19: the deadline is set on every way into Holding."""
    decision = asked.answer()
    holds = decision.rollout.phase is _P.HOLDING and asked.rollout.phase is not _P.HOLDING
    if not holds:
        return decision
    late = asked.now + asked.intent.policy.progress_deadline
    return _rewritten(decision, holding_deadline_at=late)


def going_back_rejects(asked: Question) -> Decision:
    """21: whatever is rolled back was bad."""
    decision = asked.answer()
    rollout = decision.rollout
    edited = rollout.cause in (Reason.REVERTED, Reason.SUPERSEDED)
    if rollout.phase is not _P.ROLLING_BACK or not edited or rollout.target is None:
        return decision
    rejected = (*rollout.rejected, rollout.target)
    return _rewritten(decision, cause=Reason.ABORTED, rejected=rejected)


def pointer_moves_first(asked: Question) -> Decision:
    """23: what was asked of traffic is taken for what is."""
    if asked.rollout.phase is not _P.PROMOTING:
        return asked.answer()
    believed = AppliedTraffic(asked.rollout.weight_percent, is_applied=True)
    long_ago = asked.now - timedelta(seconds=10)
    rollout = asked.rollout
    if rollout.weight_percent == 100 and rollout.applied_at is None:
        rollout = replace(rollout, applied_at=long_ago)
    return replace(asked, rollout=rollout, world=replace(asked.world, traffic=believed)).answer()


# Others


def the_way_back_is_deleted(asked: Question) -> Decision:
    """The old revision goes as soon as it is not stable any more."""
    decision = asked.answer()
    previous = decision.rollout.previous
    sizes = {name: size for name, size in decision.sizes.items() if name != previous}
    return replace(decision, sizes=sizes)


def the_next_revision_starts_at_once(asked: Question) -> Decision:
    """A second edit does not wait until the first one's pods are gone."""
    decision, target = asked.answer(), asked.intent.target
    if decision.rollout.phase is not _P.ROLLING_BACK or target == decision.stable:
        return decision
    return _resized(decision, {target: 1})


def waiting_has_no_reason(asked: Question) -> Decision:
    """Nobody is told why a rollout holds."""
    decision = asked.answer()
    holds = decision.rollout.phase is _P.HOLDING
    return _rewritten(decision, cause=None) if holds else decision


def going_back_goes_on(asked: Question) -> Decision:
    """A roll-back brings the canary to its size before it lets go of it."""
    decision = asked.answer()
    canary = decision.rollout.target or ""
    if decision.rollout.phase is not _P.ROLLING_BACK or decision.sizes.get(canary, 0) == 0:
        return decision
    return _resized(decision, {canary: 3})
