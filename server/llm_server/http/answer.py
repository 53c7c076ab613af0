"""Sends one generation to its client: as one body, or as a stream of server-sent events.

Until the first event of the engine nothing is sent, so an early failure is an ordinary error
response. Inside a started stream it is an error event; a stream that ends without ``[DONE]`` was
cut by the network. A client that leaves cancels its generation.

A stream that has nothing to tell for a while, because its request waits or its prompt is long,
begins all the same and sends comments, which clients skip: proxies cut what is silent.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, assert_never

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from llm_server.admission import GenerationParams
from llm_server.contract import Outcome
from llm_server.engine.events import Cancelled, Delta, Event, Failed, Finished, Terminal, Usage
from llm_server.errors import GenerationFailed
from llm_server.http import errors, exchange
from llm_server.http.shapes import AnswerShape
from llm_server.service import Generation, GenerationService, Prompt

_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would gather the events otherwise
]

_KEEP_ALIVE = b": keep-alive\n\n"

_SEND_STALL_SECONDS = 60
"""A client that takes no byte for so long has left, whatever its connection says; and one that has
let the server wait as much longer than its request may take, all together."""


class Delivery(Enum):
    """How the client wants its answer."""

    BODY = auto()
    STREAM = auto()
    STREAM_WITH_USAGE = auto()


@dataclass(frozen=True, slots=True)
class Question:
    """What to generate, under which id of the engine."""

    id: str
    prompt: Prompt
    params: GenerationParams


class GenerationResponse(Response):
    """A response that computes while it is sent."""

    def __init__(
        self,
        service: GenerationService,
        question: Question,
        shape: AnswerShape,
        delivery: Delivery,
        silence_seconds: float,
    ) -> None:
        super().__init__()
        self._service = service
        self._question = question
        self._shape = shape
        self._delivery = delivery
        self._silence_seconds = silence_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Generate and send. Raises ``ServingError`` only while nothing has been sent."""
        ask = self._question
        generation: Generation | None = None
        patience_seconds = self._service.request_timeout_seconds + _SEND_STALL_SECONDS
        try:
            async with (
                self._service.generate(ask.id, ask.prompt, ask.params) as generation,
                _cancelled_on_disconnect(receive, generation),
            ):
                await self._send(generation, _patient(send, patience_seconds))
        except _ClientLeft:
            return
        finally:
            if generation is not None and generation.end is not None:
                request = exchange.of(scope)
                request.outcome, request.usage = _outcome(generation.end), generation.end.usage

    async def _send(self, generation: Generation, send: Send) -> None:
        match self._delivery:
            case Delivery.BODY:
                await _send_body(send, await self._body(generation))
            case Delivery.STREAM | Delivery.STREAM_WITH_USAGE:
                await _send_stream(send, self._parts(generation))
            case _:
                assert_never(self._delivery)

    async def _body(self, generation: Generation) -> bytes:
        texts: list[str] = []
        async for event in generation.events():
            match event:
                case Delta(text=text):
                    texts.append(text)
                case Finished(reason=reason, usage=usage):
                    return to_json(self._shape.body("".join(texts), reason.value, usage))
                case Failed(kind=kind, message=message):
                    raise GenerationFailed(kind, message)
                case Cancelled():
                    raise _ClientLeft
        raise RuntimeError("a generation ended without a terminal event")

    async def _parts(self, generation: Generation) -> AsyncIterator[bytes]:
        """Yield the stream, part by part. Raises ``GenerationFailed`` before the first one."""
        begun = opened = False
        async for event in _with_silences(generation, self._silence_seconds):
            match event:
                case None:
                    yield _KEEP_ALIVE
                case Failed(kind=kind, message=message) if not begun:
                    raise GenerationFailed(kind, message)
                case Failed(kind=kind, message=message):
                    yield _event(errors.failure_body(GenerationFailed(kind, message)))
                case Cancelled():
                    raise _ClientLeft
                case Delta(text=text):
                    opening = [] if opened else self._shape.opening()
                    opened = True
                    for chunk in [*opening, *self._telling(text)]:
                        yield _event(chunk)
                case Finished(reason=reason, usage=usage):
                    for chunk in self._ending(reason.value, usage):
                        yield _event(chunk)
                    yield b"data: [DONE]\n\n"
            begun = True

    def _telling(self, text: str) -> list[dict[str, Any]]:
        return [self._shape.chunk(text)] if text else []

    def _ending(self, finish_reason: str, usage: Usage) -> list[dict[str, Any]]:
        closing = self._shape.closing(finish_reason)
        if self._delivery is Delivery.STREAM_WITH_USAGE:
            return [closing, self._shape.usage(usage)]
        return [closing]


class _ClientLeft(Exception):
    """Nobody reads the answer any more."""


def _outcome(end: Terminal) -> Outcome:
    match end:
        case Finished(reason=reason):
            return Outcome(reason.value)
        case Cancelled():
            return Outcome.CANCELLED
        case Failed():
            return Outcome.FAILED
        case _:
            assert_never(end)


async def _with_silences(
    generation: Generation, silence_seconds: float
) -> AsyncIterator[Event | None]:
    """Yield the events, and None whenever there was no text for so long."""
    loop = asyncio.get_running_loop()
    due = loop.time() + silence_seconds
    event: Event | None = None
    while event is None or isinstance(event, Delta):
        event = None
        with suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                event = await generation.next_event()
        yield event
        if event is None or (isinstance(event, Delta) and event.text):
            due = loop.time() + silence_seconds


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + to_json(content) + b"\n\n"


def _patient(send: Send, patience_seconds: float) -> Send:
    """Return a ``send`` that takes a client which stopped reading for one that left.

    It waits ``patience_seconds`` for a client in all.
    """
    clock = asyncio.get_running_loop().time
    left_seconds = patience_seconds

    async def bounded(message: Message) -> None:
        nonlocal left_seconds
        began = clock()
        try:
            async with asyncio.timeout(min(_SEND_STALL_SECONDS, left_seconds)):
                await send(message)
        except TimeoutError:
            raise _ClientLeft from None
        left_seconds -= clock() - began

    return bounded


async def _send_body(send: Send, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_stream(send: Send, parts: AsyncIterator[bytes]) -> None:
    started = False
    async for part in parts:
        if not started:
            start = {"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS}
            await send(start)
            started = True
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def _cancelled_on_disconnect(receive: Receive, generation: Generation) -> AsyncIterator[None]:
    """Cancel the generation when the client goes away during the block."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        generation.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
