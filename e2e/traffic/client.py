"""The program of a client pod: requests through a Service, each with exactly one recorded end.

It speaks through the official ``openai`` client with ``max_retries=0`` and mixes whole answers,
short streams and long streams. It prints one JSON line per request that did not simply succeed
and per long stream, and a summary as the last line. SIGTERM ends it: no new request starts, those
under way run to their end. ``e2e.traffic.harness`` starts it and reads what it prints.
"""

import argparse
import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field

import httpx2
import openai

REVISION_HEADER = "x-llm-revision"
TIMEOUT_SECONDS = 180.0
THINK_SECONDS = 0.1
SHORT_TOKENS = 16
DONE = b"data: [DONE]"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send: workers by kind, and how long the long streams are in tokens.

    Each request goes over a connection of its own with ``fresh_connections``: a Service chooses a
    pod per connection, so one that is kept never meets a new pod.
    """

    base_url: str
    model: str
    whole_workers: int
    stream_workers: int
    long_workers: int
    long_tokens: int
    limit_seconds: float
    fresh_connections: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """The terminal state of one request: ``ok``, ``failed`` or ``truncated``, with its reason.

    ``revision`` is the one that answered, None when nothing did. ``code`` and ``retryable`` are
    those of a typed error; without one, ``code`` is None.
    """

    kind: str
    state: str
    reason: str
    started: float
    seconds: float
    tokens: int
    fingerprint: str | None
    revision: str | None = None
    code: str | None = None
    retryable: bool = False


@dataclass(slots=True)
class Answer:
    """What of one answer has arrived so far."""

    tokens: int = 0
    text_length: int = 0
    finish_reason: str | None = None
    fingerprint: str | None = None
    revision: str | None = None


_ANSWER: ContextVar[Answer] = ContextVar("answer")


@dataclass(slots=True)
class Ledger:
    """Counts of all ends, and the order to stop."""

    ends: Counter[str] = field(default_factory=Counter)
    revisions: Counter[str] = field(default_factory=Counter)
    first_ok: float | None = None
    refused_before_first_ok: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def record(self, ended: Ended) -> None:
        """Count one end; what failed before the first success was sent too early to count."""
        early = self.first_ok is None or ended.started < self.first_ok
        if early and ended.state == "failed":
            self.refused_before_first_ok += 1
            return
        if ended.state == "ok" and self.first_ok is None:
            self.first_ok = ended.started + ended.seconds
            print(json.dumps({"first_ok": self.first_ok}), flush=True)
        self.ends[f"{ended.kind}/{ended.state}"] += 1
        self.revisions[f"{ended.revision or ''}/{ended.state}"] += 1
        if ended.state != "ok" or ended.kind == "long":
            print(json.dumps(asdict(ended)), flush=True)


class _WatchedBody(httpx2.AsyncByteStream):
    """A response body that notes whether the stream's closing ``[DONE]`` came over the wire."""

    def __init__(self, body: httpx2.AsyncByteStream, response: httpx2.Response) -> None:
        self._body = body
        self._response = response
        self._tail = b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            self._tail = (self._tail + chunk)[-64:]
            self._response.extensions["saw_done"] = DONE in self._tail
            yield chunk

    async def aclose(self) -> None:
        await self._body.aclose()


