from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_server.engine.batch import Draw
from llm_server.engine.request import SamplingParams
from llm_server.engine.sampler import sample

pytestmark = pytest.mark.torch

PARAMS = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 1e-6, 0.3, 1.0, 2.0]),
    top_p=st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    top_k=st.sampled_from([0, 1, 5, 2000]),
    seed=st.integers(0, 2**63 - 1),
)


def draws_of(params: SamplingParams, count: int) -> list[Draw]:
    """Return the draws of so many positions."""
    return [Draw(params, position) for position in range(count)]


@settings(max_examples=60)
@given(st.lists(PARAMS, min_size=1, max_size=6), st.integers(0, 1000))
def test_a_row_is_sampled_as_if_it_were_alone(params: list[SamplingParams], seed: int) -> None:
    """Whatever the other rows ask for, a row's token is the one it gets by itself."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(params), 1500, generator=generator) * 3
    draws = [Draw(own, 0) for own in params]

    together = sample(logits, draws)
    alone = [sample(logits[row : row + 1], [draw])[0] for row, draw in enumerate(draws)]

    assert together == alone


def test_temperature_zero_takes_the_most_likely() -> None:
    """Greedy is the arg max, whatever top_p and top_k say."""
    logits = torch.tensor([[0.0, 3.0, 1.0], [9.0, 3.0, 1.0]])

    assert sample(logits, draws_of(SamplingParams(temperature=0, top_p=0.1, seed=3), 2)) == [1, 0]


@pytest.mark.parametrize("params", [{"top_k": 1}, {"top_p": 0.0}, {"temperature": 1e-9}])
def test_the_narrowest_choice_is_the_most_likely(params: dict[str, float]) -> None:
    """One candidate, an empty nucleus or hardly any heat leave the best token."""
    logits = torch.tensor([[0.0, 0.1, 0.3, 0.2]]).repeat(50, 1)

    assert set(sample(logits, draws_of(SamplingParams(**params, seed=1), 50))) == {2}  # type: ignore[arg-type]


def test_frequencies_follow_the_distribution() -> None:
    """Many draws come out as the probabilities say."""
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    logits = probabilities.log()[None].repeat(4000, 1)

    counts = Counter(sample(logits, draws_of(SamplingParams(seed=11), 4000)))

    for token, probability in enumerate(probabilities.tolist()):
        assert abs(counts[token] / 4000 - probability) < 0.03


def test_the_nucleus_is_the_smallest_set_with_the_mass() -> None:
    """With top_p 0.7 of 0.5, 0.3, 0.15, 0.05 only the first two can come out."""
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().repeat(500, 1)

    assert set(sample(logits, draws_of(SamplingParams(top_p=0.7, seed=5), 500))) == {0, 1}


def test_a_wide_nucleus_is_not_cut_short() -> None:
    """A flat distribution needs more candidates than the usual sort: all of them can come out."""
    logits = torch.zeros(1, 3000).repeat(400, 1)

    tokens = sample(logits, draws_of(SamplingParams(top_p=0.95, seed=9), 400))

    assert len(set(tokens)) > 300


def test_rows_that_are_not_finite_have_no_token() -> None:
    """A row of NaN or without any finite logit is told apart from the others."""
    logits = torch.zeros(3, 5)
    logits[1, 2] = float("nan")
    logits[2] = float("-inf")

    tokens = sample(logits, draws_of(SamplingParams(temperature=0), 3))

    assert [token is None for token in tokens] == [False, True, True]
