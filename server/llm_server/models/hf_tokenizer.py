"""The tokenizer of a Hugging Face model directory.

``AutoTokenizer`` reads the directory; the work is done by the Rust tokenizer in it, whose
calls here change none of its settings and so are safe from any thread. The one module that
touches the ``tokenizers`` library.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from llm_server.contract import StartupFailure
from llm_server.models.architecture import unsupported_if_it_fails
from llm_server.models.chat_template import ChatTemplate
from llm_server.models.detokenizer import WindowDetokenizer
from llm_server.models.failures import StartupError
from llm_server.models.tokenizer import ChatMessage, Detokenizer, PromptInvalid

if TYPE_CHECKING:
    import tokenizers

_BYTE_TOKEN: Final = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_PRIVATE_USE: Final = range(0xF0000, 0xFFFFE)
_ANCHOR: Final = "\n"


class HFTokenizer:
    """Implements :class:`llm_server.models.tokenizer.Tokenizer`."""

    def __init__(self, backend: "tokenizers.Tokenizer", template: ChatTemplate | None) -> None:
        """``backend`` is taken over: truncation and padding are switched off for good."""
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = False
        self._backend = backend
        self._template = template
        added = backend.get_added_tokens_decoder()
        specials = {token_id: token.content for token_id, token in added.items() if token.special}
        vocabulary = backend.get_vocab(with_added_tokens=True)
        self._text_ids = frozenset(vocabulary.values()) - frozenset(specials)
        self._inside_special = _between_first_and_second(specials.values())
        self._run_ids = _byte_run_ids(backend, vocabulary)
        self._anchor_ids = backend.encode(_ANCHOR, add_special_tokens=False).ids

    def encode(self, text: str) -> list[int]:
        """Tokens of a raw prompt; see the protocol."""
        return list(self._encode(text, "prompt", add_special_tokens=True))

    def apply_chat_template(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Tokens of a conversation; see the protocol."""
        if self._template is None:
            raise PromptInvalid("this model has no chat template; use /v1/completions")
        if not messages:
            raise PromptInvalid("messages: at least one is needed")
        mark = _unused_character(self._template.source, messages)
        guarded = [
            ChatMessage(message.role, self._inside_special.sub(mark, message.content))
            for message in messages
        ]
        first, *rest = self._template.render(guarded).split(mark)
        token_ids = list(self._encode(first, "messages", add_special_tokens=False))
        for piece in rest:
            token_ids += self._encode_continued(piece)
        return token_ids

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of the tokens; see the protocol."""
        return self._backend.decode(list(token_ids), skip_special_tokens=True)

    def detokenizer(self) -> Detokenizer:
        """A fresh one for one answer; see the protocol."""
        return WindowDetokenizer(self._backend.decode, self._text_ids, self._run_ids)

    def _encode(self, text: str, field: str, *, add_special_tokens: bool) -> list[int]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise PromptInvalid(
                f"{field}: character {error.start} is half of a surrogate pair"
            ) from error
        return self._backend.encode(text, add_special_tokens=add_special_tokens).ids

    def _encode_continued(self, piece: str) -> list[int]:
        """Tokens of text that follows other text.

        Some tokenizers put a space before the first character of whatever they are given;
        encoding after a line end, which is then taken away, keeps that space out.
        """
        anchored = self._encode(_ANCHOR + piece, "messages", add_special_tokens=False)
        width = len(self._anchor_ids)
        if anchored[:width] == self._anchor_ids:
            return anchored[width:]
        return self._encode(piece, "messages", add_special_tokens=False)


def load_tokenizer(directory: Path) -> HFTokenizer:
    """Read the tokenizer and the chat template of a model directory; runs none of its code.

    Raises:
        StartupError: ``ModelUnsupported`` if it has none that the Rust library can run.
    """
    from transformers import AutoTokenizer  # noqa: PLC0415

    with unsupported_if_it_fails():
        loaded: Any = AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    backend = getattr(loaded, "backend_tokenizer", None)
    if backend is None:
        raise _unsupported(f"{type(loaded).__name__} has no tokenizer.json form")
    return HFTokenizer(backend, _template(loaded))


def _template(loaded: Any) -> ChatTemplate | None:
    source = loaded.chat_template
    if isinstance(source, dict):
        source = source.get("default")
    if not source:
        return None
    specials = {
        name: str(token) for name, token in loaded.special_tokens_map.items() if token is not None
    }
    return ChatTemplate(source, specials)


def _between_first_and_second(specials: Iterable[str]) -> re.Pattern[str]:
    """Matches the empty place after the first character of every special token.

    A mark put there keeps the text from being read as the token. A special token of a single
    character cannot be divided; no known model has one.
    """
    divisible = sorted((token for token in specials if len(token) > 1), key=len, reverse=True)
    if not divisible:
        return re.compile(r"(?!)")
    return re.compile("|".join(f"(?<={re.escape(t[0])})(?={re.escape(t[1:])})" for t in divisible))


def _byte_run_ids(backend: "tokenizers.Tokenizer", vocabulary: Mapping[str, int]) -> frozenset[int]:
    """Tokens that stand for single bytes, if the decoder turns runs of them into text at once."""
    decoder = json.loads(backend.to_str()).get("decoder")
    if "ByteFallback" not in json.dumps(decoder):
        return frozenset()
    return frozenset(i for token, i in vocabulary.items() if _BYTE_TOKEN.fullmatch(token))


def _unused_character(template: str, messages: Sequence[ChatMessage]) -> str:
    used = set(template).union(*(message.content for message in messages))
    for code in _PRIVATE_USE:
        if chr(code) not in used:
            return chr(code)
    raise PromptInvalid("messages: the text uses every private-use character of plane 15")


def _unsupported(why: str) -> StartupError:
    return StartupError(StartupFailure.MODEL_UNSUPPORTED, f"the model's tokenizer: {why}")
