"""The bodies of the two generation routes: what is taken, and what is refused by name.

A field is supported, or it is known to OpenAI or vLLM clients and accepted only with a value that
means "off", or it is refused. Nothing is accepted and ignored but ``user``, which is the caller's
own note. Parsing is strict: a number in a string is not a number.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError, from_json

from llm_server.errors import RequestInvalid

MAX_STOP_STRINGS = 16
MAX_STOP_CHARS = 256
MAX_MESSAGES = 4096
_MAX_INT64 = 2**63 - 1
_MAX_PARAM_CHARS = 256  # a name that the client made up is not sent back in full
_UNSUPPORTED: Final = "unsupported_parameter"

_Off: TypeAlias = Mapping[str, tuple[object, ...]]

_OFF: Final[_Off] = {
    "audio": (None,),
    "best_of": (None, 1),
    "echo": (None, False),
    "frequency_penalty": (None, 0),
    "function_call": (None, "none", "auto"),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "logprobs": (None, False),
    "metadata": (None, {}),
    "min_p": (None, 0),
    "modalities": (None, ["text"]),
    "n": (None, 1),
    "parallel_tool_calls": (None, True, False),
    "prediction": (None,),
    "presence_penalty": (None, 0),
    "prompt_cache_key": (None,),
    "reasoning_effort": (None,),
    "repetition_penalty": (None, 1),
    "response_format": (None, {"type": "text"}),
    "safety_identifier": (None,),
    "service_tier": (None, "auto", "default"),
    "store": (None, False),
    "suffix": (None, ""),
    "tool_choice": (None, "none", "auto"),
    "tools": (None, []),
    "top_logprobs": (None, 0),
    "verbosity": (None,),
    "web_search_options": (None,),
}
"""Fields that exist elsewhere and not here, with the values that ask for nothing."""

_OFF_IN_MESSAGE: Final[_Off] = {
    "annotations": (None, []),
    "audio": (None,),
    "function_call": (None,),
    "name": (None,),
    "reasoning": (None,),
    "reasoning_content": (None,),
    "refusal": (None,),
    "tool_call_id": (None,),
    "tool_calls": (None, []),
}

_Schema = TypeVar("_Schema", bound=BaseModel)

StopString = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StreamOptions(_Strict):
    """``include_usage``: one more chunk before ``[DONE]`` with the usage of the request."""

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class GenerationFields(_Strict):
    """What both routes share."""

    model: Annotated[str, Field(max_length=1024)]
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=_MAX_INT64)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=_MAX_INT64)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    stop: tuple[StopString, ...] = ()
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Annotated[str, Field(max_length=512)] | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def _stop_is_a_list(cls, value: object) -> object:
        if value is None:
            return ()
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or len(texts) > MAX_STOP_STRINGS:
            raise ValueError(f"must be a string or a list of at most {MAX_STOP_STRINGS} strings")
        return tuple(texts)

    @model_validator(mode="after")
    def _options_need_a_stream(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is allowed only with stream: true")
        return self


class CompletionRequest(GenerationFields):
    """``POST /v1/completions``: one prompt, as text or as token ids."""

    prompt: str | tuple[int, ...]

    @field_validator("prompt", mode="plain")
    @classmethod
    def _one_prompt(cls, value: object) -> str | tuple[int, ...]:
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str | list):
            value = value[0]
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value and all(type(token) is int for token in value):
            return tuple(value)
        raise ValueError("must be one string or one non-empty list of token ids")


def _only(*allowed: str) -> BeforeValidator:
    """Refuse any other word by itself: it may well mean something to another server."""

    def check(value: object) -> object:
        if isinstance(value, str) and value not in allowed:
            told = {"value": repr(value[:64]), "allowed": ", ".join(map(repr, allowed))}
            raise PydanticCustomError(
                _UNSUPPORTED, "{value} is not supported; allowed: {allowed}", told
            )
        return value

    return BeforeValidator(check)


class TextPart(_Strict):
    """A part of a message's content; only text is understood."""

    type: Annotated[Literal["text"], _only("text")]
    text: str


class Message(_Strict):
    """One message; ``developer`` is the newer name of ``system``."""

    role: Annotated[
        Literal["system", "developer", "user", "assistant"],
        _only("system", "developer", "user", "assistant"),
    ]
    content: Annotated[list[TextPart], Field(min_length=1, max_length=MAX_MESSAGES)]

    @field_validator("content", mode="before")
    @classmethod
    def _a_text_is_one_part(cls, value: object) -> object:
        if isinstance(value, str):
            return [TextPart(type="text", text=value)]
        if not isinstance(value, list):
            raise ValueError("must be a string or a list of parts of text")  # noqa: TRY004  # pydantic's
        return value

    @property
    def text(self) -> str:
        """The content as one text."""
        return "".join(part.text for part in self.content)


class ChatRequest(GenerationFields):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None

    @model_validator(mode="after")
    def _one_token_bound(self) -> Self:
        newer = self.max_completion_tokens
        if newer is not None and self.max_tokens not in (None, newer):
            raise ValueError("max_tokens and max_completion_tokens contradict each other")
        return self


def parse_completion(body: bytes) -> CompletionRequest:
    """Read a body. Raises ``RequestInvalid`` naming the first field that is wrong."""
    return _parse(CompletionRequest, _supported(_read_object(body), _OFF))


def parse_chat(body: bytes) -> ChatRequest:
    """Read a body. Raises ``RequestInvalid`` naming the first field that is wrong."""
    fields = _supported(_read_object(body), _OFF)
    messages = fields.get("messages")
    if isinstance(messages, list):
        fields["messages"] = [
            _supported(message, _OFF_IN_MESSAGE, f"messages.{index}.")
            for index, message in enumerate(messages)
        ]
    return _parse(ChatRequest, fields)


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        content = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise RequestInvalid(
            f"The body is not valid JSON: {error}", param=None, code="invalid_json"
        ) from None
    if not isinstance(content, dict):
        raise RequestInvalid("The body must be a JSON object", param=None, code="invalid_json")
    return content


def _supported(fields: Any, off: _Off, path: str = "") -> Any:  # JSON
    """Drop fields that ask for nothing; refuse the others of their kind."""
    if not isinstance(fields, dict):
        return fields
    for name, value in fields.items():
        if name in off and not any(_same(value, neutral) for neutral in off[name]):
            allowed = ", ".join(map(json.dumps, off[name]))
            raise RequestInvalid(
                f"{path}{name} is not supported; leave it out or give one of: {allowed}",
                param=path + name,
                code=_UNSUPPORTED,
            )
    return {name: value for name, value in fields.items() if name not in off}


def _same(value: object, neutral: object) -> bool:
    """Compare without taking True for 1 or False for 0."""
    return value == neutral and isinstance(value, bool) == isinstance(neutral, bool)


def _parse(schema: type[_Schema], fields: dict[str, Any]) -> _Schema:
    try:
        return schema.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise _refusal(first["type"], first["msg"], first["loc"]) from None


def _refusal(kind: str, message: str, location: tuple[int | str, ...]) -> RequestInvalid:
    param = ".".join(map(str, location))[:_MAX_PARAM_CHARS] or None
    if kind == "extra_forbidden":
        return RequestInvalid(
            f"{param}: there is no such field", param=param, code="unknown_parameter"
        )
    if kind == "missing":
        return RequestInvalid(
            f"{param} is required", param=param, code="missing_required_parameter"
        )
    text = message.removeprefix("Value error, ")
    code = kind if kind == _UNSUPPORTED else "invalid_value"
    return RequestInvalid(f"{param}: {text}" if param else text, param=param, code=code)
