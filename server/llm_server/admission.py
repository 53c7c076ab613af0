"""The door of the engine: how many requests may be inside, and what a request may ask for.

Refusals are raised here, before anything is computed. Used by ``service`` on the event loop.
"""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from llm_server.engine.request import GenerationRequest, SamplingParams
from llm_server.errors import Overloaded, RequestInvalid

_SMOOTHING = 0.1  # weight of the newest duration in the moving average
_MAX_RETRY_AFTER_SECONDS = 120


@dataclass(frozen=True, slots=True)
class ServingLimits:
    """What one server takes. ``max_model_len`` counts prompt and answer tokens."""

    max_model_len: int
    vocab_size: int
    max_batch_size: int
    max_queued_requests: int
    request_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class AnswerBound:
    """At most so many tokens, as ``field`` of the request says; ``field`` None: by default."""

    tokens: int
    field: str | None = None


@dataclass(frozen=True, slots=True)
class GenerationParams:
    """What a request asks for beside its prompt; ``bound`` None: as many tokens as fit."""

    sampling: SamplingParams
    bound: AnswerBound | None
    stop_strings: tuple[str, ...]


class Permits:
    """Bounds the requests inside: the batch and the queue behind it.

    ``empty`` is set while nobody is.
    """

    def __init__(self, limits: ServingLimits) -> None:
        self._max_batch_size = limits.max_batch_size
        self._limit = limits.max_batch_size + limits.max_queued_requests
        self._inside = 0
        self._average_seconds = 0.0
        self.empty = asyncio.Event()
        self.empty.set()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold a permit for the length of the block. Raises ``Overloaded`` when there is none."""
        if self._inside >= self._limit:
            raise Overloaded(limit=self._limit, retry_after_seconds=self.retry_after_seconds())
        self._inside += 1
        self.empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if self._inside == 0:
                self.empty.set()

    def record(self, seconds: float) -> None:
        """Take note of how long a finished request was inside."""
        if self._average_seconds == 0:
            self._average_seconds = seconds
        self._average_seconds += _SMOOTHING * (seconds - self._average_seconds)

    def retry_after_seconds(self) -> int:
        """Return when the queue of now is likely to be gone: its length times the mean turn.

        One turn of the batch takes the mean request's time and empties ``max_batch_size`` places;
        12 waiting at a batch of 4 and 2 s a request: 6 s. At least 1, at most 120.
        """
        turns = max(self._inside - self._max_batch_size, 1) / self._max_batch_size
        seconds = math.ceil(turns * self._average_seconds)
        return min(max(seconds, 1), _MAX_RETRY_AFTER_SECONDS)


def admit(
    request_id: str,
    prompt_token_ids: tuple[int, ...],
    params: GenerationParams,
    limits: ServingLimits,
    *,
    now: float,
) -> GenerationRequest:
    """Return the request for the engine. Raises ``RequestInvalid`` when it cannot fit."""
    return GenerationRequest(
        request_id=request_id,
        prompt_token_ids=prompt_token_ids,
        max_tokens=_answer_tokens(prompt_token_ids, params.bound, limits),
        sampling=params.sampling,
        stop_strings=params.stop_strings,
        arrived_at=now,
        deadline=now + limits.request_timeout_seconds,
    )


def _answer_tokens(
    prompt: tuple[int, ...], bound: AnswerBound | None, limits: ServingLimits
) -> int:
    _check_prompt(prompt, limits)
    room = limits.max_model_len - len(prompt)
    if bound is None:
        return room
    if bound.field is None:
        return min(bound.tokens, room)
    if bound.tokens > room:
        raise RequestInvalid(
            f"{bound.field} asks for {bound.tokens} tokens; with the prompt's {len(prompt)} "
            f"at most {room} are allowed, as this model takes {limits.max_model_len} in all",
            param=bound.field,
            code="context_length_exceeded",
        )
    return bound.tokens


def _check_prompt(prompt: tuple[int, ...], limits: ServingLimits) -> None:
    if not prompt:
        raise RequestInvalid("The prompt must have at least one token", param="prompt")
    if len(prompt) >= limits.max_model_len:
        raise RequestInvalid(
            f"The prompt has {len(prompt)} tokens; allowed are at most "
            f"{limits.max_model_len - 1}, so that one for the answer fits the model",
            param="prompt",
            code="context_length_exceeded",
        )
    outside = next((token for token in prompt if not 0 <= token < limits.vocab_size), None)
    if outside is not None:
        raise RequestInvalid(
            f"prompt has the token id {outside}; allowed are 0..{limits.vocab_size - 1}",
            param="prompt",
        )
