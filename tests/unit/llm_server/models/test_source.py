from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_server.contract import BUILTIN_MODELS, StartupFailure
from llm_server.models.failures import StartupError
from llm_server.models.source import BuiltinSource, FileSource, HubSource, parse_source


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("hf://Qwen/Qwen3-0.6B", HubSource("Qwen/Qwen3-0.6B", "main")),
        ("hf://Qwen/Qwen3-0.6B@refs/pr/3", HubSource("Qwen/Qwen3-0.6B", "refs/pr/3")),
        ("hf://a/b@" + "0" * 40, HubSource("a/b", "0" * 40)),
        ("builtin://tiny", BuiltinSource("tiny")),
        ("file:///models/llama", FileSource(Path("/models/llama"))),
    ],
)
def test_each_form_gives_its_own_kind_of_source(text: str, source: object) -> None:
    """A form of the contract is parsed into the source that says the same."""
    assert parse_source(text) == source


@pytest.mark.parametrize(
    "text",
    ["", "hf://only-a-name", "file://relative", "s3://bucket/x", "file:///models/../etc", "tiny"],
)
def test_any_other_text_is_refused_with_what_is_allowed(text: str) -> None:
    """A refusal is InvalidSettings and repeats the text or names the allowed forms."""
    with pytest.raises(StartupError) as refused:
        parse_source(text)
    assert refused.value.reason is StartupFailure.INVALID_SETTINGS
    assert "hf://org/name[@revision]" in refused.value.message or ".." in refused.value.message


def test_a_claim_is_refused_with_who_mounts_it() -> None:
    """pvc:// is the operator's form; the server says how it arrives here."""
    with pytest.raises(StartupError, match="mounted by the operator"):
        parse_source("pvc://models/llama")


def test_an_unknown_builtin_is_refused_with_the_known_ones() -> None:
    """It is a model that does not exist; the names of those that do are in the message."""
    with pytest.raises(StartupError) as refused:
        parse_source("builtin://gpt-9")
    assert refused.value.reason is StartupFailure.MODEL_NOT_FOUND
    assert all(name in refused.value.message for name in BUILTIN_MODELS)


@given(st.text(max_size=400))
def test_no_text_crashes_the_parser(text: str) -> None:
    """Any text gives a source that reads back as itself, or a StartupError; never another error."""
    try:
        source = parse_source(text)
    except StartupError:
        return
    assert parse_source(str(source)) == source
