"""Refusals and failures of a request, free of HTTP; raised by admission and service.

ServingError
├── Refusal                the request never reached the engine
│   ├── RequestInvalid     a field is wrong: names it and what is allowed
│   ├── ModelNotServed     another model was asked for
│   ├── Overloaded         the queue is full; says when to come back
│   └── Unavailable        loading, draining or broken
└── GenerationFailed       it was admitted and ended without an answer
"""

from enum import StrEnum


class FailureKind(StrEnum):
    """Why an admitted request ended without an answer; closed list, sent as ``error.code``."""

    DEADLINE_EXCEEDED = "deadline_exceeded"
    SHUTTING_DOWN = "server_shutting_down"
    ENGINE_FAULT = "engine_fault"
    LOGITS_NOT_FINITE = "logits_not_finite"

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed elsewhere or later."""
        return self is not FailureKind.LOGITS_NOT_FINITE


class ServingError(Exception):
    """Everything a request can end with besides an answer."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Refusal(ServingError):
    """The request was not admitted; nothing was computed for it."""


class RequestInvalid(Refusal):
    """``param`` is the field that is wrong, or None when the body as a whole is."""

    def __init__(self, message: str, *, param: str | None, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class ModelNotServed(Refusal):
    """The ``model`` field names something that this server does not serve."""

    def __init__(self, asked: str, served: str) -> None:
        super().__init__(f"The model {asked[:200]!r} does not exist; this server serves {served!r}")


class Overloaded(Refusal):
    """The queue is full; ``retry_after_seconds`` is computed from the backlog."""

    def __init__(self, *, limit: int, retry_after_seconds: int) -> None:
        super().__init__(
            f"The server is at its limit of {limit} requests in the batch and the queue; "
            f"retry after {retry_after_seconds} s"
        )
        self.retry_after_seconds = retry_after_seconds


class Unavailable(Refusal):
    """The server does not admit requests in its present state, named by ``code``."""

    def __init__(self, message: str, *, code: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_seconds = retry_after_seconds


class GenerationFailed(ServingError):
    """An admitted request ended without an answer."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
