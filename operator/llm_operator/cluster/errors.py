"""What can go wrong between the operator and the API server, and how an answer becomes it.

    ApiError                      the API server refused, or could not be asked
    ├── ClusterUnavailable        ask again later: 5xx, 401, 408, 429, 410, network, time-out
    ├── Conflict                  409: somebody else's field, or a precondition that does not hold
    │   │                         (422 when the UID of an apply is not that of the live object)
    │   └── NameTaken             there is an object of the name that was to be new
    ├── NotFound                  404
    ├── Invalid                   the request itself is wrong: 400, 413, 415, 422
    └── Forbidden                 403: roles, quota, admission
        └── NamespaceTerminating  the namespace is going; nothing can be created in it
    NotLeader                     the gate was closed before a write; nothing was sent

Callers catch the branch they can act upon; everything else about HTTP stays in ``cluster``.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

_MESSAGE_LIMIT: Final = 2000  # some admission chains answer with whole objects


class ApiError(Exception):
    """The API server refused a request, or could not be asked."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class ClusterUnavailable(ApiError):
    """No answer worth having now; the same request may succeed later."""

    def __init__(
        self,
        message: str,
        status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, status)
        self.retry_after_seconds = retry_after_seconds


class Conflict(ApiError):
    """The object is not in the state, or not in the hands, that the request assumed."""

    def __init__(self, message: str, status: int | None = 409) -> None:
        super().__init__(message, status)


class NameTaken(Conflict):
    """What was to be made new exists already."""


class NotFound(ApiError):
    """No such object, or no such kind."""


class Invalid(ApiError):
    """The request can never succeed as it is."""


class Forbidden(ApiError):
    """Not allowed: missing role, exceeded quota or an admission policy."""


class NamespaceTerminating(Forbidden):
    """The namespace is being deleted and takes no new objects."""


class NotLeader(Exception):
    """This replica does not hold the lease surely enough to write."""


_FINAL: Final[Mapping[int, type[ApiError]]] = {
    400: Invalid,
    403: Forbidden,
    404: NotFound,
    405: Invalid,
    406: Invalid,
    413: Invalid,
    415: Invalid,
    422: Invalid,
}
"""Statuses that repeating the request does not change."""


def error_from_answer(status: int, body: bytes, retry_after: str | None) -> ApiError:
    """Translate an unsuccessful answer; ``body`` is a ``Status`` object or free text."""
    answer = _parse_status(body)
    message = str(answer.get("message") or answer.get("reason") or f"HTTP {status}")
    message = message[:_MESSAGE_LIMIT]
    match status:
        case 409:
            return Conflict(message, status)
        case 422 if _concerns_uid(answer):
            return Conflict(message, status)
        case 403 if _is_terminating(answer):
            return NamespaceTerminating(message, status)
        case _ if status in _FINAL:
            return _FINAL[status](message, status)
    return ClusterUnavailable(message, status, _seconds(retry_after))


def _parse_status(body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    return {"message": body.decode(errors="replace").strip()}


def _causes(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((answer.get("details") or {}).get("causes") or ())


def _is_terminating(answer: Mapping[str, Any]) -> bool:
    return any(cause.get("reason") == "NamespaceTerminating" for cause in _causes(answer))


def _concerns_uid(answer: Mapping[str, Any]) -> bool:
    return any(cause.get("field") == "metadata.uid" for cause in _causes(answer))


def _seconds(retry_after: str | None) -> float | None:
    """Read ``Retry-After`` in seconds; the API server never sends the date form."""
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None
