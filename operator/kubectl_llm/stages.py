"""The moments of a forecast, summed up for people: stages, shares, and what is held. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any

from llm_operator.api.status import RolloutPhase
from llm_operator.api.traffic import Provider
from llm_operator.desired.revision import Revision
from llm_operator.rollout.forecast import Moment
from llm_operator.rollout.sizes import (
    WHOLE,
    clears_first,
    effective_weight_percent,
    split_for,
    steps_of,
)
from llm_operator.rollout.state import Frozen, Policy


@dataclass(frozen=True, slots=True)
class Stage:
    """One phase, or one step of it, and what it does to the pods."""

    phase: RolloutPhase
    step: int | None
    """Number of the step, from 1."""
    weight_percent: int
    """The share that is asked at its end."""
    begins_after: timedelta
    """At the earliest; what pods need to load is not in it."""
    created_new: int
    created_old: int
    """Pods of a former revision that come back, or come with a higher total."""
    removed_new: int
    removed_old: int
    pods_new: int
    """At its end."""
    pods_old: int
    peak_pods: int
    needs_command: bool
    """Whether it waits for ``promote-step``."""


@dataclass(frozen=True, slots=True)
class StepShare:
    """What one step asks for, and what it can have."""

    step: int
    """From 1."""
    asked_percent: int
    effective_percent: int
    canary_pods: int
    stable_pods: int


def stages_of(moments: Iterable[Moment], target: str) -> tuple[Stage, ...]:
    """Return the stages; ``new`` is the target, ``old`` every other revision."""
    runs = groupby(moments, key=lambda m: (m.rollout.phase, m.rollout.step, m.rollout.target))
    return tuple(_stage(list(run), target) for _, run in runs)


def _stage(run: list[Moment], target: str) -> Stage:
    last = run[-1]
    created, removed = _total(m.created for m in run), _total(m.removed for m in run)
    step = last.rollout.step
    in_step = last.rollout.phase in (RolloutPhase.STEP, RolloutPhase.PAUSED)
    return Stage(
        phase=last.rollout.phase,
        step=step + 1 if step is not None and in_step else None,
        weight_percent=last.rollout.weight_percent,
        begins_after=run[0].elapsed,
        created_new=created[target],
        created_old=created.total() - created[target],
        removed_new=removed[target],
        removed_old=removed.total() - removed[target],
        pods_new=last.ready.get(target, 0),
        pods_old=sum(last.ready.values()) - last.ready.get(target, 0),
        peak_pods=max(sum(m.existing.values()) for m in run),
        needs_command=any(m.needs_command for m in run),
    )


def _total(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total = Counter[str]()
    for count in counts:
        total.update(count)
    return total


def step_shares(moments: Iterable[Moment], target: str, policy: Policy) -> tuple[StepShare, ...]:
    """Return the steps of the rollout to ``target``; none where it does not go by steps."""
    for moment in moments:
        rollout = moment.rollout
        frozen, total = rollout.frozen, rollout.held_total
        if rollout.target == target and frozen is not None and total is not None:
            return () if clears_first(frozen) else _shares(policy, frozen, total)
    return ()


def _shares(policy: Policy, frozen: Frozen, total: int) -> tuple[StepShare, ...]:
    shares = []
    for index, step in enumerate(steps_of(policy, frozen, total)):
        split = split_for(step.weight_percent, frozen, total)
        weight, exact = step.weight_percent, frozen.provider is Provider.GATEWAY_API
        by_pods = effective_weight_percent(split.canary, split.stable)
        effective = weight if exact or weight == WHOLE or by_pods is None else by_pods
        shares.append(StepShare(index + 1, weight, effective, split.canary, split.stable))
    return tuple(shares)


def peak_accelerators(
    existing: Iterable[Mapping[str, int]], revisions: Mapping[str, Revision]
) -> dict[str, int]:
    """Return the most devices of each kind that are held at one time; pods that end hold theirs."""
    peak: dict[str, int] = {}
    for pods in existing:
        held = Counter[str]()
        for hash_, count in pods.items():
            resource_name, devices = _accelerator(revisions.get(hash_))
            held[resource_name] += count * devices
        for resource_name, devices in held.items():
            peak[resource_name] = max(peak.get(resource_name, 0), devices)
    return {name: count for name, count in sorted(peak.items()) if name and count}


def _accelerator(revision: Revision | None) -> tuple[str, int]:
    accelerator: Mapping[str, Any] = revision.spec.get("accelerator", {}) if revision else {}
    return str(accelerator.get("resourceName", "")), int(accelerator.get("count", 1))
