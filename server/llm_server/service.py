"""The engine as seen from the event loop: prompts in, one stream of events per request out.

Knows neither HTTP nor tensors. Every call of ``generate`` that gets past admission sees exactly
one terminal event, and holds its permit until then and until its answer is sent.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeAlias

from llm_server.admission import GenerationParams, Permits, ServingLimits, admit
from llm_server.engine.core import Clock
from llm_server.engine.events import Delta, Event, Failed, Terminal, Usage
from llm_server.engine.loop import EngineThread
from llm_server.engine.request import SamplingParams
from llm_server.errors import FailureKind, RequestInvalid, Unavailable
from llm_server.models.tokenizer import ChatMessage, PromptInvalid, Tokenizer


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """A text to go on with."""

    text: str


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """Token ids to go on with."""

    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """Messages for the model's chat template."""

    messages: tuple[ChatMessage, ...]


Prompt: TypeAlias = TextPrompt | TokenPrompt | ChatPrompt


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What answers say about themselves; ``fingerprint`` goes into ``system_fingerprint``.

    ``sampling`` holds for what a request does not say; seeds are never taken from it.
    """

    name: str
    fingerprint: str
    created: int
    max_model_len: int
    simulated: bool
    sampling: SamplingParams


class Generation:
    """One request inside the engine; iterate it to its terminal event."""

    def __init__(
        self, request_id: str, num_prompt_tokens: int, cancel: Callable[[str], None]
    ) -> None:
        self.request_id = request_id
        self._cancel = cancel
        self._num_prompt_tokens = num_prompt_tokens
        self._num_tokens = 0
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._end: Terminal | None = None

    def deliver(self, event: Event) -> None:
        """Take an event of the engine."""
        if isinstance(event, Delta):
            self._num_tokens += 1
        else:
            self._end = event
        self._events.put_nowait(event)

    @property
    def usage(self) -> Usage:
        """What has been read and sampled so far."""
        return Usage(self._num_prompt_tokens, self._num_tokens)

    @property
    def end(self) -> Terminal | None:
        """The terminal event, once it has arrived."""
        return self._end

    def cancel(self) -> None:
        """Give the request up; the terminal event still comes."""
        if self._end is None:
            self._cancel(self.request_id)

    async def next_event(self) -> Event:
        """Wait for the next event; a wait that is cancelled loses none."""
        return await self._events.get()

    async def events(self) -> AsyncIterator[Event]:
        """Yield the events; the last one is terminal."""
        while True:
            event = await self.next_event()
            yield event
            if not isinstance(event, Delta):
                return

    async def ending(self) -> None:
        """Wait for the terminal event and drop what comes before it."""
        while self._end is None:
            await self._events.get()


class EventRouter:
    """Carries events from the engine thread to the generations on the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._generations: dict[str, Generation] = {}
        self._failure: tuple[FailureKind, str] | None = None

    def open(self, generation: Generation) -> None:
        """Route events of this request until its terminal one."""
        self._generations[generation.request_id] = generation
        if self._failure is not None:
            self.fail_all(*self._failure)

    def deliver(self, events: list[Event]) -> None:
        """Take events in; any thread."""
        self._loop.call_soon_threadsafe(self._dispatch, events)

    def fail_all(self, kind: FailureKind, message: str) -> None:
        """End every request, later ones too, without the engine; what it says is dropped.

        On the event loop only.
        """
        self._failure = kind, message
        for generation in self._generations.values():
            generation.deliver(Failed(generation.request_id, kind, message, generation.usage))
        self._generations.clear()

    def _dispatch(self, events: list[Event]) -> None:
        for event in events:
            generation = self._generations.get(event.request_id)
            if generation is None:
                continue  # ended by ``fail_all``
            generation.deliver(event)
            if not isinstance(event, Delta):
                del self._generations[event.request_id]


@dataclass(frozen=True, slots=True)
class EnginePort:
    """The running engine and the router that its events come through."""

    thread: EngineThread
    router: EventRouter


class GenerationService:
    """Admits prompts, hands them to the engine, and gives its events back."""

    def __init__(
        self,
        model: ServedModel,
        tokenizer: Tokenizer,
        limits: ServingLimits,
        engine: EnginePort,
        clock: Clock,
    ) -> None:
        self.model = model
        self._tokenizer = tokenizer
        self._limits = limits
        self._engine = engine
        self._clock = clock
        self._permits = Permits(limits)

    @property
    def request_timeout_seconds(self) -> float:
        """How long after its arrival the engine gives a request up."""
        return self._limits.request_timeout_seconds

    async def until_empty(self, timeout_seconds: float) -> None:
        """Wait until no request is inside, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._permits.empty.wait()

    @asynccontextmanager
    async def generate(
        self, request_id: str, prompt: Prompt, params: GenerationParams
    ) -> AsyncIterator[Generation]:
        """Admit and start one request.

        Leaving the block early cancels it and waits for its end, so that the permit is held as
        long as the engine holds the request.

        Raises:
            Refusal: nothing was computed.
        """
        arrived_at = self._clock()
        with self._permits.hold():
            tokens = await asyncio.to_thread(self._tokenize, prompt)
            request = admit(request_id, tokens, params, self._limits, now=arrived_at)
            generation = Generation(request_id, len(tokens), self._engine.thread.cancel)
            self._engine.router.open(generation)
            self._engine.thread.submit(request)
            try:
                yield generation
            finally:
                if generation.end is None:
                    generation.cancel()
                    await generation.ending()
                self._permits.record(self._clock() - arrived_at)

    def fail_all(self, kind: FailureKind, message: str) -> None:
        """Have the engine end every request inside with a typed error."""
        self._engine.thread.fail_all(kind, message)

    def abandon_all(self, kind: FailureKind, message: str) -> None:
        """End every request, later ones too, though the engine does not answer."""
        self._engine.router.fail_all(kind, message)

    def _tokenize(self, prompt: Prompt) -> tuple[int, ...]:
        match prompt:
            case TokenPrompt(token_ids):
                return token_ids
            case TextPrompt(text):
                return tuple(self._tokenizer.encode(text))
            case ChatPrompt(messages):
                return self._render_chat(messages)

    def _render_chat(self, messages: Sequence[ChatMessage]) -> tuple[int, ...]:
        try:
            return tuple(self._tokenizer.apply_chat_template(messages))
        except PromptInvalid as error:
            raise RequestInvalid(str(error), param="messages") from error


class ServiceSlot:
    """Where the service is put once the model is loaded; empty before."""

    def __init__(self) -> None:
        self._service: GenerationService | None = None
        self._closed = False

    def fill(self, service: GenerationService) -> None:
        """Put the service in; once."""
        self._service = service

    def close(self) -> None:
        """Give the service to nobody any more."""
        self._closed = True

    def get(self) -> GenerationService:
        """Return the service. Raises ``Unavailable`` before it is there and after ``close``."""
        if self._closed:
            raise Unavailable(
                "The server is shutting down", code="server_shutting_down", retry_after_seconds=1
            )
        if self._service is None:
            raise Unavailable(
                "The model is not ready yet", code="model_loading", retry_after_seconds=2
            )
        return self._service
