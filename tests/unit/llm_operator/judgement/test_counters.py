from hypothesis import given
from hypothesis import strategies as st

from llm_operator.judgement.counters import Buckets, Counters, percentile, total

BOUNDS = (0.1, 0.2, 0.4, 0.8)
BUCKETS = st.tuples(*[st.integers(0, 1000)] * 5)
COUNTERS = st.builds(
    Counters,
    *[st.integers(0, 1000)] * 4,
    first_token=st.one_of(BUCKETS, st.just(())),
    inter_token=BUCKETS,
)


def test_a_percentile_is_interpolated_within_its_bucket() -> None:
    """Ten values between 0.1 and 0.2, ten between 0.2 and 0.4: p75 is half way up the second."""
    assert percentile((0, 10, 10, 0, 0), BOUNDS, 75) == 0.30000000000000004
    assert percentile((0, 10, 10, 0, 0), BOUNDS, 50) == 0.2
    assert percentile((10, 0, 0, 0, 0), BOUNDS, 95) == 0.095


def test_a_percentile_beyond_all_bounds_is_the_highest_bound() -> None:
    """As Prometheus has it; nothing is known of how much longer it took."""
    assert percentile((1, 0, 0, 0, 99), BOUNDS, 95) == 0.8


def test_nothing_counted_has_no_percentile() -> None:
    """Neither an empty histogram nor one in other buckets than the bounds."""
    assert percentile((0, 0, 0, 0, 0), BOUNDS, 95) is None
    assert percentile((), BOUNDS, 95) is None
    assert percentile((1, 2), BOUNDS, 95) is None


@given(BUCKETS.filter(any), st.integers(1, 100))
def test_a_percentile_lies_in_a_bucket_that_has_values(buckets: Buckets, percent: int) -> None:
    """It is between the bounds of a bucket with a count, and rises with the percentage."""
    value = percentile(buckets, BOUNDS, percent)
    assert value is not None
    edges = [0.0, *BOUNDS]
    inside = [
        (edges[i], edges[min(i + 1, 4)] if i < 4 else edges[4])
        for i, count in enumerate(buckets)
        if count
    ]
    assert any(low <= value <= high + 1e-12 for low, high in inside)
    higher = percentile(buckets, BOUNDS, min(100, percent + 5))
    assert higher is not None
    assert higher >= value


@given(COUNTERS, COUNTERS)
def test_what_was_added_can_be_taken_away(before: Counters, added: Counters) -> None:
    """The difference of a sum and one of its parts is the other part."""
    after = before.plus(added)
    difference = after.minus(before)
    assert (difference.received, difference.judged) == (added.received, added.judged)
    assert difference.inter_token == added.inter_token


@given(COUNTERS, COUNTERS)
def test_no_difference_is_negative(one: Counters, other: Counters) -> None:
    """A counter that fell, against all rules, is no negative number of requests."""
    difference = one.minus(other)
    figures = (difference.received, difference.refused, difference.completed, difference.failed)
    assert min(*figures, *difference.first_token, *difference.inter_token, 0) == 0


def test_histograms_in_other_buckets_have_no_sum() -> None:
    """Two pods that count in different buckets give no latency rather than a wrong one."""
    assert total([Counters(first_token=(1, 2)), Counters(first_token=(1, 2, 3))]).first_token == ()
