"""The work of one step, what came of it, and the protocol of those who do it.

Plain data without torch: the scheduler writes it, a model runner reads it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from llm_server.engine.request import SamplingParams
from llm_server.errors import FailureKind


@dataclass(frozen=True, slots=True)
class Draw:
    """How to choose the next token of one row; ``position`` counts output tokens from 0."""

    sampling: SamplingParams
    position: int


@dataclass(frozen=True, slots=True)
class BatchRow:
    """Compute ``token_ids`` at positions ``start`` … of one sequence.

    One token at the end of a computed sequence is a decode; anything else a prefill chunk. The
    runner answers rows with a ``draw`` by one sampled token; a chunk that does not complete its
    sequence has none.
    """

    request_id: str
    start: int
    token_ids: tuple[int, ...]
    draw: Draw | None

    @property
    def is_decode(self) -> bool:
        """Whether the row only appends one token to what the runner holds."""
        return self.start > 0 and len(self.token_ids) == 1 and self.draw is not None


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one step, each sequence at most once; ``preempted`` lost what it held."""

    rows: tuple[BatchRow, ...]
    preempted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampled:
    """The next token of a sequence."""

    request_id: str
    token_id: int


@dataclass(frozen=True, slots=True)
class RowFailed:
    """The row gave no token; by default because its logits are no distribution to sample from."""

    request_id: str
    kind: FailureKind = FailureKind.LOGITS_NOT_FINITE
    message: str = "The model gave logits that are not finite"


RowOutcome: TypeAlias = Sampled | RowFailed


@dataclass(frozen=True, slots=True)
class RunnerCapacity:
    """What a loaded runner can hold, and how fast it reads prompts."""

    kv_capacity_tokens: int
    vocab_size: int
    prefill_tokens_per_second: float


class RunnerLost(Exception):
    """The device is gone: no later step can succeed, so the engine gives up at once."""


class ModelRunner(Protocol):
    """Computes batches; used by the engine thread only (``warm_up`` before it starts)."""

    def warm_up(self) -> RunnerCapacity:
        """Run once before serving, and return what fits. Raises when the model cannot run."""
        ...

    def execute(self, batch: Batch) -> Sequence[RowOutcome]:
        """Compute one step; one outcome for each row that has a draw, in any order.

        What it raises ends the requests of the batch; ``RunnerLost`` ends the engine.
        """
        ...

    def release(self, request_id: str) -> None:
        """Forget what is held for a sequence; unknown ids are fine."""
        ...
