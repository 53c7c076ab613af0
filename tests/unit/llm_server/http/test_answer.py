import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import openai
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Scope

from llm_server.admission import GenerationParams, ServingLimits
from llm_server.engine.events import Delta, Event, Failed, Finished, Usage
from llm_server.engine.request import FinishReason, SamplingParams
from llm_server.errors import FailureKind
from llm_server.http.app import create_app
from llm_server.http.connection import ConnectionLimits
from llm_server.http.endpoints import Edge
from llm_server.http.gate import GateRules
from llm_server.http.listener import ApiServer
from llm_server.lifecycle import Lifecycle, State
from llm_server.models.progress import Progress
from llm_server.service import Generation, GenerationService, Prompt, ServedModel, ServiceSlot
from llm_server.telemetry import ServerIdentity, Telemetry
from tests.server_builders import Clock

SILENCE_SECONDS = 0.2
COMMENT = ": keep-alive"
END = Finished("a", FinishReason.STOP, Usage(1, 2))
FAULT = Failed("a", FailureKind.ENGINE_FAULT, "broken", Usage(1, 0))

Script = Sequence[float | Event]
"""What an engine does: seconds of silence, and events."""


class ScriptedService(GenerationService):
    """A service whose engine follows a script, whatever it is asked."""

    def __init__(self, script: Script) -> None:
        sampling = SamplingParams()
        self.model = ServedModel(
            "m", "f", created=0, max_model_len=100, simulated=True, sampling=sampling
        )
        self._script = script
        self._limits = ServingLimits(100, 10, 1, 1, request_timeout_seconds=0.1)

    @asynccontextmanager
    async def generate(
        self, request_id: str, prompt: Prompt, params: GenerationParams
    ) -> AsyncIterator[Generation]:
        """Play the script."""
        generation = Generation(request_id, 1, cancel=lambda _: None)
        playing = asyncio.create_task(self._play(generation))
        yield generation
        await playing

    async def _play(self, generation: Generation) -> None:
        for part in self._script:
            if isinstance(part, float):
                await asyncio.sleep(part)
            else:
                generation.deliver(part)


def an_app(script: Script) -> ASGIApp:
    """Return the application over a scripted engine."""
    slot = ServiceSlot()
    slot.fill(ScriptedService(script))
    lifecycle = Lifecycle(Progress(Clock()))
    lifecycle.enter(State.READY)
    telemetry = Telemetry(CollectorRegistry(), ServerIdentity("1", "m", "s", "r", simulated=True))
    edge = Edge(slot, 1024, lambda: 0.0, lambda: 0, stream_silence_seconds=SILENCE_SECONDS)
    return create_app(edge, GateRules(lifecycle, telemetry, keys=None, clock=Clock()))