class WatchingTransport(httpx2.AsyncHTTPTransport):
    """httpx2's transport, watched: the openai client hides headers and whether ``[DONE]`` came."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        _ANSWER.get().revision = response.headers.get(REVISION_HEADER)
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _WatchedBody(response.stream, response)
        return response


def cut_short(answer: Answer, wanted_tokens: int, *, saw_done: bool) -> str | None:
    """Why an answer that ended without an error is incomplete; None when it is whole."""
    if answer.finish_reason is None:
        return "ended without finish_reason"
    if not saw_done:
        return "ended without [DONE]"
    if answer.finish_reason == "length" and answer.tokens != wanted_tokens:
        return f"finish_reason is length after {answer.tokens} of {wanted_tokens} tokens"
    if answer.text_length == 0:
        return "no text"
    return None


async def _whole(client: openai.AsyncOpenAI, plan: Plan, answer: Answer) -> bool:
    completion = await client.chat.completions.create(
        model=plan.model,
        messages=[{"role": "user", "content": "Name a colour."}],
        max_tokens=SHORT_TOKENS,
    )
    choice = completion.choices[0]
    answer.finish_reason = choice.finish_reason
    answer.fingerprint = completion.system_fingerprint
    answer.text_length = len(choice.message.content or "")
    answer.tokens = completion.usage.completion_tokens if completion.usage else 0
    return True


async def _stream(client: openai.AsyncOpenAI, plan: Plan, answer: Answer, tokens: int) -> bool:
    stream = await client.chat.completions.create(
        model=plan.model,
        messages=[{"role": "user", "content": "Tell a story."}],
        max_tokens=tokens,
        stream=True,
        stream_options={"include_usage": True},
    )
    async for chunk in stream:
        answer.fingerprint = chunk.system_fingerprint or answer.fingerprint
        answer.tokens = chunk.usage.completion_tokens if chunk.usage else answer.tokens
        for choice in chunk.choices:
            answer.text_length += len(choice.delta.content or "")
            answer.finish_reason = choice.finish_reason or answer.finish_reason
    return bool(stream.response.extensions.get("saw_done"))


async def send(client: openai.AsyncOpenAI, plan: Plan, kind: str) -> Ended:
    """Send one request of a kind and say how it ended; raises nothing but cancellation."""
    started, clock, answer = time.time(), time.monotonic(), Answer()  # noqa: TID251  # wall clock
    _ANSWER.set(answer)
    code, retryable = None, False
    tokens = plan.long_tokens if kind == "long" else SHORT_TOKENS
    try:
        if kind == "whole":
            saw_done = await _whole(client, plan, answer)
        else:
            saw_done = await _stream(client, plan, answer, tokens)
        cut = cut_short(answer, tokens, saw_done=saw_done)
        state, reason = ("truncated", cut) if cut else ("ok", answer.finish_reason or "")
    except (openai.OpenAIError, httpx2.HTTPError) as error:
        # Part of an answer and then an error: the text is cut, though the caller was told.
        state = "truncated" if answer.text_length else "failed"
        reason = f"{type(error).__name__}: {error} ({error.__cause__!r})"[:600]
        code, retryable = _typed(error)
    seconds = time.monotonic() - clock
    return Ended(
        kind=kind,
        state=state,
        reason=reason,
        started=started,
        seconds=seconds,
        tokens=answer.tokens,
        fingerprint=answer.fingerprint,
        revision=answer.revision,
        code=code,
        retryable=retryable,
    )


def _typed(error: Exception) -> tuple[str | None, bool]:
    """Return code and retryable of the error object that the server sent, if it sent one."""
    body = getattr(error, "body", None)
    if not isinstance(body, dict):
        return None, False
    return body.get("code"), body.get("retryable") is True


async def _worker(client: openai.AsyncOpenAI, plan: Plan, kind: str, ledger: Ledger) -> None:
    while not ledger.stopping.is_set():
        ledger.record(await send(client, plan, kind))
        with suppress(TimeoutError):
            await asyncio.wait_for(ledger.stopping.wait(), THINK_SECONDS)


async def run(plan: Plan) -> Ledger:
    """Send until SIGTERM or the limit, then let what runs end."""
    ledger = Ledger()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ledger.stopping.set)
    loop.call_later(plan.limit_seconds, ledger.stopping.set)
    kinds = (
        ["whole"] * plan.whole_workers
        + ["stream"] * plan.stream_workers
        + ["long"] * plan.long_workers
    )
    timeout = httpx2.Timeout(TIMEOUT_SECONDS, connect=5.0)
    kept = httpx2.Limits(max_keepalive_connections=0 if plan.fresh_connections else None)
    http = httpx2.AsyncClient(transport=WatchingTransport(limits=kept), timeout=timeout)
    async with openai.AsyncOpenAI(
        base_url=plan.base_url, api_key="unused", max_retries=0, timeout=timeout, http_client=http
    ) as client:
        await asyncio.gather(*(_worker(client, plan, kind, ledger) for kind in kinds))
    return ledger


def parse(arguments: list[str] | None = None) -> Plan:
    """Read the plan from the command line."""
    parser = argparse.ArgumentParser(description="OpenAI traffic with a record of every end.")
    parser.add_argument("--base-url", required=True, help="http://SERVICE/v1")
    parser.add_argument("--model", required=True, help="the served name")
    parser.add_argument("--whole-workers", type=int, default=2, help="not streamed, one by one")
    parser.add_argument("--stream-workers", type=int, default=2, help="short streams")
    parser.add_argument("--long-workers", type=int, default=2, help="long streams")
    parser.add_argument("--long-tokens", type=int, default=1000, help="tokens of a long stream")
    parser.add_argument("--limit-seconds", type=float, default=600.0, help="ends by itself after")
    parser.add_argument("--fresh-connections", action="store_true", help="one for each request")
    return Plan(**vars(parser.parse_args(arguments)))


def main() -> None:
    """Run the plan and print the summary as the last line."""
    ledger = asyncio.run(run(parse()))
    summary = {
        "summary": dict(ledger.ends),
        "revisions": dict(ledger.revisions),
        "first_ok": ledger.first_ok,
        "refused_before_first_ok": ledger.refused_before_first_ok,
    }
    print(json.dumps(summary), flush=True)


if __name__ == "__main__":
    main()
