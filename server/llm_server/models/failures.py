"""Why a start failed, in the closed list of ``contract.StartupFailure``, fit for a person.

Turns exceptions of the libraries into :class:`StartupError` and writes the one that ended the
process to the termination log, where the operator reads it. Imports none of those libraries:
it knows their errors by class name and by HTTP status.
"""

import errno
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from llm_server.contract import CREDENTIALS_ENV, StartupFailure

TERMINATION_LOG_BYTES = 4096
"""What the kubelet keeps of a termination message."""

_LOG = logging.getLogger(__name__)
_WRONG_PATH = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
_MESSAGE_CHARS = 1500
_SECRET = re.compile(r"hf_[A-Za-z0-9]{8,}|(?i:bearer)\s+\S+|(?<=://)[^/\s@]+:[^/\s@]+(?=@)")
_CONNECTION_ERRORS = frozenset(
    {
        "ConnectError", "ConnectTimeout", "ReadError", "ReadTimeout", "WriteError", "WriteTimeout",
        "PoolTimeout", "ProxyError", "RemoteProtocolError", "CloseError", "OfflineModeIsEnabled",
        "FileMetadataError", "XetDownloadError",
    }
)  # fmt: skip


class StartupError(Exception):
    """A start that cannot succeed, with its reason; the message holds no secret."""

    def __init__(self, reason: StartupFailure, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = redact(message)


def redact(text: str) -> str:
    """``text`` with anything that looks like a token or a password replaced."""
    return _SECRET.sub("[redacted]", text)


def classify(error: BaseException) -> StartupError:
    """The typed form of any exception of a start; unknown ones become ``InternalError``.

    The chain of causes is searched too, because libraries wrap a full disk or a refused
    connection in errors of their own.
    """
    for link in _chain(error):
        if isinstance(link, StartupError):
            return link
        reason = _reason(link)
        if reason is not None:
            return StartupError(reason, _describe(reason, link))
    return StartupError(StartupFailure.INTERNAL, _first_lines(f"{type(error).__name__}: {error}"))


def classify_break(error: BaseException) -> StartupError:
    """The typed form of what ended an engine that served: ``OutOfMemory`` or ``InternalError``."""
    known = classify(error)
    if known.reason is StartupFailure.OUT_OF_MEMORY:
        return known
    return StartupError(StartupFailure.INTERNAL, _first_lines(f"{type(error).__name__}: {error}"))


def is_transient(error: BaseException) -> bool:
    """Whether asking the same hub again may succeed (5xx, 429, a broken connection)."""
    return classify(error).reason is StartupFailure.MODEL_SOURCE_UNAVAILABLE


def http_status(error: BaseException) -> int | None:
    """The HTTP status that an error of the hub's client carries, if it carries one."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def write_termination_log(error: StartupError, path: Path) -> None:
    """Leave ``{"reason", "message"}`` for the kubelet, at most ``TERMINATION_LOG_BYTES``.

    Outside a pod there is no such file; that is logged at debug level and is not an error.
    """
    message = _first_lines(error.message)
    body = json.dumps({"reason": error.reason.value, "message": message}).encode()
    while len(body) > TERMINATION_LOG_BYTES:
        message = message[: len(message) // 2]
        body = json.dumps({"reason": error.reason.value, "message": message}).encode()
    try:
        path.write_bytes(body)
    except OSError as unwritable:
        _LOG.debug("termination log %s: %s", path, unwritable.strerror)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _reason(error: BaseException) -> StartupFailure | None:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StartupFailure.DISK_FULL
    if isinstance(error, OSError) and error.errno in _WRONG_PATH:
        return StartupFailure.INVALID_SETTINGS
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return StartupFailure.OUT_OF_MEMORY
    if isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate" in str(error):
        return StartupFailure.OUT_OF_MEMORY
    return _hub_reason(error)


def _hub_reason(error: BaseException) -> StartupFailure | None:
    status = http_status(error)
    if status in (401, 403):
        return StartupFailure.MODEL_UNAUTHORIZED
    if status == 404:
        return StartupFailure.MODEL_NOT_FOUND
    if status is not None and (status in (408, 429) or status >= 500):
        return StartupFailure.MODEL_SOURCE_UNAVAILABLE
    if isinstance(error, ConnectionError | TimeoutError):
        return StartupFailure.MODEL_SOURCE_UNAVAILABLE
    if type(error).__name__ in _CONNECTION_ERRORS:
        return StartupFailure.MODEL_SOURCE_UNAVAILABLE
    return None


def _describe(reason: StartupFailure, error: BaseException) -> str:
    said = _hub_answer(error) or _first_lines(str(error)) or type(error).__name__
    match reason:
        case StartupFailure.MODEL_UNAUTHORIZED:
            return (
                f"the hub refused access: the repository is private, gated or does not exist, and "
                f"{CREDENTIALS_ENV} (model.credentialsSecretRef) is absent or lacks access. {said}"
            )
        case StartupFailure.DISK_FULL:
            return f"no space left for the model: {said}"
        case StartupFailure.OUT_OF_MEMORY:
            return f"not enough memory for the model: {said}"
        case _:
            return said


def _hub_answer(error: BaseException) -> str | None:
    """What the hub answered to which request, without its page of advice."""
    response, status = getattr(error, "response", None), http_status(error)
    if response is None or status is None:
        return None
    headers = getattr(response, "headers", {})
    code = headers.get("X-Error-Code")
    said = headers.get("X-Error-Message")
    name = f"{status} {code}" if code else f"{status}"
    path = getattr(getattr(response, "url", None), "path", "")
    return _first_lines(f"the hub answered {name} to {path}" + (f": {said}" if said else ""))


def _first_lines(text: str) -> str:
    return " ".join(text.split())[:_MESSAGE_CHARS]
