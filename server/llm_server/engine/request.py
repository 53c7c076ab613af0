"""What the engine is asked for, and the state it keeps per request while it works on it.

Plain data without torch. Made by ``admission``, advanced by ``scheduler`` and ``core``.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b


class FinishReason(StrEnum):
    """Why an answer is complete, in OpenAI's spelling."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen.

    ``temperature`` 0 is greedy. ``top_p`` in (0, 1], 1 keeps all. ``top_k`` 0 keeps all.
    ``seed`` alone (with the position) decides the random draw: batch mates never do.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0

    def uniform(self, position: int) -> float:
        """Return the draw in [0, 1) for the output token at ``position`` (0 is the first).

        Counter-based: recomputing a preempted sequence draws the same numbers again.
        """
        digest = blake2b(f"{self.seed}:{position}".encode(), digest_size=8).digest()
        return (int.from_bytes(digest) >> 11) / (1 << 53)


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One admitted request. Times are seconds of the engine's monotonic clock."""

    request_id: str
    prompt_token_ids: tuple[int, ...]
    max_tokens: int
    sampling: SamplingParams
    stop_strings: tuple[str, ...]
    arrived_at: float
    deadline: float


@dataclass(slots=True, eq=False)
class Sequence:
    """A request inside the engine; only the engine thread touches it.

    ``num_computed_tokens`` counts the tokens whose keys and values the runner holds. It falls
    back to 0 when the sequence is preempted; prompt and output so far are then computed again.
    """

    request: GenerationRequest
    output_token_ids: list[int] = field(default_factory=list)
    num_computed_tokens: int = 0
    num_preemptions: int = 0
    started_at: float | None = None
    last_token_at: float | None = None

    @property
    def request_id(self) -> str:
        """The id of the request."""
        return self.request.request_id

    @property
    def num_tokens(self) -> int:
        """Prompt and output so far."""
        return len(self.request.prompt_token_ids) + len(self.output_token_ids)

    @property
    def num_pending_tokens(self) -> int:
        """Tokens known and not computed yet; 1 for a sequence that decodes."""
        return self.num_tokens - self.num_computed_tokens

    def token_ids(self, start: int, end: int) -> tuple[int, ...]:
        """Return the tokens at positions ``[start, end)`` of prompt and output."""
        prompt = self.request.prompt_token_ids
        offset = len(prompt)
        head = prompt[start:end]
        tail = self.output_token_ids[max(start - offset, 0) : max(end - offset, 0)]
        return (*head, *tail)
