"""What the server needs of a tokenizer, whoever provides it.

Values and protocols only. ``hf_tokenizer`` implements them for real models and
``simulated_tokenizer`` for the simulated one; the service and the HTTP ring use these names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class PromptInvalid(ValueError):  # a refusal of input, not a fault
    """A prompt that this model cannot take; the text says why and is fit for the client."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message; ``role`` is what chat templates know: system, user or assistant."""

    role: str
    content: str


class Detokenizer(Protocol):
    """Turns the tokens of one answer into text, piece by piece; for one thread."""

    def push(self, token_id: int) -> str:
        """Take one token; return the text that can no longer change, often none."""

    def flush(self) -> str:
        """The rest, once no token follows."""


class Tokenizer(Protocol):
    """Text to tokens and back; safe to use from any thread."""

    def encode(self, text: str) -> list[int]:
        """Tokens of a raw prompt, begin-of-text token included where the model wants one.

        Special tokens spelled in ``text`` become those tokens: the author of a raw prompt
        writes the whole prompt, template included.

        Raises:
            PromptInvalid: the text is not valid Unicode.
        """

    def apply_chat_template(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Tokens of a conversation by the model's template, up to where the answer begins.

        Special tokens spelled inside a message stay plain text, so that no message can end
        its turn and speak as another role.

        Raises:
            PromptInvalid: the model has no template, or the template refuses the messages.
        """

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of the tokens without special ones; equals all of ``Detokenizer`` joined."""

    def detokenizer(self) -> Detokenizer:
        """A fresh one for one answer."""
