import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from llm_server.http.connection import ConnectionLimits
from llm_server.http.listener import ApiServer

LIMITS = ConnectionLimits(max_open=100, max_head_bytes=64 * 1024, head_seconds=20)
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


class Client:
    """A bare connection, for requests that no library would send."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, content: bytes) -> None:
        """Send these bytes as they are."""
        self._writer.write(content)
        await self._writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer with a Content-Length."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        body = await self._reader.readexactly(int(headers["content-length"]))
        return int(status.split()[1]), headers, body

    async def seconds_to_end(self) -> float:
        """Wait for the end of the connection; what still comes is dropped."""
        began = time.monotonic()
        with suppress(ConnectionError):
            await asyncio.wait_for(self._reader.read(-1), timeout=10)
        return time.monotonic() - began

    async def close(self) -> None:
        """End the connection."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


Connect = Callable[[], Coroutine[Any, Any, Client]]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the number of bytes in the body; ``/slow`` takes its time."""
    num_bytes, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        num_bytes, more = num_bytes + len(message["body"]), message["more_body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(0.6)
    body = str(num_bytes).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(limits: ConnectionLimits = LIMITS) -> AsyncIterator[Connect]:
    """Serve ``echo`` within these limits."""
    server = ApiServer(echo, "127.0.0.1", 0, limits)
    running = asyncio.create_task(server.run())
    async with AsyncExitStack() as stack:

        async def connect() -> Client:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            client = Client(reader, writer)
            stack.push_async_callback(client.close)
            return client

        yield connect
    server.stop()
    await running


def a_request(header_bytes: int, fields: int = 1) -> bytes:
    """Return a request whose fields have about so many bytes together."""
    value = b"v" * (header_bytes // fields)
    return b"GET / HTTP/1.1\r\n" + b"a: " + (value + b"\r\na: ").join([b""] * fields) + value


async def test_a_large_head_is_served() -> None:
    """What stays within the bound is served, in one field or in many."""
    async with serving() as connect:
        client = await connect()
        await client.send(a_request(63 * 1024) + b"\r\n\r\n")
        assert (await client.answer())[0] == 200
        await client.send(a_request(50 * 1024, fields=100) + b"\r\n\r\n")
        assert (await client.answer())[0] == 200


@pytest.mark.parametrize(
    "head",
    [
        a_request(66 * 1024) + b"\r\n\r\n",
        a_request(66 * 1024, fields=1000) + b"\r\n\r\n",
        a_request(4 * 1024 * 1024),
        b"GET /" + b"u" * 66 * 1024 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["one field", "many fields", "a field without an end", "the path"],
)
async def test_too_large_a_head_is_answered_and_closed(head: bytes) -> None:
    """Beyond 64 KiB the client reads 431 with the bound, and the connection ends."""
    async with serving() as connect:
        client = await connect()
        await client.send(head)
        status, headers, body = await client.answer()

        assert (status, headers["connection"]) == (431, "close")
        error = json.loads(body)["error"]
        assert (error["code"], error["retryable"]) == ("headers_too_large", False)
        assert "65536 bytes" in error["message"]
        assert await client.seconds_to_end() < 5


async def test_trailers_are_bounded_like_headers() -> None:
    """Fields behind a chunked body are kept in memory too; too many end the connection."""
    async with serving() as connect:
        client = await connect()
        await client.send(POST + b"0\r\n")
        ended = asyncio.create_task(client.seconds_to_end())
        with suppress(ConnectionError):
            for _ in range(100):
                await client.send(b"a: " + b"v" * 1024 + b"\r\n")

        assert await ended < 5


async def test_a_body_is_no_head() -> None:
    """Bodies are larger than heads may be, whole or in pieces, and are served."""
    async with serving() as connect:
        client = await connect()
        await client.send(POST)
        for _ in range(20):
            await client.send(b"5000\r\n" + b"b" * 0x5000 + b"\r\n")
        await client.send(b"0\r\n\r\n")

        assert (await client.answer())[2] == str(20 * 0x5000).encode()


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 400), max_size=8))
async def test_it_does_not_matter_how_requests_are_cut(cuts: list[int]) -> None:
    """Two requests at once, in any pieces, get two answers."""
    both = POST + b"3\r\nabc\r\n0\r\n\r\n" + GET
    places = [0, *sorted(cuts), len(both)]
    async with serving() as connect:
        client = await connect()
        for start, end in itertools.pairwise(places):
            await client.send(both[start:end])

        assert [(await client.answer())[2] for _ in range(2)] == [b"3", b"0"]


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"\r\n", GET[:-2]])
async def test_a_head_that_does_not_come_is_closed(sent: bytes) -> None:
    """A connection whose request is not there in time ends, whatever has come of it."""
    async with serving(ConnectionLimits(max_open=9, head_seconds=0.3)) as connect:
        client = await connect()
        await client.send(sent)

        assert 0.1 < await client.seconds_to_end() < 5


async def test_dripping_does_not_extend_the_time_for_a_head() -> None:
    """A byte now and then keeps no connection open: the time is for the whole head."""
    async with serving(ConnectionLimits(max_open=9, head_seconds=0.3)) as connect:
        client = await connect()
        ended = asyncio.create_task(client.seconds_to_end())
        began = time.monotonic()
        while not ended.done() and time.monotonic() < began + 5:
            with suppress(ConnectionError):
                await client.send(b"a")
            await asyncio.sleep(0.02)

        assert await ended < 5


async def test_a_second_head_has_its_time_too() -> None:
    """The first bytes of a later request start its time, on a connection that may idle longer."""
    async with serving(ConnectionLimits(max_open=9, head_seconds=0.3)) as connect:
        client = await connect()
        await client.send(GET)
        await client.answer()
        await asyncio.sleep(0.5)
        await client.send(GET)
        assert (await client.answer())[0] == 200

        await client.send(b"GET /")
        assert await client.seconds_to_end() < 5


@pytest.mark.parametrize("more", [b"", b"GET /"])
async def test_an_answer_may_take_longer_than_a_head(more: bytes) -> None:
    """An answer under way goes on to its end, even when the next head is late meanwhile."""
    async with serving(ConnectionLimits(max_open=9, head_seconds=0.2)) as connect:
        client = await connect()
        await client.send(GET.replace(b"/ ", b"/slow ") + more)

        assert (await client.answer())[0] == 200


async def test_connections_beyond_the_bound_are_told_so() -> None:
    """One too many reads 503 with Retry-After; once another has ended there is a place again."""
    async with serving(ConnectionLimits(max_open=2)) as connect:
        _, second, third = await connect(), await connect(), await connect()
        await third.send(GET)
        status, headers, body = await third.answer()

        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
        error = json.loads(body)["error"]
        assert (error["code"], error["retryable"]) == ("too_many_connections", True)
        assert await third.seconds_to_end() < 5
        await third.close()
        await second.send(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        assert (await second.answer())[0] == 200
        await second.seconds_to_end()
        fourth = await connect()
        await fourth.send(GET)
        assert (await fourth.answer())[0] == 200


async def test_a_flood_of_connections_is_closed_without_a_word() -> None:
    """Refusals hold descriptors too, so beyond 128 of them nobody is told why."""
    async with serving(ConnectionLimits(max_open=1)) as connect:
        *_, told = [await connect() for _ in range(1 + 128)]
        untold = await connect()

        assert (await told.answer())[0] == 503
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await untold.answer()


async def test_what_is_not_http_is_refused() -> None:
    """Nonsense reads 400 with the error object, like any other mistake of a client."""
    async with serving() as connect:
        client = await connect()
        await client.send(b"\x16\x03\x01 nonsense\r\n\r\n")
        status, _, body = await client.answer()

        assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_http")


@pytest.mark.parametrize("chunk", [b"no size\r\n", b"5\r\nhelloX\r\n", b"1" * 20 + b"\r\n"])
async def test_a_body_that_breaks_is_refused(chunk: bytes) -> None:
    """A body that cannot be read is answered with 400, though its request has begun, and closed."""
    async with serving() as connect:
        client = await connect()
        await client.send(POST)
        await client.send(chunk)
        status, headers, body = await client.answer()

        assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_http")
        assert headers["connection"] == "close"
        assert await client.seconds_to_end() < 5


async def test_a_body_that_breaks_gets_no_answer_of_another_request() -> None:
    """Behind a request that is still being answered there is no place to refuse: it is closed."""
    async with serving() as connect:
        client = await connect()
        await client.send(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n" + POST + b"no size\r\n")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.answer()
