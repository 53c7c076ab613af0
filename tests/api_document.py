"""An OpenAPI document of the API port, for fuzzing; the server itself serves none.

Bodies are the server's own models. What pydantic cannot say of a field that is read by a function
is said here. Every route of the table needs an entry: without one this module fails.
"""

from typing import Any, Final

from pydantic.json_schema import models_json_schema

from llm_server import contract
from llm_server.http.routes import ROUTES
from llm_server.http.schemas import (
    MAX_MESSAGES,
    MAX_STOP_CHARS,
    MAX_STOP_STRINGS,
    ChatRequest,
    CompletionRequest,
)

SERVED_NAME: Final = "m"
MAX_MODEL_LEN: Final = contract.MODEL_LEN_MAX
"""What the fuzzed server must be started with, so that ``max_tokens`` has its documented bound."""

_LAST_TOKEN: Final = 2**33 - 1  # of the simulated model
_COMPONENTS: Final = "#/components/schemas/"

Schema = dict[str, Any]

_STOP_STRING: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": MAX_STOP_CHARS}
_STOP: Final[Schema] = {
    "anyOf": [
        _STOP_STRING,
        {"type": "array", "items": _STOP_STRING, "maxItems": MAX_STOP_STRINGS},
        {"type": "null"},
    ]
}
_TEXT: Final[Schema] = {"type": "string", "minLength": 1}
_TOKENS: Final[Schema] = {
    "type": "array",
    "items": {"type": "integer", "minimum": 0, "maximum": _LAST_TOKEN},
    "minItems": 1,
}
_ONE_IN_A_LIST: Final[Schema] = {
    "type": "array",
    "items": {"anyOf": [_TEXT, _TOKENS]},
    "minItems": 1,
    "maxItems": 1,
}
_PROMPT: Final[Schema] = {"anyOf": [_TEXT, _TOKENS, _ONE_IN_A_LIST]}
_CONTENT: Final[Schema] = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "array",
            "items": {"$ref": f"{_COMPONENTS}TextPart"},
            "minItems": 1,
            "maxItems": MAX_MESSAGES,
        },
    ]
}


def _fields(**types: str | list[str]) -> Schema:
    """Return an object with exactly these fields."""
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in types.items()},
        "required": sorted(types),
        "additionalProperties": False,
    }


def _error() -> Schema:
    """OpenAI's error object; its size is bounded, whatever was sent."""
    error = _fields(
        message="string",
        type="string",
        code="string",
        param=["string", "null"],
        retryable="boolean",
    )
    error["properties"]["message"] |= {"minLength": 1, "maxLength": 8192}
    error["properties"]["param"] |= {"maxLength": 1024}
    return {**_fields(error="object"), "properties": {"error": error}}


def _answer(kind: str) -> Schema:
    answer = _fields(
        id="string",
        object="string",
        created="integer",
        model="string",
        system_fingerprint="string",
        choices="array",
        usage="object",
    )
    usage = _fields(prompt_tokens="integer", completion_tokens="integer", total_tokens="integer")
    answer["properties"] |= {"object": {"const": kind}, "usage": usage}
    answer["properties"]["choices"] |= {"minItems": 1, "maxItems": 1}
    return answer


def _operation(answer: Schema) -> Schema:
    """Return an operation that answers 200 or refuses with OpenAI's error; never with 5xx."""
    refusal = {"application/json": {"schema": {"$ref": f"{_COMPONENTS}Error"}}}
    return {
        "responses": {
            "200": {"description": "answer", "content": {"application/json": {"schema": answer}}},
            "4XX": {"description": "refusal", "content": refusal},
        }
    }


def _generation(request: str, kind: str) -> Schema:
    operation = _operation(_answer(kind))
    operation["responses"]["200"]["content"]["text/event-stream"] = {}
    body = {"application/json": {"schema": {"$ref": _COMPONENTS + request}}}
    return operation | {"requestBody": {"required": True, "content": body}}


_MODEL: Final = _fields(
    id="string",
    object="string",
    created="integer",
    owned_by="string",
    max_model_len="integer",
    system_fingerprint="string",
    simulated="boolean",
)
_NAME: Final[Schema] = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
}

_OPERATIONS: Final[dict[str, Schema]] = {
    "health": _operation(_fields(status="string", model="string")),
    "models": _operation(_fields(object="string", data="array")),
    "model": {**_operation(_MODEL), "parameters": [_NAME]},
    "completions": _generation("CompletionRequest", "text_completion"),
    "chat_completions": _generation("ChatRequest", "chat.completion"),
}


def api_document() -> Schema:
    """Return the document for a server of the simulated model."""
    paths = {
        route.path.replace(":path", ""): {route.method.lower(): _OPERATIONS[route.endpoint]}
        for route in ROUTES
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "llm-server", "version": "1"},
        "paths": paths,
        "components": {"schemas": {**_requests(), "Error": _error()}},
    }


def _requests() -> Schema:
    _, generated = models_json_schema(
        [(CompletionRequest, "validation"), (ChatRequest, "validation")],
        ref_template=_COMPONENTS + "{model}",
    )
    schemas: Schema = generated["$defs"]
    for request in (schemas["CompletionRequest"], schemas["ChatRequest"]):
        request["properties"] |= {"model": {"const": SERVED_NAME}, "stop": _STOP}
    schemas["CompletionRequest"]["properties"]["prompt"] = _PROMPT
    schemas["Message"]["properties"]["content"] = _CONTENT
    return schemas
