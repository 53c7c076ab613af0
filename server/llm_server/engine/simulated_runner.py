"""A model runner that computes nothing: a timing model with deterministic tokens, without torch.

Behind ``builtin://simulated``. Everything around it is the real server, so rollouts can be tried
and clusters sized without an accelerator. A step takes

    prompt tokens / prefill rate + (step + step per sequence x decoding sequences, if there are any)

and is slept, not burnt. The next token is a function of all tokens before it, and of the draw
when the temperature is above 0: preemption, batch mates and restarts never change an answer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

from llm_server.engine.batch import Batch, BatchRow, RunnerCapacity, Sampled


@dataclass(frozen=True, slots=True)
class TimingModel:
    """The figures of the simulated machine; every step takes ``duration_percent`` of them."""

    prefill_tokens_per_second: float
    step_seconds: float
    step_seconds_per_sequence: float
    duration_percent: int = 100

    def seconds(self, batch: Batch) -> float:
        """Return how long the step takes."""
        num_decodes = sum(row.is_decode for row in batch.rows)
        num_prefill = sum(len(row.token_ids) for row in batch.rows if not row.is_decode)
        seconds = num_prefill / self.prefill_tokens_per_second
        if num_decodes:
            seconds += self.step_seconds + num_decodes * self.step_seconds_per_sequence
        return seconds * self.duration_percent / 100


@dataclass(frozen=True, slots=True)
class SimulatedModel:
    """What is pretended; the tokens 1 … ``num_words`` make text.

    After ``answer_tokens`` an answer ends with ``eos_token_id``; 0: it never ends by itself.
    """

    timing: TimingModel
    capacity: RunnerCapacity
    num_words: int
    eos_token_id: int
    answer_tokens: int


class SimulatedRunner:
    """A ``ModelRunner``; what it holds per sequence is a checksum of its tokens."""

    def __init__(self, model: SimulatedModel, sleep: Callable[[float], None] = time.sleep) -> None:
        self._model = model
        self._sleep = sleep
        self._checksums: dict[str, int] = {}

    def warm_up(self) -> RunnerCapacity:
        """Return the pretended capacity."""
        return self._model.capacity

    def execute(self, batch: Batch) -> list[Sampled]:
        """Sleep for the time of the step and return its tokens."""
        self._sleep(self._model.timing.seconds(batch))
        tokens = [(row, self._advance(row)) for row in batch.rows]
        return [Sampled(row.request_id, token) for row, token in tokens if token is not None]

    def release(self, request_id: str) -> None:
        """Forget the sequence."""
        self._checksums.pop(request_id, None)

    def _advance(self, row: BatchRow) -> int | None:
        checksum = self._checksums.get(row.request_id, 0) if row.start else 0
        for token_id in row.token_ids:
            checksum = crc32(token_id.to_bytes(8), checksum)
        self._checksums[row.request_id] = checksum
        if row.draw is None:
            return None
        if row.draw.position + 1 == self._model.answer_tokens:
            return self._model.eos_token_id
        if row.draw.sampling.temperature > 0:
            uniform = row.draw.sampling.uniform(row.draw.position)
            checksum = crc32(int(uniform * (1 << 53)).to_bytes(8), checksum)
        return 1 + checksum % self._model.num_words
