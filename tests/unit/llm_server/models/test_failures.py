import errno
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_server.contract import StartupFailure
from llm_server.models.failures import (
    TERMINATION_LOG_BYTES,
    StartupError,
    classify,
    classify_break,
    write_termination_log,
)


@dataclass
class Response:
    status_code: int


class HubError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"{status} for the request")
        self.response = Response(status)


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


class ConnectError(Exception):
    """Named as the hub's HTTP client names its own."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (HubError(401), StartupFailure.MODEL_UNAUTHORIZED),
        (HubError(403), StartupFailure.MODEL_UNAUTHORIZED),
        (HubError(404), StartupFailure.MODEL_NOT_FOUND),
        (HubError(429), StartupFailure.MODEL_SOURCE_UNAVAILABLE),
        (HubError(503), StartupFailure.MODEL_SOURCE_UNAVAILABLE),
        (ConnectError("refused"), StartupFailure.MODEL_SOURCE_UNAVAILABLE),
        (ConnectionResetError(), StartupFailure.MODEL_SOURCE_UNAVAILABLE),
        (OSError(errno.ENOSPC, "No space left on device"), StartupFailure.DISK_FULL),
        (PermissionError(errno.EACCES, "denied", "/cache"), StartupFailure.INVALID_SETTINGS),
        (OSError(errno.EROFS, "read-only", "/cache"), StartupFailure.INVALID_SETTINGS),
        (MemoryError(), StartupFailure.OUT_OF_MEMORY),
        (OutOfMemoryError("CUDA out of memory"), StartupFailure.OUT_OF_MEMORY),
        (ZeroDivisionError("x"), StartupFailure.INTERNAL),
    ],
)
def test_each_cause_has_its_reason(error: Exception, reason: StartupFailure) -> None:
    """An exception of a library is classified by what it means for the operator."""
    assert classify(error).reason is reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OutOfMemoryError("CUDA out of memory"), StartupFailure.OUT_OF_MEMORY),
        (RuntimeError("device-side assert"), StartupFailure.INTERNAL),
        (ConnectionResetError("a lost peer"), StartupFailure.INTERNAL),
    ],
)
def test_an_engine_that_broke_was_out_of_memory_or_has_a_fault_of_its_own(
    error: Exception, reason: StartupFailure
) -> None:
    """What served has its model: no hub or setting is to blame; the words stay."""
    why = classify_break(error)
    assert why.reason is reason
    assert str(error) in why.message


def test_a_wrapped_cause_is_found() -> None:
    """A full disk is a full disk, whatever error a library wraps it in."""
    wrapped = RuntimeError("could not save")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert classify(wrapped).reason is StartupFailure.DISK_FULL


def test_a_typed_error_stays_as_it_is() -> None:
    """A StartupError keeps its reason and message."""
    error = StartupError(StartupFailure.NO_DEVICE, "no CUDA device")
    assert classify(error) is error


@pytest.mark.parametrize(
    "secret", ["hf_abcdefghijklmnop", "Bearer abc.def", "http://user:pass@proxy:3128"]
)
def test_no_secret_reaches_the_termination_log(secret: str, tmp_path: Path) -> None:
    """Tokens and passwords in a message are replaced before anything is written."""
    log = tmp_path / "log"
    write_termination_log(classify(RuntimeError(f"sent {secret} to the hub")), log)
    written = log.read_text()
    assert secret not in written
    assert "redacted" in written


@given(st.text(max_size=9000))
def test_the_log_is_json_within_its_limit(
    tmp_path_factory: pytest.TempPathFactory, message: str
) -> None:
    """Whatever the message, the kubelet gets whole JSON of at most 4096 bytes."""
    log = tmp_path_factory.getbasetemp() / "termination"
    write_termination_log(StartupError(StartupFailure.INTERNAL, message), log)
    body = log.read_bytes()
    assert len(body) <= TERMINATION_LOG_BYTES
    assert json.loads(body)["reason"] == "InternalError"


def test_a_missing_log_is_no_failure(tmp_path: Path) -> None:
    """Outside a pod there is no termination log; the error that matters is not hidden by that."""
    write_termination_log(
        StartupError(StartupFailure.INTERNAL, "x"), tmp_path / "absent" / "termination-log"
    )
    assert not (tmp_path / "absent").exists()
