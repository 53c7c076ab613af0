"""Answers of the API server and the errors that they become."""

import json
from typing import Any

import pytest

from llm_operator.cluster.errors import (
    ApiError,
    ClusterUnavailable,
    Conflict,
    Forbidden,
    Invalid,
    NamespaceTerminating,
    NotFound,
    error_from_answer,
)


def answer(message: str, *causes: dict[str, str]) -> bytes:
    """A ``Status`` object as the API server sends it."""
    details = {"causes": list(causes)}
    return json.dumps({"kind": "Status", "message": message, "details": details}).encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, ClusterUnavailable),  # a token that is being rotated
        (403, Forbidden),
        (404, NotFound),
        (408, ClusterUnavailable),
        (409, Conflict),
        (410, ClusterUnavailable),
        (413, Invalid),
        (415, Invalid),
        (422, Invalid),
        (429, ClusterUnavailable),
        (500, ClusterUnavailable),
        (503, ClusterUnavailable),
        (504, ClusterUnavailable),
    ],
)
def test_each_status_becomes_one_kind_of_error(status: int, kind: type[ApiError]) -> None:
    """Callers tell by the class whether to wait, to look again or to give up."""
    error = error_from_answer(status, answer("said so"), None)
    assert type(error) is kind
    assert (error.status, error.message) == (status, "said so")


def test_another_uid_under_the_name_is_a_conflict() -> None:
    """The API server answers 422 to an apply whose UID is not that of the live object."""
    cause = {"reason": "FieldValueInvalid", "message": "immutable", "field": "metadata.uid"}
    assert isinstance(error_from_answer(422, answer("is invalid", cause), None), Conflict)


def test_a_terminating_namespace_is_told_apart_from_missing_rights() -> None:
    """There is nothing to repair in a namespace that is going."""
    cause = {"reason": "NamespaceTerminating", "message": "namespace x is being terminated"}
    error = error_from_answer(403, answer("forbidden", cause), None)
    assert isinstance(error, NamespaceTerminating)


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), (None, None), ("soon", None), ("-1", 0.0)]
)
def test_a_busy_server_may_say_for_how_long(header: str | None, seconds: float | None) -> None:
    """``Retry-After`` is kept in seconds; a form that cannot be read is left out."""
    error = error_from_answer(429, answer("too many"), header)
    assert isinstance(error, ClusterUnavailable)
    assert error.retry_after_seconds == seconds


@pytest.mark.parametrize("body", [b"", b"upstream connect error", b"\xff\xfe", b"[1]", b"null"])
def test_an_answer_that_is_no_status_object_still_becomes_an_error(body: bytes) -> None:
    """Proxies and load balancers answer with anything."""
    assert isinstance(error_from_answer(502, body, None), ClusterUnavailable)


def test_an_endless_message_is_cut() -> None:
    """An admission chain that answers with whole objects does not fill logs and status."""
    assert len(error_from_answer(422, answer("x" * 100_000), None).message) == 2000


def test_null_causes_are_none() -> None:
    """Details and causes may be null."""
    body: dict[str, Any] = {"message": "no", "details": {"causes": None}}
    assert isinstance(error_from_answer(403, json.dumps(body).encode(), None), Forbidden)
    body = {"message": "no", "details": None}
    assert isinstance(error_from_answer(409, json.dumps(body).encode(), None), Conflict)
