"""The next sizes and the next share on the way to a split, one move per pass. Pure.

::

    (1) room and too few stable pods: create stable
    (2) room and too few canary pods: create canary
    (3) too many stable pods, every canary pod ready and no freed room pending: remove an unready
        stable pod, or a ready one if enough stay ready and its share has moved already
    (4) sizes reached: the share of the split

A rollout that clears first removes all stable pods and then creates the canary's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.position import Case, Position, is_settled
from llm_operator.rollout.sizes import (
    Split,
    claimed_pods,
    clears_first,
    preparation,
    serving_floor,
    split_for,
    weight_to_remove_one,
)


@dataclass(frozen=True, slots=True)
class Move:
    """Replicas of both sides for now, and the share to ask for."""

    canary: int
    stable: int
    weight_percent: int


def goal(position: Position, case: Case) -> Split:
    """Return the split that the phase is moving to; ``weight_percent`` 0 while preparing."""
    total, frozen = case.total(position), position.frozen
    match position.rollout.phase:
        case RolloutPhase.PREPARING:
            return preparation(case.steps(position)[0].weight_percent, frozen, total)
        case RolloutPhase.PROMOTING:
            return split_for(100, frozen, total)
        case _:
            return split_for(position.rollout.step_weight_percent, frozen, total)


def room(position: Position, case: Case) -> int:
    """Return how many pods may be created now; pods of any revision take room until gone."""
    return max(0, case.limit(position) - claimed_pods(case.world))


def advance_sizes(position: Position, case: Case) -> Move:
    """Return the next move towards the goal of a phase that moves forward."""
    split = goal(position, case)
    if clears_first(position.frozen):
        return _clear_first(position, case, split)
    canary, stable = case.canary(position), case.stable(position)
    weight = position.rollout.weight_percent
    free = room(position, case)
    more_stable = max(0, min(free, split.stable - stable.replicas))
    more_canary = max(0, min(free - more_stable, split.canary - canary.replicas))
    if more_stable or more_canary:
        return Move(canary.replicas + more_canary, stable.replicas + more_stable, weight)
    if stable.replicas > split.stable:
        return _shrink_stable(position, case, split)
    if canary.replicas >= split.canary and canary.unready == 0 and split.weight_percent > weight:
        weight = split.weight_percent
    return Move(canary.replicas, stable.replicas, weight)


def stands(position: Position, case: Case) -> bool:
    """Whether the goal's sizes are reached, with every canary pod ready."""
    split = goal(position, case)
    canary = case.canary(position)
    if canary.replicas < split.canary or canary.unready > 0:
        return False
    return case.stable(position).replicas == split.stable


def is_reached(position: Position, case: Case) -> bool:
    """Whether the goal's sizes stand and its share is applied."""
    is_asked = position.rollout.weight_percent == goal(position, case).weight_percent
    return is_asked and stands(position, case) and is_settled(position, case)


def stable_only(position: Position, case: Case) -> Move:
    """Return the sizes of a rollout that waits: stable may grow with the total, nothing else."""
    rollout, canary, stable = position.rollout, case.canary(position), case.stable(position)
    wanted = stable.replicas
    if not clears_first(position.frozen):
        wanted = split_for(
            rollout.step_weight_percent, position.frozen, case.total(position)
        ).stable
    more = max(0, min(room(position, case), wanted - stable.replicas))
    return Move(canary.replicas, stable.replicas + more, rollout.weight_percent)


def _clear_first(position: Position, case: Case, split: Split) -> Move:
    """Remove every stable pod, wait until they are gone, then create the canary's.

    A first revision, which keeps nothing from being served, also follows a total that falls.
    """
    canary, stable = case.canary(position), case.stable(position)
    weight = position.rollout.weight_percent
    if position.stable is not None and stable.claimed > 0:
        return Move(canary.replicas, 0, weight)
    wanted = min(split.canary, canary.replicas + room(position, case))
    if canary.ready > 0 and canary.replicas >= split.canary and canary.unready == 0:
        weight = max(weight, split.weight_percent)
    return Move(wanted, 0, weight)


def _shrink_stable(position: Position, case: Case, split: Split) -> Move:
    """Take away one ready stable pod, or the unready ones, when nothing speaks against it."""
    canary, stable = case.canary(position), case.stable(position)
    weight = position.rollout.weight_percent
    stays = Move(canary.replicas, stable.replicas, weight)
    surplus = stable.replicas - split.stable
    if canary.unready > 0 or _room_is_pending(position, case):
        return stays
    if stable.unready > 0:
        return Move(canary.replicas, stable.replicas - min(stable.unready, surplus), weight)
    floor = serving_floor(position.frozen, case.total(position))
    if stable.ready + canary.ready - 1 < floor:
        return stays
    needed = weight_to_remove_one(canary.ready, stable.ready, split.weight_percent)
    if weight < needed:
        return Move(canary.replicas, stable.replicas, needed)
    if not is_settled(position, case):
        return stays
    return Move(canary.replicas, stable.replicas - 1, weight)


def _room_is_pending(position: Position, case: Case) -> bool:
    """Whether pods are ending whose room will be there soon."""
    known = {*case.world.existing, *case.world.replicas}
    return any(_ending(position, case, hash_) for hash_ in known)


def _ending(position: Position, case: Case, hash_: str) -> bool:
    if hash_ in (position.stable, position.rollout.target):
        return case.count(hash_).ending > 0
    return case.count(hash_).claimed > 0


def sizes_by_hash(position: Position, case: Case, move: Move) -> Mapping[str, int]:
    """Name the sizes; every other revision goes, and its Deployment with its last pod."""
    sizes = leaving(position, case)
    if position.stable is not None:
        sizes[position.stable] = move.stable
    if position.rollout.target is not None:
        sizes[position.rollout.target] = move.canary
    return sizes


def leaving(position: Position, case: Case) -> dict[str, int]:
    """Return 0 for each revision that has pods or a size and no part in the rollout."""
    part = {position.stable, position.rollout.target, position.rollout.previous}
    if position.rollout.phase in (RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK):
        part = {position.stable}
    known = {*case.world.existing, *case.world.replicas} - part
    return {hash_: 0 for hash_ in known if case.count(hash_).claimed > 0}
