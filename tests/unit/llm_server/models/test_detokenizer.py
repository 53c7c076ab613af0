from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from llm_server.models.hf_tokenizer import HFTokenizer

SPECIALS = ["<s>", "</s>"]
TEXTS = ["Hello", "world", " ", "é", "你好", "🙂", "na", "ïve", "\n", "a", "�"]


def byte_level() -> Tokenizer:
    """GPT-2's kind: every byte is a token, words are made of bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(alphabet)}
    for text in (*TEXTS, " Hello", " you", "好 "):
        encoded = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        token = "".join(piece for piece, _ in encoded.pre_tokenize_str(text))
        vocabulary.setdefault(token, len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def sentencepiece() -> Tokenizer:
    """Llama's kind: a mark for the space, single bytes for what the vocabulary lacks."""
    vocabulary = {"<unk>": 0}
    for token in (*(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁Hello", *TEXTS, "▁a"):
        vocabulary.setdefault(token, len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    return tokenizer


def metaspace() -> Tokenizer:
    """The same mark, taken off by the decoder named after it."""
    vocabulary = {"<unk>": 0, "▁": 1, "▁Hello": 2, "world": 3, "▁a": 4, "é": 5}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def word_piece() -> Tokenizer:
    """BERT's kind: words joined by spaces, continued with ``##``."""
    vocabulary = {t: i for i, t in enumerate(["[UNK]", "hello", "world", "##s", "##ing", ".", "'"])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary))
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def word_end() -> Tokenizer:
    """The first GPT's kind: the end of a word is marked, and becomes a space before the next."""
    vocabulary = {t: i for i, t in enumerate(["hel", "lo</w>", "world</w>", "a</w>", "b"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], end_of_word_suffix="</w>"))
    tokenizer.decoder = decoders.BPEDecoder()
    return tokenizer


KINDS = [byte_level, sentencepiece, metaspace, word_piece, word_end]


def build(kind: Callable[[], Tokenizer]) -> tuple[HFTokenizer, int]:
    """The tokenizer with two special and one ordinary added token, and its number of ids."""
    backend = kind()
    backend.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    backend.add_tokens([AddedToken("<tool>", special=False)])
    return HFTokenizer(backend, None), backend.get_vocab_size(with_added_tokens=True)


BUILT = {kind.__name__: build(kind) for kind in KINDS}


@pytest.mark.parametrize("kind", BUILT)
@settings(max_examples=300)
@given(data=st.data())
def test_pieces_join_to_the_whole(kind: str, data: st.DataObject) -> None:
    """Whatever tokens a model emits, the pieces of its stream are the decoding of all of them."""
    tokenizer, size = BUILT[kind]
    token_ids = data.draw(st.lists(st.integers(0, size + 2), max_size=60))
    detokenizer = tokenizer.detokenizer()
    streamed = "".join(detokenizer.push(token_id) for token_id in token_ids)
    assert streamed + detokenizer.flush() == tokenizer.decode(token_ids)


@given(data=st.data())
def test_a_run_of_single_bytes_keeps_its_meaning(data: st.DataObject) -> None:
    """Bytes that make characters, and bytes that make none, stream as they decode."""
    for kind, first in (("byte_level", 0), ("sentencepiece", 1)):
        tokenizer, _ = BUILT[kind]
        some_bytes = data.draw(st.lists(st.integers(0, 255), max_size=80))
        token_ids = [first + byte for byte in some_bytes]
        detokenizer = tokenizer.detokenizer()
        streamed = "".join(detokenizer.push(token_id) for token_id in token_ids)
        assert streamed + detokenizer.flush() == tokenizer.decode(token_ids)


def test_a_character_of_four_bytes_arrives_whole() -> None:
    """No half character is ever given out."""
    tokenizer, _ = BUILT["sentencepiece"]
    detokenizer = tokenizer.detokenizer()
    pieces = [detokenizer.push(1 + byte) for byte in "🙂".encode()]
    assert pieces == ["", "", "", ""]
    assert detokenizer.flush() == "🙂"


def test_text_is_not_held_longer_than_it_must_be() -> None:
    """A settled token's text is given out with that token, not with the next."""
    tokenizer, _ = BUILT["byte_level"]
    vocabulary = tokenizer._backend.get_vocab()
    detokenizer = tokenizer.detokenizer()
    assert detokenizer.push(vocabulary["Hello"]) == "Hello"
    assert detokenizer.push(vocabulary["ĠHello"]) == " Hello"
    assert detokenizer.flush() == ""


def test_endless_broken_bytes_cost_the_same_each() -> None:
    """The window stays short while a model emits nothing but broken characters."""
    tokenizer, _ = BUILT["byte_level"]
    lead_byte = tokenizer._backend.get_vocab()["ð"]  # 0xF0, the begin of four bytes
    detokenizer = tokenizer.detokenizer()
    pieces = [detokenizer.push(lead_byte) for _ in range(1000)]
    assert len(detokenizer._window) <= 32  # type: ignore[attr-defined]
    assert "".join(pieces) + detokenizer.flush() == "\ufffd" * 1000
