"""Rules of the total number of pods."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llm_operator.ownership import held_through_scale
from llm_operator.rollout.total import (
    Asked,
    Bounds,
    ReplicasFloor,
    decide_total,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOUNDS = Bounds(2, 10)


def test_without_autoscaling_the_spec_is_obeyed_in_both_directions() -> None:
    """Fixed replicas are what the spec says, at once."""
    total = decide_total(Asked(1, None, through_scale=False), 8, None, now=NOW)

    assert (total.value, total.floor) == (1, None)


def test_an_apply_without_replicas_keeps_the_pods_that_the_autoscaler_asked_for() -> None:
    """Min 2, total 8, then an apply that drops the field: the floor holds 8."""
    total = decide_total(Asked(1, BOUNDS, through_scale=False), 8, None, now=NOW)

    assert (total.value, total.floor) == (8, ReplicasFloor(8, NOW))


def test_an_autoscaler_that_lowers_through_scale_is_obeyed() -> None:
    """A fall that the owner of the scale subresource asked for sets no floor."""
    total = decide_total(Asked(3, BOUNDS, through_scale=True), 8, None, now=NOW)

    assert (total.value, total.floor) == (3, None)


def test_the_floor_ends_when_the_spec_has_caught_up() -> None:
    """A clamped value at or above the floor ends it for good."""
    floor = ReplicasFloor(8, NOW)

    total = decide_total(Asked(8, BOUNDS, through_scale=True), 8, floor, now=NOW)

    assert (total.value, total.floor) == (8, None)


def test_the_floor_falls_by_one_or_ten_percent_each_minute() -> None:
    """A floor that nobody catches up with falls step by step, and says when the next is due."""
    floor = ReplicasFloor(30, NOW)
    later = NOW + timedelta(seconds=125)

    total = decide_total(Asked(1, Bounds(1, 50), through_scale=False), 30, floor, now=later)

    assert total.value == 30 - 3 - 2
    assert total.floor == ReplicasFloor(25, NOW + timedelta(seconds=120))
    assert total.wake_at == NOW + timedelta(seconds=180)


def test_zero_is_obeyed_at_once() -> None:
    """0 stops everything, with autoscaling and with a floor."""
    floor = ReplicasFloor(8, NOW)

    total = decide_total(Asked(0, BOUNDS, through_scale=False), 8, floor, now=NOW)

    assert (total.value, total.floor) == (0, None)


@given(
    replicas=st.integers(1, 50),
    last=st.one_of(st.none(), st.integers(0, 50)),
    minimum=st.integers(1, 10),
    extra=st.integers(0, 40),
    through_scale=st.booleans(),
    seconds=st.integers(0, 10_000),
)
def test_with_autoscaling_the_total_is_never_below_the_minimum_nor_above_what_was(
    replicas: int, last: int | None, minimum: int, extra: int, through_scale: bool, seconds: int
) -> None:
    """The total stays within the bounds, or at most at what already ran."""
    bounds = Bounds(minimum, minimum + extra)
    first = decide_total(Asked(replicas, bounds, through_scale=through_scale), last, None, now=NOW)
    later = decide_total(
        Asked(replicas, bounds, through_scale=through_scale),
        first.value,
        first.floor,
        now=NOW + timedelta(seconds=seconds),
    )

    assert minimum <= later.value <= first.value <= bounds.maximum


def test_only_the_scale_subresource_counts_as_scaling() -> None:
    """A manifest that owns spec.replicas is not an autoscaler."""
    fields: dict[str, Any] = {"f:spec": {"f:replicas": {}}}

    assert not held_through_scale([{"manager": "kubectl", "fieldsV1": fields}])
    assert held_through_scale([{"manager": "hpa", "subresource": "scale", "fieldsV1": fields}])
