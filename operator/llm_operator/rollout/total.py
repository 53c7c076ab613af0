"""How many pods a resource has in total; pure arithmetic.

Two writers meet in ``spec.replicas``: the manifest and, through ``/scale``, a person or an
autoscaler. A manifest that drops the field resets it to the schema's 1, and an autoscaler then
computes from that 1 and not from the pods. The floor keeps the pods until the autoscaler has
caught up.

Worked example: min 2, max 10, total 8, then an apply without ``replicas``. clamp(1) = 2 is below
8 and nobody owns the field through ``/scale`` any more: floor 8. The autoscaler writes 4, then 8:
the floor ends. If it never does, the floor falls 8, 7, 6, 5, 4, 3, 2 with a minute between.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

FLOOR_INTERVAL: Final = timedelta(seconds=60)
FLOOR_STEP_PERCENT: Final = 10


@dataclass(frozen=True, slots=True)
class ReplicasFloor:
    """A total that must not be undercut, and when it last fell."""

    value: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Bounds:
    """``autoscaling.minReplicas`` and ``maxReplicas``."""

    minimum: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What the spec says about the number of pods, and who says it."""

    replicas: int
    bounds: Bounds | None
    through_scale: bool
    """Whether a field manager holds ``spec.replicas`` through the ``scale`` subresource."""


@dataclass(frozen=True, slots=True)
class Total:
    """The number of pods to run and the floor that holds it, if one does."""

    value: int
    floor: ReplicasFloor | None = None
    wake_at: datetime | None = None


def decide_total(
    asked: Asked, last: int | None, floor: ReplicasFloor | None, *, now: datetime
) -> Total:
    """Return the total; ``last`` is ``status.desiredReplicas``, None before the first pass.

    A rollout that is under way may hold more (``Rollout.held_total``); 0 is obeyed at once.
    """
    if asked.replicas == 0:
        return Total(0)
    wanted = _clamp(asked)
    held = _floor(asked, wanted, last, floor, now)
    value = max(wanted, held.value if held else 0)
    return Total(value, held, held.since + FLOOR_INTERVAL if held else None)


def _clamp(asked: Asked) -> int:
    if asked.bounds is None:
        return asked.replicas
    return min(max(asked.replicas, asked.bounds.minimum), asked.bounds.maximum)


def _floor(
    asked: Asked, wanted: int, last: int | None, floor: ReplicasFloor | None, now: datetime
) -> ReplicasFloor | None:
    if asked.bounds is None:
        return None
    if floor is None and last is not None and wanted < last and not asked.through_scale:
        floor = ReplicasFloor(min(last, asked.bounds.maximum), now)
    if floor is None:
        return None
    fallen = _fallen(floor, now)
    return None if wanted >= fallen.value else fallen


def _fallen(floor: ReplicasFloor, now: datetime) -> ReplicasFloor:
    """Lower the floor by max(1, 10 %) for every whole minute since it last fell."""
    minutes = max(0, (now - floor.since) // FLOOR_INTERVAL)
    value = floor.value
    for _ in range(minutes):
        if value <= 0:
            break
        value -= max(1, value * FLOOR_STEP_PERCENT // 100)
    return ReplicasFloor(max(value, 0), floor.since + minutes * FLOOR_INTERVAL)
