"""The machine that replaces one revision by another; pure, called once per reconcile pass.

::

    Stable ──new revision──► Preparing ──► Step 0..n ──► Promoting ──► Baking ──► Stable
      ▲                          │           │  ▲  │         │           │
      │                          │           ▼  │  ▼         │           │ pointer back
      │                          │        Paused Holding     │           │
      │                          └───────────┴──┬──┴─────────┴───────────┘
      └── revert, superseded ── RollingBack ◄───┘ ── fail, abort ──► RolledBack

The presets are the same machine: BlueGreen adds as many pods as there are and has one step of
100 %; Rolling has a step per pod and no judge; Recreate, and a rollout that replaces a revision
which serves nothing, clears first. The modules beside this one hold the transitions: ``rest``
(Stable, RolledBack), ``stepping``, ``promotion`` (Promoting, Baking), ``waiting``, ``retreat`` and
``commands``.

Every decision follows from the arguments, so a restart at any point goes on where the status says.
A pod counts as gone when its object is gone: a terminating one still holds its accelerator.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout import promotion, rest, retreat, scaling, stepping, waiting
from llm_operator.rollout.commands import obeyed
from llm_operator.rollout.position import (
    AT_REST,
    LOSS_PATIENCE,
    PROXY_DELAY,
    Case,
    Position,
    is_judged,
    kept_since,
)
from llm_operator.rollout.retreat import APPLY_PATIENCE, roll_back
from llm_operator.rollout.sizes import clears_first, extra_pods
from llm_operator.rollout.state import (
    Decision,
    Intent,
    Judgement,
    Policy,
    Rollout,
    World,
)

_TRANSITIONS_MAX: Final = 32
"""More in one pass than any path through the diagram has."""

_TRANSITIONS: Final[Mapping[RolloutPhase, Callable[[Position, Case], Position]]] = {
    RolloutPhase.STABLE: rest.from_rest,
    RolloutPhase.ROLLED_BACK: rest.from_rest,
    RolloutPhase.PREPARING: stepping.from_preparing,
    RolloutPhase.STEP: stepping.from_step,
    RolloutPhase.PAUSED: waiting.from_paused,
    RolloutPhase.HOLDING: waiting.from_holding,
    RolloutPhase.PROMOTING: promotion.from_promoting,
    RolloutPhase.BAKING: promotion.from_baking,
    RolloutPhase.ROLLING_BACK: retreat.move_back,
}

_AT_A_STEP: Final = frozenset({RolloutPhase.STEP, RolloutPhase.PAUSED, RolloutPhase.HOLDING})

_JUDGED: Final = frozenset(
    {
        *_AT_A_STEP,
        RolloutPhase.PROMOTING,
        RolloutPhase.BAKING,
    }
)


_LOOK_AGAIN: Final = timedelta(seconds=1)
"""After which a share that was asked is looked for, whether or not anything was heard of it."""


def advance(
    rollout: Rollout,
    stable: str | None,
    intent: Intent,
    world: World,
    judgement: Judgement | None,
    now: datetime,
) -> Decision:
    """Take every transition that is due now and say what follows from the state reached."""
    case = Case(intent, world, judgement, now.replace(microsecond=0))
    observed = _observed(Position(rollout, stable), case)
    position = obeyed(observed, case)
    if _is_overruled(observed, position):
        case = replace(case, judgement=None)
    for _ in range(_TRANSITIONS_MAX):
        following = _transition(position, case)
        if following == position:
            break
        position = following
    phase = position.rollout.phase
    window = position.rollout.window_started_at
    return Decision(
        rollout=position.rollout,
        stable=position.stable,
        sizes=_sizes(position, case),
        notes=position.notes,
        refusal=rest.refusal(position, case),
        wake_at=_wake_at(position, case),
        is_judged=window is not None and phase in _JUDGED and is_judged(position),
    )


def _is_overruled(before: Position, after: Position) -> bool:
    """Whether a command went on from a failure: a person has seen the verdict that led to it."""
    by_failure = Reason.PAUSED_BY_FAILURE
    return before.rollout.paused_by is by_failure and after.rollout.paused_by is not by_failure


def _observed(position: Position, case: Case) -> Position:
    """Take note of what the machine keeps about the world."""
    position = _traffic_observed(position, case)
    if position.rollout.phase in AT_REST:
        return rest.watched(position, case)
    held = position.rollout.held_total
    if held is None:
        return position
    return _remapped(position.but(held_total=max(held, case.intent.total)), case)


def _remapped(position: Position, case: Case) -> Position:
    if position.rollout.phase not in _AT_A_STEP:
        return position
    return stepping.remapped(position, case)


def _traffic_observed(position: Position, case: Case) -> Position:
    rollout, traffic = position.rollout, case.world.traffic
    if rollout.phase in AT_REST:
        return position
    if traffic.is_applied and traffic.weight_percent == rollout.weight_percent:
        return position.but(applied_at=rollout.applied_at or case.now, unapplied_since=None)
    return position.but(unapplied_since=rollout.unapplied_since or case.now)


def _transition(position: Position, case: Case) -> Position:
    phase = position.rollout.phase
    if phase in AT_REST:
        return rest.from_rest(position, case)
    if case.intent.total == 0:
        return rest.stopped(position, case)
    redirected = _redirected(position, case)
    if redirected is not None:
        return redirected
    return _TRANSITIONS[phase](_remapped(position, case), case)


def _redirected(position: Position, case: Case) -> Position | None:
    """Follow a spec that means another revision than the rollout is about; None if it does not."""
    rollout, target, stable = position.rollout, case.intent.target, position.stable
    if target == rollout.target or rollout.phase is RolloutPhase.ROLLING_BACK:
        return None
    if rollout.phase is RolloutPhase.BAKING:
        if target == rollout.previous:
            return promotion.pointer_back(position, case, Reason.REVERTED, "The spec went back")
        return rest.settled(position, rollout.target or "")
    if target == stable:
        return roll_back(position, case, Reason.REVERTED, "The spec went back")
    if stable is None or _starts_anew(position, case):
        superseded = position.noted(Reason.SUPERSEDED, f"The spec went on to revision {target}")
        return rest.begun(superseded, case)
    return roll_back(position, case, Reason.SUPERSEDED, f"The spec went on to revision {target}")


def _starts_anew(position: Position, case: Case) -> bool:
    """Whether nothing is gained by going back first: stable's pods are gone, and nothing serves.

    Where the canary carries traffic it goes on until stable can, unless the next rollout clears
    first as well.
    """
    if not clears_first(position.frozen):
        return False
    return position.rollout.weight_percent == 0 or clears_first(rest.freeze(position, case))


def _sizes(position: Position, case: Case) -> Mapping[str, int]:
    match position.rollout.phase:
        case RolloutPhase.STABLE | RolloutPhase.ROLLED_BACK:
            return _sizes_at_rest(position, case)
        case RolloutPhase.BAKING:
            return _sizes_while_baking(position, case)
        case RolloutPhase.PAUSED | RolloutPhase.HOLDING:
            move = scaling.stable_only(position, case)
        case RolloutPhase.ROLLING_BACK:
            move = retreat.retreat_sizes(position, case)
        case _:
            move = scaling.advance_sizes(position, case)
    return scaling.sizes_by_hash(position, case, move)


def _sizes_at_rest(position: Position, case: Case) -> Mapping[str, int]:
    """Give stable the total; pods of other revisions that are still there may take room."""
    sizes = scaling.leaving(position, case)
    if position.stable is None:
        return sizes
    total, replicas = case.intent.total, case.stable(position).replicas
    others = sum(case.count(hash_).claimed for hash_ in sizes)
    frozen = rest.freeze(position, case)
    room = max(0, total + extra_pods(frozen, total) - others)
    sizes[position.stable] = min(total, max(replicas, room))
    return sizes


def _sizes_while_baking(position: Position, case: Case) -> Mapping[str, int]:
    """Grow the new revision to the total; the old one keeps what fits beside it."""
    total, rollout = case.total(position), position.rollout
    old, new = case.count(rollout.previous), case.stable(position)
    free = scaling.room(position, case)
    wanted = max(0, total - new.replicas)
    more = min(free, wanted)
    known = {*case.world.existing, *case.world.replicas}
    ending = sum(case.count(hash_).ending for hash_ in known)
    lacking = max(0, wanted - more - ending)
    cause = case.world.causes.get(position.stable or "")
    if cause is not None and not cause.is_final and new.ready > 0:
        lacking = max(lacking, new.unready)
    kept = max(0, min(old.replicas, total, extra_pods(position.frozen, total)) - lacking)
    sizes = scaling.leaving(position, case)
    sizes[position.stable or ""] = new.replicas + more
    if rollout.previous is not None:
        sizes[rollout.previous] = kept
    return sizes


def _wake_at(position: Position, case: Case) -> datetime | None:
    """Return when time alone changes something.

    A share that is newly asked may be what the cluster has already: nothing happens that would
    tell, so it is looked for.
    """
    rollout = position.rollout
    moments = [moment for moment in _moments(position, case.policy) if moment > case.now]
    unseen = rollout.applied_at is None and rollout.unapplied_since is None
    if unseen and rollout.phase not in AT_REST:
        moments.append(case.now + _LOOK_AGAIN)
    return min(moments, default=None)


def _moments(position: Position, policy: Policy) -> list[datetime]:
    rollout = position.rollout
    phase, clock, began = rollout.phase, rollout.clock_started_at, rollout.step_started_at
    delays: list[tuple[datetime | None, timedelta]] = [
        (rollout.deadline_at, timedelta()),
        (rollout.pause_until, timedelta()),
        (rollout.applied_at, PROXY_DELAY),
        (rollout.unapplied_since, LOSS_PATIENCE),
        (rollout.lost_since, LOSS_PATIENCE),
        (rollout.stable_lost_since, policy.progress_deadline),
        (clock, policy.inconclusive),
    ]
    if phase is RolloutPhase.STEP and rollout.step is not None:
        index = min(rollout.step, len(policy.steps) - 1)
        delays.append((kept_since(rollout), timedelta(seconds=policy.steps[index].min_seconds)))
    if phase is RolloutPhase.HOLDING:
        delays.append((rollout.holding_deadline_at, timedelta()))
    if phase is RolloutPhase.BAKING:
        delays.append((began, policy.bake))
    if phase is RolloutPhase.ROLLING_BACK:
        delays.append((rollout.unapplied_since, APPLY_PATIENCE))
    return [moment + delay for moment, delay in delays if moment is not None]
