"""What the engine tells about each request: any number of deltas, then exactly one end."""

from dataclasses import dataclass
from typing import TypeAlias

from llm_server.engine.request import FinishReason
from llm_server.errors import FailureKind


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and sampled; the end-of-sequence token is counted as sampled."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Delta:
    """One sampled token and the text that it completes, which may be empty."""

    request_id: str
    token_id: int
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete."""

    request_id: str
    reason: FinishReason
    usage: Usage


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller gave the request up."""

    request_id: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Failed:
    """The request ended without an answer."""

    request_id: str
    kind: FailureKind
    message: str
    usage: Usage


Terminal: TypeAlias = Finished | Cancelled | Failed
Event: TypeAlias = Delta | Terminal
