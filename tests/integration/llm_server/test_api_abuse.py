"""Requests that no library would send, on bare sockets, beside a client that means well."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from llm_server import contract
from tests.integration.llm_server.conftest import Serve
from tests.server_process import RunningServer

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"
DEPTH = 10_000


def a_post(body: bytes, path: str = COMPLETIONS, content_type: str = "application/json") -> bytes:
    """Return a request with this body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def a_completion(fields: str) -> bytes:
    """Return a valid body with more fields, which may be written in ways that json.dumps cannot."""
    return f'{{"model": "m", "prompt": "x", "max_tokens": 3, {fields}}}'.encode()


def answer_to(server: RunningServer, request: bytes) -> tuple[int, Any]:
    """Send these bytes and return the status and the content of the answer."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=60) as connection:
        connection.sendall(request)
        with http.client.HTTPResponse(connection) as response:
            response.begin()
            return response.status, json.loads(response.read())


def code_of(content: Any) -> str:
    """Return the code of an error, which must have OpenAI's shape."""
    error = content["error"]
    assert set(error) == {"message", "type", "param", "code", "retryable"}
    assert 0 < len(error["message"]) < 8192
    assert error["type"] == "invalid_request_error"
    return str(error["code"])


NO_JSON = {
    "nothing": b"",
    "blanks": b" \r\n\t ",
    "a NUL character": b"\0",
    "a NUL character in a string": a_completion('"user": "\0"'),
    "text after it": a_completion('"user": null') + b"{}",
    "a byte order mark": b"\xef\xbb\xbf" + a_completion('"user": null'),
    "UTF-16": a_completion('"user": null').decode().encode("utf-16"),
    "Latin-1": '{"model": "m", "prompt": "\xe9"}'.encode("latin-1"),
    "an overlong NUL": b'{"model": "m", "prompt": "\xc0\x80"}',
    "an encoded surrogate": b'{"model": "m", "prompt": "\xed\xa0\x80"}',
    "half a surrogate pair": rb'{"model": "m", "prompt": "\ud800"}',
    "the other half": rb'{"model": "m", "prompt": "\udc00"}',
    "half a pair in a name": a_completion(r'"\ud800": 1'),
    "NaN": a_completion('"temperature": NaN'),
    "Infinity": a_completion('"temperature": -Infinity'),
    "5000 digits": a_completion(f'"seed": {"9" * 5000}'),
    "deep lists": b"[" * DEPTH + b"]" * DEPTH,
    "deep objects": b'{"a":' * DEPTH + b"1" + b"}" * DEPTH,
    "deep lists that do not end": b"[" * DEPTH,
    "a deep field": a_completion(f'"tools": {"[" * DEPTH}{"]" * DEPTH}'),
    "a form": b"model=m&prompt=x",
    "compressed": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "a list": b"[]",
    "null": b"null",
    "a string": b'"x"',
}


@pytest.mark.parametrize("path", [COMPLETIONS, CHAT])
@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
def test_a_body_that_is_no_json_object_is_refused(
    simulated: RunningServer, path: str, body: bytes
) -> None:
    """It reads 400 with the error object, and what is wrong with it."""
    status, content = answer_to(simulated, a_post(body, path))

    assert (status, code_of(content)) == (400, "invalid_json")


@pytest.mark.parametrize(
    "fields",
    [
        '"temperature": 1e308',
        '"temperature": 1e309',
        '"temperature": -1e308',
        '"top_p": 1e999999999',
        '"seed": 1e308',
        '"seed": 9223372036854775808',
        f'"seed": {"9" * 4000}',
        f'"max_tokens": {"9" * 4000}',
        f'"n": {"9" * 4000}',
        f'"prompt": [{"9" * 4000}]',
        '"prompt": ["x", "y"]',
        '"prompt": [[[1]]]',
        '"stop": ["\\u0000", ""]',
        f'"stop": {"[" * 150}{"]" * 150}',
        f'"{"k" * 1_000_000}": 1',
        '"": 1',
        '"prompt": "x", "prompt": null',
    ],
    ids=lambda fields: fields[:40],
)
def test_a_value_that_nobody_can_mean_is_refused(simulated: RunningServer, fields: str) -> None:
    """It reads 400 with a message that is short whatever the length of the request."""
    status, content = answer_to(simulated, a_post(a_completion(fields)))

    assert status == 400
    assert code_of(content) in {"invalid_value", "unknown_parameter", "unsupported_parameter"}


