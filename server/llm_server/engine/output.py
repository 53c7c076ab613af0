"""From sampled tokens to shown text and the end of the answer; one builder per sequence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_server.engine.request import FinishReason
from llm_server.engine.stop import Scanned, StopScanner


class Detokenizer(Protocol):
    """Turns token ids into text piece by piece; holds back incomplete characters."""

    def push(self, token_id: int) -> str:
        """Take the next token; return the text that is complete now, often one word."""
        ...

    def flush(self) -> str:
        """Return what is left at the end."""
        ...


@dataclass(frozen=True, slots=True)
class OutputPiece:
    """What one token adds; ``finish_reason`` is set with the last token."""

    text: str
    finish_reason: FinishReason | None = None


class OutputBuilder:
    """Applies end-of-sequence tokens, stop strings and the length bound, in this order."""

    def __init__(
        self,
        detokenizer: Detokenizer,
        *,
        eos_token_ids: frozenset[int],
        stop_strings: Sequence[str],
        max_tokens: int,
    ) -> None:
        self._detokenizer = detokenizer
        self._eos_token_ids = eos_token_ids
        self._scanner = StopScanner(tuple(stop_strings)) if stop_strings else None
        self._tokens_left = max_tokens

    def accept(self, token_id: int) -> OutputPiece:
        """Take the next sampled token. Not to be called after a finish."""
        self._tokens_left -= 1
        if token_id in self._eos_token_ids:
            return self._close("", FinishReason.STOP)
        scanned = self._scan(self._detokenizer.push(token_id))
        if scanned.hit:
            return OutputPiece(scanned.text, FinishReason.STOP)
        if self._tokens_left == 0:
            return self._close(scanned.text, FinishReason.LENGTH)
        return OutputPiece(scanned.text)

    def _close(self, text: str, reason: FinishReason) -> OutputPiece:
        """End the text: the last characters may still complete a stop string."""
        scanned = self._scan(self._detokenizer.flush())
        if scanned.hit:
            return OutputPiece(text + scanned.text, FinishReason.STOP)
        held = self._scanner.flush() if self._scanner else ""
        return OutputPiece(text + scanned.text + held, reason)

    def _scan(self, text: str) -> Scanned:
        return self._scanner.push(text) if self._scanner else Scanned(text)
