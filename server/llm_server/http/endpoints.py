"""The endpoints of the route table; they parse, hand over and answer, and decide nothing."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from fastapi import Request
from starlette.responses import JSONResponse, Response

from llm_server.admission import AnswerBound, GenerationParams
from llm_server.engine.request import SamplingParams
from llm_server.errors import ModelNotServed
from llm_server.http import schemas
from llm_server.http.answer import Delivery, GenerationResponse, Question
from llm_server.http.errors import Unreadable
from llm_server.http.schemas import GenerationFields
from llm_server.http.shapes import AnswerHead, ChatShape, CompletionShape
from llm_server.models.tokenizer import ChatMessage
from llm_server.service import (
    ChatPrompt,
    GenerationService,
    Prompt,
    ServedModel,
    ServiceSlot,
    TextPrompt,
    TokenPrompt,
)

_BODY_SECONDS = 60
_SILENCE_SECONDS = 15.0  # common proxies cut a silent answer after 60 s
_COMPLETION_TOKENS = 16  # OpenAI's default for /v1/completions; a chat goes on to its end

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Edge:
    """What the endpoints need: the service once it is there, bounds, a clock and random seeds.

    ``wall_clock`` gives Unix seconds for ``created``; a stream without text for
    ``stream_silence_seconds`` gets a comment.
    """

    slot: ServiceSlot
    max_body_bytes: int
    wall_clock: Callable[[], float]
    new_seed: Callable[[], int]
    stream_silence_seconds: float = _SILENCE_SECONDS


class Endpoints:
    """One method per ``RouteSpec.endpoint``."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    async def health(self, _request: Request) -> Response:
        """Answer that requests are admitted; the gate answers 503 when they are not."""
        return JSONResponse({"status": "ok", "model": self._edge.slot.get().model.name})

    async def models(self, _request: Request) -> Response:
        """List the one model."""
        return JSONResponse({"object": "list", "data": [_card(self._edge.slot.get().model)]})

    async def model(self, request: Request) -> Response:
        """Describe the one model, by its name."""
        return JSONResponse(_card(self._service_named(request.path_params["name"]).model))

    async def completions(self, request: Request) -> Response:
        """Go on with a prompt."""
        fields = schemas.parse_completion(await self._body(request))
        service = self._service_named(fields.model)
        prompt: Prompt
        if isinstance(fields.prompt, str):
            prompt = TextPrompt(fields.prompt)
        else:
            prompt = TokenPrompt(fields.prompt)
        bound = _bound(fields) or AnswerBound(_COMPLETION_TOKENS)
        params = self._params(fields, bound, service.model)
        question = Question(f"cmpl-{uuid.uuid4().hex}", prompt, params)
        shape = CompletionShape(self._head(service, question))
        silence = self._edge.stream_silence_seconds
        return GenerationResponse(service, question, shape, _delivery(fields), silence)

    async def chat_completions(self, request: Request) -> Response:
        """Answer a conversation."""
        fields = schemas.parse_chat(await self._body(request))
        service = self._service_named(fields.model)
        prompt = ChatPrompt(tuple(map(_message, fields.messages)))
        params = self._params(fields, _chat_bound(fields), service.model)
        question = Question(f"chatcmpl-{uuid.uuid4().hex}", prompt, params)
        shape = ChatShape(self._head(service, question))
        silence = self._edge.stream_silence_seconds
        return GenerationResponse(service, question, shape, _delivery(fields), silence)

    async def _body(self, request: Request) -> bytes:
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                return await _read_bounded(request, self._edge.max_body_bytes)
        except TimeoutError:
            raise Unreadable(
                f"The body did not arrive within {_BODY_SECONDS} s",
                status=408,
                code="request_timeout",
            ) from None

    def _service_named(self, name: str) -> GenerationService:
        service = self._edge.slot.get()
        if name != service.model.name:
            raise ModelNotServed(name, service.model.name)
        return service

    def _params(
        self, fields: GenerationFields, bound: AnswerBound | None, model: ServedModel
    ) -> GenerationParams:
        default = model.sampling
        sampling = SamplingParams(
            temperature=default.temperature if fields.temperature is None else fields.temperature,
            top_p=default.top_p if fields.top_p is None else fields.top_p,
            top_k=default.top_k if fields.top_k is None else max(fields.top_k, 0),
            seed=self._edge.new_seed() if fields.seed is None else fields.seed,
        )
        return GenerationParams(sampling, bound, fields.stop)

    def _head(self, service: GenerationService, question: Question) -> AnswerHead:
        created = int(self._edge.wall_clock())
        return AnswerHead(question.id, created, service.model.name, service.model.fingerprint)


def _bound(fields: GenerationFields) -> AnswerBound | None:
    return None if fields.max_tokens is None else AnswerBound(fields.max_tokens, "max_tokens")


def _chat_bound(fields: schemas.ChatRequest) -> AnswerBound | None:
    newer = fields.max_completion_tokens
    return _bound(fields) if newer is None else AnswerBound(newer, "max_completion_tokens")


def _delivery(fields: GenerationFields) -> Delivery:
    if not fields.stream:
        return Delivery.BODY
    if fields.stream_options is not None and fields.stream_options.include_usage:
        return Delivery.STREAM_WITH_USAGE
    return Delivery.STREAM


def _message(message: schemas.Message) -> ChatMessage:
    role = "system" if message.role == "developer" else message.role
    return ChatMessage(role=role, content=message.text)


async def _read_bounded(request: Request, max_bytes: int) -> bytes:
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def _too_large(max_bytes: int) -> Unreadable:
    return Unreadable(
        f"The body must be at most {max_bytes} bytes", status=413, code="body_too_large"
    )


def _card(model: ServedModel) -> dict[str, object]:
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "llm-operator",
        "max_model_len": model.max_model_len,
        "system_fingerprint": model.fingerprint,
        "simulated": model.simulated,
    }
