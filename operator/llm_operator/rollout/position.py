"""Where a rollout stands, and what one pass knows about it: what all transitions are made from."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.sizes import Count, count, extra_pods, steps_of
from llm_operator.rollout.state import (
    Frozen,
    Intent,
    Judgement,
    Note,
    Policy,
    Rollout,
    Step,
    VerdictOutcome,
    World,
)

PROXY_DELAY: Final = timedelta(seconds=6)
"""Kept between 'the share is applied' and what relies on it.

Proxies are given 5 s; one more because times are persisted in whole seconds.
"""

LOSS_PATIENCE: Final = timedelta(seconds=30)
"""How long a canary may be without a ready pod, or a share unapplied, before it holds."""

AT_REST: Final = frozenset({RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK})

_FORWARD: Final = frozenset({RolloutPhase.STEP, RolloutPhase.PROMOTING})


@dataclass(frozen=True, slots=True)
class Position:
    """The state of the machine between two transitions."""

    rollout: Rollout
    stable: str | None
    notes: tuple[Note, ...] = ()

    def but(self, **changes: Any) -> Self:
        """Return the position with some fields of the rollout changed."""
        return replace(self, rollout=replace(self.rollout, **changes))

    def noted(self, reason: Reason, message: str) -> Self:
        """Return the position with one more transition that is worth an event."""
        return replace(self, notes=(*self.notes, Note(reason, message)))

    @property
    def frozen(self) -> Frozen:
        """What the running rollout began with."""
        if self.rollout.frozen is None:
            msg = "only a running rollout has a frozen policy"
            raise ValueError(msg)
        return self.rollout.frozen


@dataclass(frozen=True, slots=True)
class Case:
    """What one pass is given besides the position."""

    intent: Intent
    world: World
    judgement: Judgement | None
    now: datetime
    """In whole seconds."""

    @property
    def policy(self) -> Policy:
        """What the spec says about rollouts now."""
        return self.intent.policy

    def total(self, position: Position) -> int:
        """Return T."""
        held = position.rollout.held_total
        return self.intent.total if held is None else max(held, self.intent.total)

    def limit(self, position: Position) -> int:
        """Return T + E, the pods that may exist while the rollout runs."""
        total = self.total(position)
        return total + extra_pods(position.frozen, total)

    def count(self, hash_: str | None) -> Count:
        """Count the pods of a revision."""
        return count(self.world, hash_)

    def canary(self, position: Position) -> Count:
        """Count the pods that the rollout is about."""
        return self.count(position.rollout.target)

    def stable(self, position: Position) -> Count:
        """Count the pods of the stable revision."""
        return self.count(position.stable)

    def steps(self, position: Position) -> tuple[Step, ...]:
        """Return the steps of the running rollout as the spec has them now."""
        return steps_of(self.policy, position.frozen, self.total(position))


def is_settled(position: Position, case: Case) -> bool:
    """Whether the share that is asked is applied and every proxy has had time to learn it."""
    rollout = position.rollout
    if rollout.applied_at is None or rollout.unapplied_since is not None:
        return False
    return case.now >= rollout.applied_at + PROXY_DELAY


def asked(position: Position, weight_percent: int) -> Position:
    """Ask for another share; what was known of the one before no longer counts."""
    if position.rollout.weight_percent == weight_percent:
        return position
    window = position.rollout.window_started_at
    keeps = position.rollout.phase is RolloutPhase.PROMOTING
    return position.but(
        weight_percent=weight_percent,
        applied_at=None,
        unapplied_since=None,
        window_started_at=window if keeps else None,
    )


def kept_since(rollout: Rollout) -> datetime | None:
    """Return since when the step has had its share without a break, pauses not counted."""
    clock, window = rollout.clock_started_at, rollout.window_started_at
    return max(clock, window) if clock is not None and window is not None else clock


def extended(position: Position, case: Case, ready: int) -> Position:
    """Count the deadline anew when one more pod is ready than ever before."""
    if ready <= position.rollout.ready_peak:
        return position
    deadline_at = case.now + case.policy.progress_deadline
    return position.but(ready_peak=ready, deadline_at=deadline_at)


def is_overdue(position: Position, case: Case) -> bool:
    """Whether scaling did not get further in time."""
    deadline_at = position.rollout.deadline_at
    return deadline_at is not None and case.now >= deadline_at


def way_back(position: Position) -> str | None:
    """Return the revision that serves again if the rollout fails."""
    is_baking = position.rollout.phase is RolloutPhase.BAKING
    return position.rollout.previous if is_baking else position.stable


def is_judged(position: Position) -> bool:
    """Whether verdicts count: a Rolling rollout and one without a way back have no judge."""
    return way_back(position) is not None and position.frozen.strategy is not Strategy.ROLLING


def needs_evidence(position: Position) -> bool:
    """Whether a step waits for a Pass; the presets go on unless something fails."""
    frozen = position.frozen
    return frozen.strategy is Strategy.CANARY and not frozen.replaces_directly


def verdict(position: Position, case: Case) -> Judgement | None:
    """Return the verdict about the window that is open, or about none; any other is late."""
    judgement, window = case.judgement, position.rollout.window_started_at
    if judgement is None or not is_judged(position):
        return None
    return judgement if judgement.window_started_at in (None, window) else None


def failure(position: Position, case: Case) -> Note | None:
    """Return what condemns the canary: the verdict, or why none of its pods will get ready.

    A cause that no waiting cures needs no judge, but only what has no ready pod fails by it: losing
    some of the pods is capacity only.
    """
    judgement = verdict(position, case)
    if judgement is not None and judgement.outcome is VerdictOutcome.FAIL:
        return Note(judgement.reason, judgement.message)
    canary, cause = case.canary(position), case.world.causes.get(position.rollout.target or "")
    is_tried = canary.replicas > 0 and canary.ready == 0
    if cause is not None and cause.is_final and is_tried and way_back(position) is not None:
        return Note(cause.reason, cause.message)
    return None


def is_blind(position: Position, case: Case) -> bool:
    """Whether evidence is needed and metrics are missing."""
    judgement = verdict(position, case)
    vouched = position.rollout.phase is RolloutPhase.PROMOTING and position.rollout.promote_asked
    is_missing = judgement is not None and judgement.is_missing
    return is_missing and needs_evidence(position) and not vouched


def holding_cause(position: Position, case: Case) -> Note | None:
    """Return why a rollout cannot be judged or steered at the moment."""
    rollout, now = position.rollout, case.now
    if rollout.lost_since is not None and now >= rollout.lost_since + LOSS_PATIENCE:
        return Note(Reason.CANARY_LOST, f"No pod of revision {rollout.target} is ready")
    unapplied = rollout.unapplied_since
    if unapplied is not None and now >= unapplied + LOSS_PATIENCE:
        return Note(Reason.TRAFFIC_NOT_APPLIED, case.world.traffic.problem)
    judgement = verdict(position, case)
    if judgement is not None and is_blind(position, case):
        return Note(Reason.METRICS_MISSING, judgement.message)
    return None


def is_forward(position: Position) -> bool:
    """Whether the rollout is moving pods and traffic towards the canary."""
    return position.rollout.phase in _FORWARD
