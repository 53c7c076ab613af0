"""Text from tokens, one token at a time, for any tokenizer that can decode a list.

Tokens are not characters: one character may take several tokens, and the text of a token may
depend on its neighbour (a leading space). So a window of tokens is decoded again and only its
new, settled end is given out. Used by ``hf_tokenizer``; knows no library.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

REPLACEMENT = "\ufffd"
"""What decoders write for bytes that are no character, or not one yet."""

_WINDOW_LIMIT = 32
_WINDOW_KEPT = 8  # more bytes than a UTF-8 sequence has, so the kept end decodes as it did


class WindowDetokenizer:
    """Implements :class:`llm_server.models.tokenizer.Detokenizer`.

    ``text_ids`` are all tokens that stand for text; others (special ones, ids beyond the
    vocabulary) say nothing and are dropped. ``run_ids`` are those that stand for one byte each
    where the decoder turns a whole run of them into text at once (SentencePiece byte fallback):
    one bad byte changes the text of the whole run, so a run is held until it ends.
    """

    def __init__(
        self,
        decode: Callable[[list[int]], str],
        text_ids: AbstractSet[int],
        run_ids: AbstractSet[int],
    ) -> None:
        self._decode = decode
        self._text_ids = text_ids
        self._run_ids = run_ids
        self._window: list[int] = []
        self._given_chars = 0

    def push(self, token_id: int) -> str:
        """Take one token; return the text that can no longer change."""
        if token_id not in self._text_ids:
            return ""
        self._window.append(token_id)
        if token_id in self._run_ids:
            return ""
        text = self._decode(self._window)
        if text.endswith(REPLACEMENT):
            return self._give_all_but_the_last(text)
        given = text[self._given_chars :]
        self._keep(1)
        return given

    def flush(self) -> str:
        """The rest; what is still no character by now is given as U+FFFD."""
        text = self._decode(self._window)[self._given_chars :] if self._window else ""
        self._window = []
        self._given_chars = 0
        return text

    def _give_all_but_the_last(self, text: str) -> str:
        """The last character may be the begin of a longer one: hold it."""
        given = text[self._given_chars : -1]
        self._given_chars = max(self._given_chars, len(text) - 1)
        if len(self._window) > _WINDOW_LIMIT:
            self._keep(_WINDOW_KEPT)
            self._given_chars -= 1
        return given

    def _keep(self, token_count: int) -> None:
        """Forget all but the last tokens, whose text up to here has been given out."""
        self._window = self._window[-token_count:]
        self._given_chars = len(self._decode(self._window))
