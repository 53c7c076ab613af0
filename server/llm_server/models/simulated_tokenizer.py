"""A tokenizer without a model, for ``builtin://simulated``.

Standard library only, deterministic, and reversible: ``decode(encode(text)) == text`` for any
valid text. Tokens are about as long as those of real models (four bytes of English text), so
that lengths, queues and rates mean the same as with a real one.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from llm_server.models.tokenizer import ChatMessage, PromptInvalid

EOS_TOKEN_ID: Final = 0
_TOKEN_BYTES: Final = 4
_WORDS: Final = (
    " the", " a", " one", " each", " every", " this", " that", " all",
    " simulated", " model", " token", " answer", " request", " server", " cluster", " pod",
    " revision", " rollout", " router", " queue", " batch", " step", " cache", " prompt",
    " weight", " stream", " replica", " service", " node", " gateway", " metric", " probe",
    " reads", " writes", " moves", " waits", " starts", " stops", " scales", " drains",
    " serves", " holds", " sends", " takes", " gives", " keeps", " meets", " follows",
    " fast", " slow", " small", " large", " steady", " quiet", " busy", " ready",
    " and", " or", " then", " while", " before", " after", " with", ".",
)  # fmt: skip
_PIECES: Final = re.compile(r"\s?[^\s]+|\s")
_CHUNK_TAG: Final = b"\x01"  # keeps leading zero bytes and puts chunks above every word


class SimulatedTokenizer:
    """Implements :class:`llm_server.models.tokenizer.Tokenizer`.

    Ids from 1 to ``VOCAB_SIZE`` - 1 are whole words, which a simulated model may emit; what
    they do not cover is encoded in chunks of up to four bytes, whole characters each, whose
    ids lie above ``VOCAB_SIZE``.
    """

    VOCAB_SIZE: Final = len(_WORDS) + 1

    def __init__(self) -> None:
        self._word_ids = {word: number for number, word in enumerate(_WORDS, start=1)}

    def encode(self, text: str) -> list[int]:
        """Tokens of a raw prompt; see the protocol."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise PromptInvalid(
                f"prompt: character {error.start} is half of a surrogate pair"
            ) from error
        token_ids: list[int] = []
        for piece in _PIECES.findall(text):
            if piece in self._word_ids:
                token_ids.append(self._word_ids[piece])
            else:
                token_ids.extend(map(_chunk_id, _chunks(piece)))
        return token_ids

    def apply_chat_template(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Tokens of a conversation: ``role: content`` on lines of their own."""
        if not messages:
            raise PromptInvalid("messages: at least one is needed")
        lines = [f"{message.role}: {message.content}\n" for message in messages]
        return self.encode("".join(lines) + "assistant:")

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of the tokens; see the protocol."""
        return "".join(map(_token_text, token_ids))

    def detokenizer(self) -> "SimulatedDetokenizer":
        """A fresh one for one answer; see the protocol."""
        return SimulatedDetokenizer()


class SimulatedDetokenizer:
    """Implements :class:`llm_server.models.tokenizer.Detokenizer`: every token is whole text."""

    def push(self, token_id: int) -> str:
        """The text of the token."""
        return _token_text(token_id)

    def flush(self) -> str:
        """Nothing is ever held."""
        return ""


def _token_text(token_id: int) -> str:
    if token_id == EOS_TOKEN_ID:
        return ""
    if token_id <= len(_WORDS):
        return _WORDS[token_id - 1]
    tagged = token_id.to_bytes(_TOKEN_BYTES + 1, "big").lstrip(b"\x00")
    return tagged[1:].decode(errors="replace")


def _chunk_id(chunk: str) -> int:
    return int.from_bytes(_CHUNK_TAG + chunk.encode(), "big")


def _chunks(piece: str) -> Iterator[str]:
    """Whole characters, up to four bytes together."""
    chunk = ""
    for character in piece:
        if len((chunk + character).encode()) > _TOKEN_BYTES:
            yield chunk
            chunk = ""
        chunk += character
    if chunk:
        yield chunk
