"""The arithmetic of a rollout: how many pods of which side at which share."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.rollout import Strategy
from llm_operator.rollout.sizes import (
    Count,
    Split,
    ceil_percent,
    claimed_pods,
    count,
    effective_weight_percent,
    extra_pods,
    has_no_room,
    preparation,
    serving_floor,
    split_for,
    steps_of,
    weight_to_remove_one,
)
from llm_operator.rollout.state import Frozen, World
from tests.rollout_builders import FROZEN, NEW, OLD, POLICY, Pods, a_world

TOTALS = st.integers(1, 60)
EXTRAS = st.integers(0, 8)
WEIGHTS = st.integers(1, 100)


def frozen(extra: int = 1, strategy: Strategy = Strategy.CANARY, percent: int = 100) -> Frozen:
    """Return what a rollout began with."""
    return replace(FROZEN, strategy=strategy, max_extra_replicas=extra, min_serving_percent=percent)


@pytest.mark.parametrize(
    ("total", "extra", "weight", "canary", "stable"),
    [
        (5, 1, 10, 1, 5),
        (5, 1, 25, 2, 4),
        (5, 1, 50, 3, 3),
        (5, 1, 100, 5, 1),
        (5, 0, 10, 1, 4),
        (5, 0, 25, 2, 3),
        (5, 0, 50, 3, 2),
        (5, 0, 100, 4, 1),
        (1, 1, 10, 1, 1),
        (1, 1, 100, 1, 1),
        (1, 0, 100, 1, 0),
        (3, 3, 100, 3, 3),
    ],
)
def test_the_sizes_of_a_share(
    total: int, extra: int, weight: int, canary: int, stable: int
) -> None:
    """As many canary pods as the share needs, rounded up, and stable pods in what room is left."""
    assert split_for(weight, frozen(extra), total) == Split(canary, stable, weight)


@given(TOTALS, EXTRAS, WEIGHTS)
def test_no_share_takes_more_room_than_allowed_and_none_leaves_fewer_pods(
    total: int, extra: int, weight: int
) -> None:
    """T to T + E pods in all; each side has one, unless T + E is one."""
    split = split_for(weight, frozen(extra), total)
    assert total <= split.canary + split.stable <= total + extra
    assert 1 <= split.canary <= total
    assert split.stable <= total
    assert split.stable >= 1 or total + extra == 1


@given(TOTALS, EXTRAS, WEIGHTS, WEIGHTS)
def test_a_higher_share_never_has_fewer_canary_or_more_stable_pods(
    total: int, extra: int, one: int, other: int
) -> None:
    """So no step takes back what the step before it built."""
    low = split_for(min(one, other), frozen(extra), total)
    high = split_for(max(one, other), frozen(extra), total)
    assert low.canary <= high.canary
    assert low.stable >= high.stable


@given(TOTALS, EXTRAS, st.integers(0, 100), WEIGHTS)
def test_the_pods_of_each_step_suffice_for_what_must_serve(
    total: int, extra: int, percent: int, weight: int
) -> None:
    """Where there is room at all, no step asks for fewer pods than may be missing."""
    setting = frozen(extra, percent=percent)
    split = split_for(weight, setting, total)
    assert split.canary + split.stable >= serving_floor(setting, total)


@given(TOTALS, EXTRAS, WEIGHTS)
def test_preparation_needs_no_more_than_may_be_added(total: int, extra: int, weight: int) -> None:
    """As many as the first step needs and as fit beside stable; in place of one if none may."""
    ready = preparation(weight, frozen(extra), total)
    assert ready.weight_percent == 0
    assert ready.canary == min(split_for(weight, frozen(extra), total).canary, max(1, extra))
    assert ready.canary + ready.stable <= total + extra
    assert ready.stable == (total if extra else total - 1)


@given(TOTALS, st.sampled_from([replace(FROZEN, replaces_directly=True)]))
def test_what_clears_first_has_no_stable_pod(total: int, direct: Frozen) -> None:
    """Recreate, and the replacement of what serves nothing, have all pods on one side."""
    for setting in (direct, frozen(strategy=Strategy.RECREATE)):
        assert split_for(100, setting, total) == Split(total, 0, 100)
        assert preparation(100, setting, total) == Split(total, 0, 0)


@given(TOTALS)
def test_blue_green_prepares_the_whole_new_revision_beside_the_old(total: int) -> None:
    """It adds as many pods as there are, whatever maxExtraReplicas says, and has one step."""
    setting = frozen(0, Strategy.BLUE_GREEN)
    (step,) = steps_of(POLICY, setting, total)
    assert extra_pods(setting, total) == total
    assert preparation(step.weight_percent, setting, total) == Split(total, total, 0)
    assert split_for(step.weight_percent, setting, total) == Split(total, total, 100)


@given(st.integers(1, 100), st.integers(1, 5))
def test_rolling_goes_pod_by_pod(total: int, extra: int) -> None:
    """Its steps have 1, 2, ... T canary pods."""
    setting = frozen(extra, Strategy.ROLLING)
    steps = steps_of(POLICY, setting, total)
    pods = [split_for(step.weight_percent, setting, total).canary for step in steps]
    assert pods == list(range(1, total + 1))
    assert steps[-1].weight_percent == 100


@given(st.integers(101, 1000))
def test_rolling_more_pods_than_percents_still_rises_to_all(total: int) -> None:
    """A hundred steps, each higher than the one before."""
    steps = steps_of(POLICY, frozen(strategy=Strategy.ROLLING), total)
    weights = [step.weight_percent for step in steps]
    assert weights == list(range(1, 101))


def test_only_a_canary_has_the_steps_of_the_spec() -> None:
    """The presets have their own, and so has a replacement of what serves nothing."""
    assert steps_of(POLICY, frozen(), 4) == POLICY.steps
    assert len(steps_of(POLICY, frozen(strategy=Strategy.BLUE_GREEN), 4)) == 1
    assert len(steps_of(POLICY, frozen(strategy=Strategy.RECREATE), 4)) == 1
    assert len(steps_of(POLICY, replace(FROZEN, replaces_directly=True), 4)) == 1


@given(st.integers(0, 60), st.integers(1, 60), WEIGHTS)
def test_a_stable_pod_goes_when_the_others_have_its_share(
    canary: int, stable: int, weight: int
) -> None:
    """Never more than the step asks, nor more than the part of the ready canary pods."""
    needed = weight_to_remove_one(canary, stable, weight)
    assert 0 <= needed <= weight
    remaining = canary + stable - 1
    assert needed * remaining <= 100 * canary or remaining == 0
    if stable > 1:
        assert needed < 100


def test_the_share_that_lets_a_stable_pod_go() -> None:
    """1 canary and 5 stable pods: 20 percent, or what the step asks if that is less."""
    assert weight_to_remove_one(1, 5, 100) == 20
    assert weight_to_remove_one(1, 5, 10) == 10
    assert weight_to_remove_one(1, 1, 100) == 100
    assert weight_to_remove_one(0, 1, 50) == 50


@pytest.mark.parametrize(
    ("canary", "stable", "share"), [(1, 1, 50), (1, 5, 17), (1, 7, 13), (0, 3, 0), (2, 0, 100)]
)
def test_the_share_by_pods_is_rounded_to_the_nearest(canary: int, stable: int, share: int) -> None:
    """What a Service without a split does, whatever was asked."""
    assert effective_weight_percent(canary, stable) == share
    assert effective_weight_percent(0, 0) is None


@given(TOTALS, EXTRAS, st.integers(0, 100), st.sampled_from(Strategy))
def test_nothing_can_be_replaced_where_no_pod_may_come_and_none_be_missing(
    total: int, extra: int, percent: int, strategy: Strategy
) -> None:
    """E = 0 and m = T; BlueGreen brings its own room, Recreate needs none."""
    refused = has_no_room(frozen(extra, strategy, percent), total)
    steps = strategy in (Strategy.CANARY, Strategy.ROLLING)
    assert refused == (steps and extra == 0 and ceil_percent(total, percent) == total)


def test_a_deployment_that_has_not_followed_yet_counts_as_if_it_had() -> None:
    """2 ready and 1 ending pod with 3 asked for: a third one comes, so four take room."""
    world = World(ready={NEW: 2}, existing={NEW: 3}, replicas={NEW: 3})
    assert count(world, NEW) == Count(replicas=3, ready=2, claimed=4)
    assert (count(world, NEW).ending, count(world, NEW).unready) == (1, 1)


def test_pods_of_a_deployment_that_was_made_smaller_count_until_they_are_gone() -> None:
    """They hold their accelerator; the ready ones that stay are as many as are asked for."""
    world = World(ready={NEW: 3}, existing={NEW: 3}, replicas={NEW: 1})
    assert count(world, NEW) == Count(replicas=1, ready=1, claimed=3)


def test_pods_without_a_deployment_take_room_all_the_same() -> None:
    """A Deployment that is gone leaves pods that end."""
    world = World(existing={NEW: 2}, ready={NEW: 2})
    assert count(world, NEW) == Count(replicas=0, ready=0, claimed=2)
    assert count(world, None) == Count(0, 0, 0)


def test_pods_of_all_revisions_are_counted_together() -> None:
    """Unless some are named."""
    world = a_world(old=Pods(3, ending=1), new=Pods(1, starting=1), next=Pods(ending=2))
    assert claimed_pods(world) == 8
    assert claimed_pods(world, [OLD, NEW]) == 6
