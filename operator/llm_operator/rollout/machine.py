"""The machine that replaces one revision by another; pure, called once per reconcile pass.

::

              target is not stable                 target ready            endpoints are the
    (idle) ──────────────────────► Preparing ───────────────────► Moving ──new pods for 5 s──┐
      ▲  │                         │  ▲    │                  (stable := target)             │
      │  │ Recreate                │  │    │ deadline (BlueGreen): rejected                 ▼
      │  └────────► Draining ──────┼──┘    ▼                                             Draining
      │              old pods gone │    (idle, Stalled)                                      │
      │                            │ spec is stable's again                                  │
      └────────────────────────────┴──────────── pods of every other revision are gone ◄─────┘

``BlueGreen`` prepares the new revision at full size beside the old one; ``Recreate`` drains the
old one first. Without a stable revision the target is prepared directly and goes on trying past
its deadline, as ``Recreate`` does: there is nothing to fall back to. Until the old pods are let go
a move is taken back when the spec is, or when the new revision loses all of its ready pods. A pod
counts as gone when its object is gone: a terminating pod still holds its accelerator. Every
decision follows from the arguments, so a restart at any point goes on where the status says.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from llm_operator.api.spec import Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.state import Decision, Intent, Outcome, Rollout, World

PROXY_DELAY: Final = timedelta(seconds=6)
"""Kept between 'EndpointSlices show only the new pods' and the old pods' end.

Proxies are given 5 s; one more because times are persisted in whole seconds.
"""

REJECTED_LIMIT: Final = 5
"""Rejected hashes kept in status, newest last."""


def advance(
    rollout: Rollout, stable: str | None, intent: Intent, world: World, now: datetime
) -> Decision:
    """Take every transition that is due now and say what follows from the state reached."""
    for _ in range(len(RolloutPhase) * 2):
        following, new_stable = _transition(rollout, stable, intent, world, now)
        if (following, new_stable) == (rollout, stable):
            break
        rollout, stable = following, new_stable
    outcome = _outcome(rollout, stable, intent, world, now)
    return Decision(
        rollout=rollout,
        stable=stable,
        sizes=_sizes(rollout, stable, intent, world),
        outcome=outcome,
        wake_at=_wake_at(rollout, outcome),
    )


def _transition(
    rollout: Rollout, stable: str | None, intent: Intent, world: World, now: datetime
) -> tuple[Rollout, str | None]:
    if intent.total == 0:
        if stable is not None and _is_rejected(rollout, intent):
            return _idle(rollout, rollout.target), stable
        return _idle(rollout, intent.target), intent.target
    match rollout.phase:
        case None:
            return _from_idle(rollout, stable, intent, now), stable
        case RolloutPhase.PREPARING:
            return _from_preparing(rollout, stable, intent, world, now)
        case RolloutPhase.MOVING:
            return _from_moving(rollout, stable, intent, world, now)
        case RolloutPhase.DRAINING:
            return _from_draining(rollout, stable, intent, world, now), stable


def _from_idle(rollout: Rollout, stable: str | None, intent: Intent, now: datetime) -> Rollout:
    if intent.target == stable:
        return _idle(rollout, intent.target)
    if _is_rejected(rollout, intent):
        return rollout
    return _start(rollout, stable, intent, now)


def _is_rejected(rollout: Rollout, intent: Intent) -> bool:
    """Whether the spec still has the hash that missed its deadline."""
    return intent.target == rollout.target and intent.target in rollout.rejected


def _start(rollout: Rollout, stable: str | None, intent: Intent, now: datetime) -> Rollout:
    """Begin a rollout to the intent's target; an earlier rejection of it is forgotten."""
    drains_first = intent.strategy is Strategy.RECREATE and stable is not None
    return Rollout(
        phase=RolloutPhase.DRAINING if drains_first else RolloutPhase.PREPARING,
        target=intent.target,
        strategy=intent.strategy,
        started_at=now,
        deadline_at=now + intent.progress_deadline,
        rejected=tuple(hash_ for hash_ in rollout.rejected if hash_ != intent.target),
    )


def _from_preparing(
    rollout: Rollout, stable: str | None, intent: Intent, world: World, now: datetime
) -> tuple[Rollout, str | None]:
    target = rollout.target
    if intent.target != target:
        return _redirected(rollout, stable, intent, now), stable
    if not _has_room(rollout, stable, intent, world):
        return replace(rollout, deadline_at=None), stable  # it counts from the first possible pod
    if rollout.deadline_at is None:
        return replace(rollout, deadline_at=now + intent.progress_deadline), stable
    if world.ready.get(target, 0) >= intent.total:
        return replace(rollout, phase=RolloutPhase.MOVING), target
    can_fall_back = rollout.strategy is Strategy.BLUE_GREEN and stable is not None
    if can_fall_back and now >= rollout.deadline_at:
        rejected = (*(h for h in rollout.rejected if h != target), target)[-REJECTED_LIMIT:]
        return Rollout(target=target, rejected=rejected), stable
    return rollout, stable


def _redirected(rollout: Rollout, stable: str | None, intent: Intent, now: datetime) -> Rollout:
    """The spec was edited while its predecessor was being prepared: that one leaves first."""
    if intent.target == stable:
        return replace(rollout, phase=RolloutPhase.DRAINING, target=stable, deadline_at=None)
    if rollout.strategy is Strategy.RECREATE:
        restarted = _start(rollout, stable, intent, now)
        return replace(restarted, phase=RolloutPhase.DRAINING, strategy=Strategy.RECREATE)
    return _start(rollout, stable, intent, now)


