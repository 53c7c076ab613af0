"""How many pods of which revision, and which share of the traffic; all of the arithmetic. Pure.

=====  =====================================================================
T      the total: pods that are asked for, held while a rollout runs
E      pods that the rollout may add to T (``maxExtraReplicas``; BlueGreen: T)
m      ready pods that may not be undercut: ceil(T * minServingPercent / 100)
w      a share of the traffic, in percent
c(w)   pods of the canary at w: max(1, min(ceil(T * w / 100), T + E - 1))
s(w)   pods of stable at w: min(T, T + E - c(w))
=====  =====================================================================

Worked example, T 5 and E 1: 10 % is 1 + 5 pods, 25 % is 2 + 4, 50 % is 3 + 3, 100 % is 5 + 1.
With E 0: 1 + 4, 2 + 3, 3 + 2 and 4 + 1, so that every step keeps a pod of stable.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from llm_operator.api.rollout import Strategy
from llm_operator.rollout.state import Frozen, Policy, Step, World

WHOLE: Final = 100
"""All of the traffic, in percent."""

_AT_ONCE: Final = (Step(WHOLE, min_seconds=0),)


def ceil_percent(total: int, percent: int) -> int:
    """Return ``percent`` of ``total``, rounded up."""
    return -(-total * percent // 100)


def extra_pods(frozen: Frozen, total: int) -> int:
    """Return E; a BlueGreen rollout doubles the pods."""
    return total if frozen.strategy is Strategy.BLUE_GREEN else frozen.max_extra_replicas


def serving_floor(frozen: Frozen, total: int) -> int:
    """Return m."""
    return ceil_percent(total, frozen.min_serving_percent)


def clears_first(frozen: Frozen) -> bool:
    """Whether stable's pods go before the canary's come: Recreate, or nothing worth keeping."""
    return frozen.strategy is Strategy.RECREATE or frozen.replaces_directly


def has_no_room(frozen: Frozen, total: int) -> bool:
    """Whether no pod may be added and none be missing, so that nothing can ever be replaced."""
    if clears_first(frozen):
        return False
    return extra_pods(frozen, total) == 0 and serving_floor(frozen, total) >= total


@dataclass(frozen=True, slots=True)
class Split:
    """Pods of both sides, and the share of the canary."""

    canary: int
    stable: int
    weight_percent: int


def split_for(weight_percent: int, frozen: Frozen, total: int) -> Split:
    """Return c(w), s(w) and w; a rollout that clears first has stable at 0."""
    if clears_first(frozen):
        return Split(total, 0, weight_percent)
    room = total + extra_pods(frozen, total)
    canary = max(1, min(ceil_percent(total, weight_percent), room - 1))
    return Split(canary, min(total, room - canary), weight_percent)


def preparation(first_weight_percent: int, frozen: Frozen, total: int) -> Split:
    """Return the pods that must be ready before the canary gets any share.

    As many as the first step needs and as may be added; one in place of a stable pod when none
    may be added.
    """
    if clears_first(frozen):
        return Split(total, 0, 0)
    extra = extra_pods(frozen, total)
    canary = min(split_for(first_weight_percent, frozen, total).canary, max(1, extra))
    return Split(canary, min(total, total + extra - canary), 0)


def steps_of(policy: Policy, frozen: Frozen, total: int) -> tuple[Step, ...]:
    """Return the steps of a strategy, by rising weight; never empty.

    Rolling goes pod by pod: step k of T has floor(100 k / T) percent, of which c(w) makes k pods.
    Of more than 100 pods a percent is more than one, and a step takes as many.
    """
    if clears_first(frozen) or frozen.strategy is Strategy.BLUE_GREEN:
        return _AT_ONCE
    if frozen.strategy is Strategy.ROLLING:
        weights = {max(1, WHOLE * pod // total) for pod in range(1, total + 1)}
        return tuple(Step(weight, min_seconds=0) for weight in sorted(weights))
    return policy.steps


def weight_to_remove_one(canary_ready: int, stable_ready: int, weight_percent: int) -> int:
    """Return the share that the canary must have before a ready stable pod may go.

    The share of its ready pods once the pod is gone, but no more than the step asks for: no pod
    is left with more than its part. 1 canary and 5 stable pods, one to go: floor(100 / 5) = 20.
    """
    remaining = canary_ready + stable_ready - 1
    share = WHOLE * canary_ready // remaining if remaining else WHOLE
    return min(weight_percent, share)


def effective_weight_percent(canary_ready: int, stable_ready: int) -> int | None:
    """Return the share by number of ready pods, rounded to the nearest; None without any.

    With one pod of each it is 50, whatever weight was asked.
    """
    total = canary_ready + stable_ready
    return (200 * canary_ready + total) // (2 * total) if total else None


@dataclass(frozen=True, slots=True)
class Count:
    """The pods of one revision, as they are and as they will be by what was written."""

    replicas: int
    """What its Deployment asks for."""
    ready: int
    """Ready pods that stay: a Deployment that was made smaller removes unready ones first."""
    claimed: int
    """Pods that exist, those that end included, and those that the Deployment is about to make."""

    @property
    def ending(self) -> int:
        """Pods that end or are about to."""
        return self.claimed - self.replicas

    @property
    def unready(self) -> int:
        """Pods that are asked for and not ready, whether they exist yet or not."""
        return self.replicas - self.ready


def count(world: World, hash_: str | None) -> Count:
    """Count one revision; the Deployment's size counts where its pods are still to come."""
    if hash_ is None:
        return Count(0, 0, 0)
    replicas = world.replicas.get(hash_, 0)
    ready, starting = world.ready.get(hash_, 0), world.starting.get(hash_, 0)
    ending = max(0, world.existing.get(hash_, 0) - ready - starting)
    return Count(replicas, min(ready, replicas), ending + max(ready + starting, replicas))


def claimed_pods(world: World, hashes: Iterable[str] | None = None) -> int:
    """Return the pods of all revisions, or of some, that exist or are about to."""
    known = {*world.existing, *world.replicas} if hashes is None else hashes
    return sum(count(world, hash_).claimed for hash_ in known)
