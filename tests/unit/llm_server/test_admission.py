import asyncio

import pytest

from llm_server.admission import AnswerBound, GenerationParams, Permits, ServingLimits, admit
from llm_server.engine.request import SamplingParams
from llm_server.errors import Overloaded, RequestInvalid

LIMITS = ServingLimits(
    max_model_len=20,
    vocab_size=100,
    max_batch_size=2,
    max_queued_requests=3,
    request_timeout_seconds=30,
)


def params(max_tokens: int | None) -> GenerationParams:
    """Return greedy parameters of a request with this max_tokens."""
    bound = None if max_tokens is None else AnswerBound(max_tokens, "max_tokens")
    return GenerationParams(SamplingParams(temperature=0), bound, ())


def test_without_a_bound_an_answer_may_fill_the_model() -> None:
    """No max_tokens means what is left of max_model_len."""
    assert admit("a", (1,) * 5, params(None), LIMITS, now=0).max_tokens == 15


@pytest.mark.parametrize(("prompt_tokens", "answer_tokens"), [(5, 10), (10, 10), (15, 5), (19, 1)])
def test_a_default_bound_is_cut_to_what_fits(prompt_tokens: int, answer_tokens: int) -> None:
    """A bound that nobody asked for never makes a request too large."""
    by_default = GenerationParams(SamplingParams(), AnswerBound(10), ())

    request = admit("a", (1,) * prompt_tokens, by_default, LIMITS, now=0)

    assert request.max_tokens == answer_tokens


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_bound_that_does_not_fit_is_refused_by_its_name(field: str) -> None:
    """The message names the field that asked, and how many tokens would be allowed."""
    asked = GenerationParams(SamplingParams(), AnswerBound(16, field), ())

    with pytest.raises(RequestInvalid, match=f"^{field} asks for 16 .* at most 15 ") as refusal:
        admit("a", (1,) * 5, asked, LIMITS, now=0)

    assert (refusal.value.param, refusal.value.code) == (field, "context_length_exceeded")


def test_the_deadline_counts_from_arrival() -> None:
    """A request may last request_timeout_seconds from when it arrived."""
    assert admit("a", (1,), params(1), LIMITS, now=7).deadline == 37


@pytest.mark.parametrize(
    ("prompt", "max_tokens", "param"),
    [
        ((1,) * 15, 6, "max_tokens"),
        ((1,) * 20, None, "prompt"),
        ((1,) * 30, 1, "prompt"),
        ((), 1, "prompt"),
        ((5, 100), 1, "prompt"),
        ((-1,), 1, "prompt"),
    ],
)
def test_what_cannot_fit_is_refused(
    prompt: tuple[int, ...], max_tokens: int | None, param: str
) -> None:
    """A prompt beyond the model, beyond its vocabulary or empty is refused by field."""
    with pytest.raises(RequestInvalid) as refusal:
        admit("a", prompt, params(max_tokens), LIMITS, now=0)

    assert refusal.value.param == param


async def test_no_more_are_inside_than_batch_and_queue() -> None:
    """Five permits for a batch of 2 and a queue of 3; the sixth is refused until one leaves."""
    permits = Permits(LIMITS)
    held = [permits.hold() for _ in range(5)]
    for permit in held:
        permit.__enter__()

    with pytest.raises(Overloaded), permits.hold():
        pass
    held[0].__exit__(None, None, None)
    with permits.hold():
        assert not permits.empty.is_set()
    for permit in held[1:]:
        permit.__exit__(None, None, None)

    assert permits.empty.is_set()
    await asyncio.sleep(0)


def test_retry_after_grows_with_the_backlog() -> None:
    """A mean request of 8 s, a batch of 2 and 3 waiting: 12 s until the queue is gone."""
    permits = Permits(LIMITS)
    permits.record(8.0)
    held = [permits.hold() for _ in range(5)]
    for permit in held:
        permit.__enter__()

    assert permits.retry_after_seconds() == 12


def test_retry_after_is_at_least_a_second() -> None:
    """Before anything was measured there is still a sensible answer."""
    assert Permits(LIMITS).retry_after_seconds() == 1
