"""The instrument itself: the traffic client tells whole answers from failed and cut ones."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import openai
import pytest

from e2e.traffic import client
from e2e.traffic.client import Ended, Ledger, Plan
from e2e.traffic.harness import Report

HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
BUSY = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
DONE = "data: [DONE]\n\n"


def event(text: str | None = None, finish: str | None = None, tokens: int | None = None) -> str:
    """Return one chunk of a streamed chat completion."""
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    chunk = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [] if tokens else [choice],
        "usage": {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": 9}
        if tokens
        else None,
    }
    return f"data: {json.dumps(chunk)}\n\n"


WHOLE = HEAD + event("red") + event(finish="length") + event(tokens=client.SHORT_TOKENS) + DONE
ENDINGS = {
    "a whole stream": (WHOLE, "ok", "length"),
    "no [DONE]": (WHOLE.removesuffix(DONE), "truncated", "without [DONE]"),
    "no finish_reason": (HEAD + event("red") + DONE, "truncated", "without finish_reason"),
    "a text and then nothing": (HEAD + event("red"), "truncated", "without finish_reason"),
    "fewer tokens than asked": (
        HEAD + event("red") + event(finish="length") + event(tokens=3) + DONE,
        "truncated",
        "3 of 16",
    ),
    "no text": (
        HEAD + event(finish="stop") + event(tokens=1) + DONE,
        "truncated",
        "no text",
    ),
    "an error event after text": (
        HEAD + event("red") + 'data: {"error": {"message": "gone"}}\n\n',
        "truncated",
        "gone",
    ),
    "503": (BUSY, "failed", "503"),
    "a connection closed at once": ("", "failed", "APIConnectionError"),
}


@asynccontextmanager
async def answering(text: str) -> AsyncIterator[str]:
    """Serve one fixed answer to every request; yield the base URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text.encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1"


async def end_of(text: str) -> Ended:
    """Send one short stream to a server that gives this answer."""
    async with answering(text) as url:
        plan = Plan(url, "m", 0, 1, 0, 100, 5)
        http = httpx2.AsyncClient(transport=client.WatchingTransport())
        async with openai.AsyncOpenAI(
            base_url=url, api_key="unused", max_retries=0, http_client=http
        ) as sender:
            return await client.send(sender, plan, "stream")


@pytest.mark.parametrize("ending", ENDINGS)
async def test_every_end_is_recorded_for_what_it_is(ending: str) -> None:
    """An answer counts as ok only with text, finish_reason, all tokens and the closing [DONE]."""
    answer, state, reason = ENDINGS[ending]

    ended = await end_of(answer)

    assert ended.state == state, ended
    assert reason in ended.reason


async def test_a_typed_error_is_recorded_with_who_sent_it() -> None:
    """Code, retryable and revision tell a canary's orderly end from a cut stream."""
    head = HEAD.replace("\r\n\r\n", "\r\nx-llm-revision: bcdfghjk\r\n\r\n")
    error = {"message": "gone", "code": "server_shutting_down", "retryable": True}

    typed = await end_of(head + event("red") + f"data: {json.dumps({'error': error})}\n\n")
    cut = await end_of(head + event("red"))

    assert (typed.state, typed.code, typed.retryable) == ("truncated", error["code"], True)
    assert (cut.state, cut.code, cut.retryable) == ("truncated", None, False)
    assert typed.revision == cut.revision == "bcdfghjk"


def ended_at(moment: float, state: str) -> Ended:
    """Return an end of a request that started at a moment."""
    return Ended("stream", state, "", moment, 1.0, 1, None)


def test_failures_count_from_the_first_answer_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Requests sent before anything served are not failures; every later one is."""
    ledger = Ledger()

    for moment, state in ((1.0, "failed"), (5.0, "ok"), (5.5, "failed"), (7.0, "failed")):
        ledger.record(ended_at(moment, state))

    assert ledger.ends == {"stream/ok": 1, "stream/failed": 1}
    assert ledger.refused_before_first_ok == 2
    assert '"state": "failed"' in capsys.readouterr().out


def test_a_report_tells_typed_errors_of_a_revision_from_every_other_end() -> None:
    """Only an error that has a code, may be retried and came from that revision is one."""
    ends: dict[str, dict[str, object]] = {
        "typed": {"code": "overloaded", "retryable": True, "revision": "new"},
        "for good": {"code": "invalid", "retryable": False, "revision": "new"},
        "untyped": {"code": None, "retryable": False, "revision": "new"},
        "of stable": {"code": "overloaded", "retryable": True, "revision": "old"},
    }
    lines = [{"state": "failed", "reason": reason, **end} for reason, end in ends.items()]

    found = Report({}, tuple(lines)).typed_errors_of("new")

    assert [line["reason"] for line in found] == ["typed"]


def test_a_report_tells_which_whole_long_streams_ran_at_a_moment() -> None:
    """Those that began before it and ended after it, neither cut nor short."""
    spans = {"before": (1, 9), "during": (8, 9), "after": (11, 9), "too short": (9, 2)}
    stream = {"kind": "long", "state": "ok"}
    lines: list[dict[str, object]] = [
        {**stream, "reason": reason, "started": started, "seconds": seconds}
        for reason, (started, seconds) in spans.items()
    ]
    cut = {**lines[1], "state": "truncated", "reason": "cut"}

    found = Report({}, (*lines, cut)).under_way_at(10.5, at_least_seconds=5)

    assert [line["reason"] for line in found] == ["during"]
