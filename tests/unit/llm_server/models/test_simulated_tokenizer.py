import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_server.models.simulated_tokenizer import EOS_TOKEN_ID, SimulatedTokenizer
from llm_server.models.tokenizer import ChatMessage, PromptInvalid

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(TEXT)
def test_encoding_loses_nothing(text: str) -> None:
    """Any text comes back as it was, and the pieces of a stream join to the same."""
    tokenizer = SimulatedTokenizer()
    token_ids = tokenizer.encode(text)
    detokenizer = tokenizer.detokenizer()
    assert tokenizer.decode(token_ids) == text
    assert "".join(map(detokenizer.push, token_ids)) + detokenizer.flush() == text
    assert EOS_TOKEN_ID not in token_ids


def test_every_id_a_model_may_emit_is_a_word() -> None:
    """Ids below the vocabulary's size are readable text, each its own, and encode to themselves."""
    tokenizer = SimulatedTokenizer()
    words = [tokenizer.decode([number]) for number in range(1, tokenizer.VOCAB_SIZE)]
    assert all(word.strip() for word in words)
    assert len(set(words)) == len(words)
    assert [tokenizer.encode(word) for word in words] == [[n + 1] for n in range(len(words))]


def test_tokens_are_as_long_as_those_of_real_models() -> None:
    """English text takes about a token for four characters."""
    text = "The server takes the most probable token, adds it to the text and asks again. " * 20
    assert 3.0 < len(text) / len(SimulatedTokenizer().encode(text)) < 6.0


def test_a_conversation_becomes_one_prompt() -> None:
    """Roles and contents are all in the prompt, and it ends where the answer begins."""
    tokenizer = SimulatedTokenizer()
    prompt = tokenizer.decode(
        tokenizer.apply_chat_template(
            [ChatMessage("system", "Be brief."), ChatMessage("user", "Hi")]
        )
    )
    assert prompt == "system: Be brief.\nuser: Hi\nassistant:"


def test_half_a_surrogate_pair_is_refused() -> None:
    """Text that is not valid Unicode is a bad prompt, not a fault of the server."""
    with pytest.raises(PromptInvalid, match="surrogate"):
        SimulatedTokenizer().encode("a\ud800b")
    with pytest.raises(PromptInvalid, match="messages"):
        SimulatedTokenizer().apply_chat_template([])


def test_it_imports_none_of_the_libraries_of_real_models() -> None:
    """A simulated server starts without torch, transformers and tokenizers."""
    code = (
        "import sys;"
        "from llm_server.models import simulated_tokenizer, loading, source, failures;"
        "print(sorted({'torch', 'transformers', 'tokenizers', 'huggingface_hub', 'numpy'}"
        " & set(sys.modules)))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert loaded.stdout.strip() == "[]"