async def test_a_client_that_reads_a_little_at_a_time_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each part is taken in time, and all together would take longer than any request may."""
    monkeypatch.setattr("llm_server.http.answer._SEND_STALL_SECONDS", 0.2)
    sent: list[Message] = []

    async def slowly(message: Message) -> None:
        await asyncio.sleep(0.05)
        sent.append(message)

    body = json.dumps({"model": "m", "prompt": "x", "stream": True}).encode()
    received: asyncio.Queue[Message] = asyncio.Queue()
    received.put_nowait({"type": "http.request", "body": body, "more_body": False})
    deltas = [Delta("a", 1, "x") for _ in range(100)]
    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/completions",
        "query_string": b"",
        "headers": [],
    }

    await asyncio.wait_for(an_app([*deltas, END])(scope, received.get, slowly), timeout=3)

    assert sent[0]["status"] == 200
    assert sent[-1].get("more_body")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_is_late_is_no_client_that_left(
    monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """Only waiting for the client is counted: what the engine says in the end is told."""
    monkeypatch.setattr("llm_server.http.answer._SEND_STALL_SECONDS", 0.05)
    transport = httpx.ASGITransport(an_app([0.5, FAULT]))
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        fields = {"model": "m", "prompt": "x", "stream": stream}
        answer = await client.post("/v1/completions", json=fields)
    assert "engine_fault" in answer.text


async def stream_of(*script: float | Event) -> httpx.Response:
    """Return the whole stream of a completion whose engine does this."""
    transport = httpx.ASGITransport(an_app(script))
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        fields = {"model": "m", "prompt": "x", "stream": True}
        return await client.post("/v1/completions", json=fields)


def blocks_of(stream: httpx.Response) -> list[str]:
    """Return comments as they are, and of events the text, or the code of the error."""
    *blocks, rest = stream.text.split("\n\n")
    assert rest == ""
    return [block if block.startswith(":") else _content(block) for block in blocks]


def _content(block: str) -> str:
    data = block.removeprefix("data: ")
    if data == "[DONE]":
        return data
    event = json.loads(data)
    return str(event["error"]["code"] if "error" in event else event["choices"][0]["text"])


async def test_a_stream_that_waits_begins_with_comments() -> None:
    """A request that is queued or has a long prompt is told to proxies as alive, once per span."""
    stream = await stream_of(3.5 * SILENCE_SECONDS, Delta("a", 1, "x"), END)

    assert stream.status_code == 200
    assert stream.headers["content-type"].startswith("text/event-stream")
    *comments, text, closing, done = blocks_of(stream)
    assert 1 <= len(comments) <= 3
    assert set(comments) == {COMMENT}
    assert (text, closing, done) == ("x", "", "[DONE]")


async def test_a_stream_that_pauses_goes_on_with_comments() -> None:
    """Between two events there may be comments, and each event stays whole."""
    stream = await stream_of(
        Delta("a", 1, "x"), 1.5 * SILENCE_SECONDS, Delta("a", 2, "y"), 1.5 * SILENCE_SECONDS, END
    )

    assert blocks_of(stream) == ["x", COMMENT, "y", COMMENT, "", "[DONE]"]


async def test_a_stream_that_flows_has_no_comment() -> None:
    """Text that comes often enough needs nothing beside it."""
    steps = [
        part for token in range(10) for part in (0.2 * SILENCE_SECONDS, Delta("a", token, "x"))
    ]

    assert COMMENT not in blocks_of(await stream_of(*steps, END))


async def test_tokens_without_text_are_silence() -> None:
    """Tokens whose text is held back send nothing, so a proxy would see nothing either."""
    steps = [part for token in range(10) for part in (0.3 * SILENCE_SECONDS, Delta("a", token, ""))]

    assert COMMENT in blocks_of(await stream_of(*steps, END))


async def test_a_failure_before_the_first_comment_is_a_response() -> None:
    """What fails early has a status, and no stream."""
    stream = await stream_of(0.2 * SILENCE_SECONDS, FAULT)

    assert stream.status_code == 500
    assert stream.json()["error"]["code"] == "engine_fault"


async def test_a_failure_after_a_comment_is_an_event() -> None:
    """Once a comment has begun the stream, the error is in it, and there is no [DONE]."""
    stream = await stream_of(1.5 * SILENCE_SECONDS, FAULT)

    assert (stream.status_code, blocks_of(stream)) == (200, [COMMENT, "engine_fault"])


@pytest.mark.parametrize("delta_text", ["x", ""])
async def test_the_official_client_skips_comments(delta_text: str) -> None:
    """The client of most callers reads the same chat, comments or not."""
    script = (2.5 * SILENCE_SECONDS, Delta("a", 1, delta_text), 2.5 * SILENCE_SECONDS, END)
    server = ApiServer(an_app(script), "127.0.0.1", 0, ConnectionLimits(max_open=9))
    running = asyncio.create_task(server.run())
    async with openai.AsyncOpenAI(
        base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0
    ) as client:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], stream=True
        )
        chunks = [chunk async for chunk in stream]
    server.stop()
    await running

    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == delta_text
    assert chunks[-1].choices[0].finish_reason == "stop"
