from hypothesis import given
from hypothesis import strategies as st

from llm_server.engine.decode_groups import PADDING_FACTOR, SLACK_TOKENS, plan_groups

LENGTHS = st.lists(st.integers(1, 40_000), min_size=1, max_size=40)


@given(LENGTHS)
def test_every_row_is_in_exactly_one_group(lengths: list[int]) -> None:
    """A plan is a partition of the rows."""
    plan = plan_groups([[length] for length in lengths])

    assert sorted(index for group in plan for index in group) == list(range(len(lengths)))


@given(LENGTHS)
def test_padding_stays_bounded(lengths: list[int]) -> None:
    """No group is padded beyond the factor, or beyond the slack that is always allowed."""
    for group in plan_groups([[length] for length in lengths]):
        rows = [lengths[index] for index in group]
        assert len(rows) * max(rows) <= max(PADDING_FACTOR * sum(rows), SLACK_TOKENS)


def test_one_long_row_does_not_pad_the_short_ones() -> None:
    """A row of 4000 tokens and 30 of 100 are two groups, not 31 rows of 4000."""
    plan = plan_groups([[4000], *[[100]] * 30])

    assert len(plan) == 2
    assert len(next(group for group in plan if 0 in group)) <= 2


def test_short_rows_are_always_together() -> None:
    """Rows whose padded size is small are one group, whatever their lengths."""
    assert len(plan_groups([[200], [1], [30], [7]])) == 1