@pytest.mark.parametrize(
    "fields",
    [
        '"prompt": "a\\u0000b"',
        '"prompt": "\\ud83d\\ude00"',
        '"seed": -0',
        '"temperature": 2e0, "top_p": 1e-308',
        '"model": "another", "model": "m"',
        '"stop": "\\u0000"',
    ],
)
def test_a_strange_value_that_is_allowed_is_answered(simulated: RunningServer, fields: str) -> None:
    """NUL characters are text, and of a field that is given twice the last holds."""
    status, content = answer_to(simulated, a_post(a_completion(fields)))

    assert (status, content["object"]) == (200, "text_completion")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "nonsense",
        "",
    ],
)
def test_a_body_is_read_as_json_whatever_it_is_called(
    simulated: RunningServer, content_type: str
) -> None:
    """A wrong content type changes neither the answer to a good body nor that to a bad one."""
    good = a_post(a_completion('"user": null'), content_type=content_type)
    bad = a_post(b"model=m&prompt=x", content_type=content_type)

    assert answer_to(simulated, good)[0] == 200
    status, content = answer_to(simulated, bad)
    assert (status, code_of(content)) == (400, "invalid_json")


def a_head(*lines: bytes) -> bytes:
    """Return the head of a request from its lines."""
    return b"\r\n".join([*lines, b"Host: x", b"Connection: close", b"", b""])


POST = f"POST {COMPLETIONS} HTTP/1.1".encode()
NO_REQUEST = {
    "a TLS greeting": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "an unknown method": (a_head(b"FROB /v1/models HTTP/1.1"), 400),
    "a path that is not ASCII": (a_head(b"GET /v1/\xff HTTP/1.1"), 400),
    "a query that is not ASCII": (a_head(b"GET /v1/models?\x80 HTTP/1.1"), 400),
    "broken escapes in the path": (a_head(b"GET /v1/%ff%00%zz HTTP/1.1"), 404),
    "no path": (a_head(b"OPTIONS * HTTP/1.1"), 404),
    "a tunnel": (a_head(b"CONNECT x:1 HTTP/1.1"), 400),
    "a NUL character in a field": (a_head(b"GET /v1/models HTTP/1.1", b"A: \0"), 400),
    "two lengths": (a_head(POST, b"Content-Length: 2", b"Content-Length: 3") + b"{}", 400),
    "a negative length": (a_head(POST, b"Content-Length: -1"), 400),
    "a length of 5000 digits": (a_head(POST, b"Content-Length: " + b"9" * 5000), 400),
    "a length of 2^64 - 1": (a_head(POST, b"Content-Length: %d" % (2**64 - 1)), 413),
    "length and chunks": (
        a_head(POST, b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
        400,
    ),
    "a chunk without a size": (a_head(POST, b"Transfer-Encoding: chunked") + b"zz\r\n", 400),
    "an unknown transfer coding": (a_head(POST, b"Transfer-Encoding: gzip") + b"{}", 400),
}


@pytest.mark.parametrize(("request_bytes", "status"), NO_REQUEST.values(), ids=NO_REQUEST)
def test_what_is_no_proper_request_is_refused(
    simulated: RunningServer, request_bytes: bytes, status: int
) -> None:
    """Broken framing, heads and paths read 4xx with the error object, never silence or 5xx."""
    answered, content = answer_to(simulated, request_bytes)

    assert code_of(content)
    assert answered == status


QUESTION = a_completion('"seed": 7')


@contextmanager
def a_good_client(server: RunningServer) -> Iterator[list[Any]]:
    """Ask the same question again and again during the block; yield the answers as they come."""
    answers: list[Any] = []
    over = threading.Event()

    def ask() -> None:
        with server.client() as client:
            while not over.is_set():
                answers.append(client.post(COMPLETIONS, content=QUESTION).json()["choices"])

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield answers
    finally:
        over.set()
        asking.join()


def test_a_good_client_does_not_notice_the_others(simulated: RunningServer) -> None:
    """Amid abuse it gets the right answers; afterwards nothing has failed, and nothing is left."""
    _, undisturbed = answer_to(simulated, a_post(QUESTION))
    abuse = [*map(a_post, NO_JSON.values()), *(request for request, _ in NO_REQUEST.values())]
    with a_good_client(simulated) as answers:
        while len(answers) < 50:
            for request in abuse:
                answer_to(simulated, request)

    assert all(choices == undisturbed["choices"] for choices in answers)
    assert simulated.probe(contract.READY_PATH).status_code == 200
    assert simulated.metric('llm_requests_terminated_total{outcome="failed"}') == 0
    assert simulated.metric("vllm:num_requests_running") == 0


def test_a_client_that_left_is_logged_without_a_status(serve: Serve) -> None:
    """The log tells of no 500 that nobody was sent: the request was cancelled, with no status."""
    server = serve()
    answer_to(server, NO_REQUEST["a chunk without a size"][0])
    server.until('llm_requests_terminated_total{outcome="cancelled"}', 1)
    server.terminate()
    server.exit_code()

    [line] = [line for line in server.log if line["event"] == "Answered request"]
    assert (line["outcome"], line["status"]) == ("cancelled", None)
