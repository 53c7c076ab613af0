"""The shapes of answers: one body, or the chunks of a stream, in OpenAI's two dialects."""

from dataclasses import dataclass
from typing import Any, Protocol

from llm_server.engine.events import Usage


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """What every object of one answer repeats."""

    id: str
    created: int
    model: str
    fingerprint: str

    def fields(self, kind: str) -> dict[str, Any]:
        """Return the common fields for an object of this ``kind``."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


class AnswerShape(Protocol):
    """One dialect."""

    def body(self, text: str, finish_reason: str, usage: Usage) -> dict[str, Any]:
        """Return the whole answer."""
        ...

    def opening(self) -> list[dict[str, Any]]:
        """Return the chunks that come before any text."""
        ...

    def chunk(self, text: str) -> dict[str, Any]:
        """Return a chunk with text."""
        ...

    def closing(self, finish_reason: str) -> dict[str, Any]:
        """Return the chunk that ends the text."""
        ...

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the chunk with no choice that carries the usage."""
        ...


class CompletionShape:
    """``text_completion`` objects."""

    def __init__(self, head: AnswerHead) -> None:
        self._fields = head.fields("text_completion")

    def body(self, text: str, finish_reason: str, usage: Usage) -> dict[str, Any]:
        """Return the whole answer."""
        return self._choice(text, finish_reason) | {"usage": usage_fields(usage)}

    def opening(self) -> list[dict[str, Any]]:
        """Return nothing: a completion starts with its text."""
        return []

    def chunk(self, text: str) -> dict[str, Any]:
        """Return a chunk with text."""
        return self._choice(text, None)

    def closing(self, finish_reason: str) -> dict[str, Any]:
        """Return the chunk that ends the text."""
        return self._choice("", finish_reason)

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the chunk with the usage."""
        return self._fields | {"choices": [], "usage": usage_fields(usage)}

    def _choice(self, text: str, finish_reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
        return self._fields | {"choices": [choice]}


class ChatShape:
    """``chat.completion`` and ``chat.completion.chunk`` objects."""

    def __init__(self, head: AnswerHead) -> None:
        self._whole = head.fields("chat.completion")
        self._part = head.fields("chat.completion.chunk")

    def body(self, text: str, finish_reason: str, usage: Usage) -> dict[str, Any]:
        """Return the whole answer."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": None,
            "finish_reason": finish_reason,
        }
        return self._whole | {"choices": [choice], "usage": usage_fields(usage)}

    def opening(self) -> list[dict[str, Any]]:
        """Return the chunk that names the role."""
        return [self._delta({"role": "assistant", "content": ""}, None)]

    def chunk(self, text: str) -> dict[str, Any]:
        """Return a chunk with text."""
        return self._delta({"content": text}, None)

    def closing(self, finish_reason: str) -> dict[str, Any]:
        """Return the chunk that ends the text."""
        return self._delta({}, finish_reason)

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the chunk with the usage."""
        return self._part | {"choices": [], "usage": usage_fields(usage)}

    def _delta(self, delta: dict[str, str], finish_reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._part | {"choices": [choice]}


def usage_fields(usage: Usage) -> dict[str, int]:
    """Return OpenAI's usage object."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