def _from_moving(
    rollout: Rollout, stable: str | None, intent: Intent, world: World, now: datetime
) -> tuple[Rollout, str | None]:
    others = [h for h, count in world.existing.items() if h != stable and count > 0]
    if not others:
        return replace(rollout, phase=RolloutPhase.DRAINING), stable
    fallback = _fallback(stable, intent, world)
    if fallback is not None:
        return _moved_back(rollout, intent, fallback), fallback
    arrived = world.endpoints == {stable} and world.ready.get(stable or "", 0) >= intent.total
    if not arrived:
        return replace(rollout, moved_at=None), stable
    if rollout.moved_at is None:
        return replace(rollout, moved_at=now), stable
    if now >= rollout.moved_at + PROXY_DELAY:
        return replace(rollout, phase=RolloutPhase.DRAINING), stable
    return rollout, stable


def _fallback(stable: str | None, intent: Intent, world: World) -> str | None:
    """Return the old revision to move back to, while it still stands at full size.

    The spec was edited back to it, or the new one has lost all of its ready pods.
    """
    whole = [h for h, ready in world.ready.items() if h != stable and ready >= intent.total]
    if intent.target in whole:
        return intent.target
    new_is_down = world.ready.get(stable or "", 0) == 0
    return whole[0] if whole and new_is_down else None


def _moved_back(rollout: Rollout, intent: Intent, fallback: str) -> Rollout:
    """Move again, to ``fallback``; what failed is rejected, what was only edited away is not."""
    if intent.target == fallback:
        return replace(rollout, target=fallback, moved_at=None)
    failed = rollout.target
    kept = [hash_ for hash_ in rollout.rejected if hash_ != failed]
    rejected = (*kept, failed)[-REJECTED_LIMIT:] if failed else tuple(kept)
    return Rollout(target=failed, rejected=rejected)


def _from_draining(
    rollout: Rollout, stable: str | None, intent: Intent, world: World, now: datetime
) -> Rollout:
    if rollout.target != stable:  # Recreate, before the new pods
        if intent.target != rollout.target:
            return _redirected(rollout, stable, intent, now)
        if any(world.existing.values()):
            return rollout
        deadline_at = now + intent.progress_deadline
        return replace(
            rollout, phase=RolloutPhase.PREPARING, started_at=now, deadline_at=deadline_at
        )
    if any(count for hash_, count in world.existing.items() if hash_ != stable):
        return rollout
    return _idle(rollout, stable)


def _idle(rollout: Rollout, target: str | None) -> Rollout:
    return Rollout(target=target, rejected=rollout.rejected)


def _has_room(rollout: Rollout, stable: str | None, intent: Intent, world: World) -> bool:
    """Whether the target's pods may exist: nothing but it and (BlueGreen) stable is left."""
    stays = {intent.target}
    if rollout.strategy is not Strategy.RECREATE and stable is not None:
        stays.add(stable)
    return not any(count for hash_, count in world.existing.items() if hash_ not in stays)


def _sizes(rollout: Rollout, stable: str | None, intent: Intent, world: World) -> dict[str, int]:
    total = intent.total
    leaving = {
        hash_: 0
        for hash_ in {*world.replicas, *world.existing}
        if world.existing.get(hash_, 0) or hash_ == rollout.target
    }
    wanted: dict[str | None, int] = {}
    match rollout.phase:
        case None:
            wanted = {stable: total}
        case RolloutPhase.PREPARING:
            wanted = {stable: total if rollout.strategy is Strategy.BLUE_GREEN else 0}
            if _has_room(rollout, stable, intent, world):
                wanted |= {rollout.target: total}
        case RolloutPhase.MOVING:
            leaving = {h: min(total, world.replicas.get(h, 0)) for h in leaving}
            wanted = {stable: total}
        case RolloutPhase.DRAINING:
            serves = rollout.target == stable or rollout.strategy is Strategy.BLUE_GREEN
            wanted = {stable: total if serves else 0}
    return leaving | {hash_: size for hash_, size in wanted.items() if hash_ is not None}


def _outcome(
    rollout: Rollout, stable: str | None, intent: Intent, world: World, now: datetime
) -> Outcome:
    match rollout.phase:
        case None if intent.total == 0:
            return Outcome.STOPPED
        case None:
            return Outcome.IDLE if rollout.target == stable else Outcome.REJECTED
        case RolloutPhase.PREPARING:
            if not _has_room(rollout, stable, intent, world):
                return Outcome.CLEARING
            overdue = rollout.deadline_at is not None and now >= rollout.deadline_at
            return Outcome.OVERDUE if overdue else Outcome.PREPARING
        case RolloutPhase.MOVING:
            return Outcome.MOVING
        case RolloutPhase.DRAINING:
            return Outcome.DRAINING if rollout.target == stable else Outcome.CLEARING


def _wake_at(rollout: Rollout, outcome: Outcome) -> datetime | None:
    if rollout.phase is RolloutPhase.MOVING and rollout.moved_at is not None:
        return rollout.moved_at + PROXY_DELAY
    if rollout.phase is RolloutPhase.PREPARING and outcome is not Outcome.OVERDUE:
        return rollout.deadline_at
    return None
