"""From the errors of ``llm_server.errors`` to OpenAI's error body and a status."""

from typing import Any

from starlette.responses import JSONResponse, Response

from llm_server.errors import (
    FailureKind,
    GenerationFailed,
    ModelNotServed,
    Overloaded,
    RequestInvalid,
    ServingError,
    Unavailable,
)

INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"

_FAILURE_STATUS = {
    FailureKind.DEADLINE_EXCEEDED: 504,
    FailureKind.SHUTTING_DOWN: 503,
    FailureKind.ENGINE_FAULT: 500,
    FailureKind.LOGITS_NOT_FINITE: 500,
}
_FAILURE_TYPE = {FailureKind.DEADLINE_EXCEEDED: "timeout_error"}


class NotAuthenticated(ServingError):
    """No valid bearer key came with a request that needs one."""


class RouteUnknown(ServingError):
    """There is no such path, or not with this method (``allowed`` is the one that exists)."""

    def __init__(self, message: str, allowed: str | None = None) -> None:
        super().__init__(message)
        self.allowed = allowed


class Unreadable(ServingError):
    """The request could not be read.

    Its body is too large (413) or too slow (408), its head too large (431), or it is no HTTP (400).
    """

    def __init__(self, message: str, *, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def error_body(
    message: str, *, kind: str, code: str, param: str | None = None, retryable: bool = False
) -> dict[str, Any]:
    """Return OpenAI's error object; ``retryable`` is an addition that clients may ignore."""
    return {
        "error": {
            "message": message,
            "type": kind,
            "param": param,
            "code": code,
            "retryable": retryable,
        }
    }


def failure_body(error: GenerationFailed) -> dict[str, Any]:
    """Return the error object of a failed generation, for a response or inside a stream."""
    kind = _FAILURE_TYPE.get(error.kind, SERVER_ERROR)
    return error_body(
        error.message, kind=kind, code=error.kind.value, retryable=error.kind.retryable
    )


def respond(error: ServingError) -> Response:
    """Return the response for any error of the tree."""
    match error:
        case RequestInvalid(message=message, param=param, code=code):
            return _json(400, error_body(message, kind=INVALID_REQUEST, code=code, param=param))
        case ModelNotServed(message=message):
            body = error_body(message, kind=INVALID_REQUEST, code="model_not_found", param="model")
            return _json(404, body)
        case Overloaded(message=message, retry_after_seconds=seconds):
            body = error_body(message, kind="overloaded_error", code="queue_full", retryable=True)
            return _json(429, body, {"retry-after": str(seconds)})
        case Unavailable(message=message, code=code, retry_after_seconds=seconds):
            body = error_body(message, kind="unavailable_error", code=code, retryable=True)
            return _json(503, body, {"retry-after": str(seconds)})
        case GenerationFailed(kind=kind):
            return _json(_FAILURE_STATUS[kind], failure_body(error))
        case _:
            return _respond_edge(error)


def internal_error() -> Response:
    """Return the answer to an error that nobody foresaw; details are in the log only."""
    body = error_body("Internal error", kind=SERVER_ERROR, code="internal_error", retryable=True)
    return _json(500, body)


def _respond_edge(error: ServingError) -> Response:
    match error:
        case NotAuthenticated(message=message):
            body = error_body(message, kind=INVALID_REQUEST, code="invalid_api_key")
            return _json(401, body, {"www-authenticate": "Bearer"})
        case RouteUnknown(message=message, allowed=None):
            return _json(404, error_body(message, kind=INVALID_REQUEST, code="unknown_url"))
        case RouteUnknown(message=message, allowed=str(allowed)):
            body = error_body(message, kind=INVALID_REQUEST, code="method_not_allowed")
            return _json(405, body, {"allow": allowed})
        case Unreadable(message=message, status=status, code=code):
            body = error_body(message, kind=INVALID_REQUEST, code=code)
            return _json(status, body, {"connection": "close"})
        case _:
            return internal_error()


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(body, status_code=status, headers=headers)
