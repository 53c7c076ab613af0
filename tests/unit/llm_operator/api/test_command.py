import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.command import (
    Command,
    CommandInvalid,
    CommandVerb,
    parse_command,
)
from llm_operator.api.schema import HASH_PATTERN
from llm_operator.api.status import NONCE_PATTERN

COMMANDS = st.builds(
    Command,
    verb=st.sampled_from(CommandVerb),
    revision=st.from_regex(HASH_PATTERN, fullmatch=True),
    nonce=st.from_regex(NONCE_PATTERN, fullmatch=True),
)


def answer_to(text: str) -> str:
    """Return the message that refuses a text, or nothing."""
    try:
        parse_command(text)
    except CommandInvalid as refusal:
        return str(refusal)
    return ""


@given(COMMANDS)
def test_a_command_survives_writing_and_reading(command: Command) -> None:
    """What the plugin writes is what the operator reads."""
    assert parse_command(str(command)) == command


@given(COMMANDS, st.lists(st.sampled_from([" ", "\t", "\n", "  "]), min_size=4, max_size=4))
def test_white_space_does_not_matter(command: Command, spaces: list[str]) -> None:
    """People write the annotation by hand, and YAML adds line breaks."""
    before, one, two, after = spaces
    text = f"{before}{command.verb}{one}{command.revision}{two}{command.nonce}{after}"
    assert parse_command(text) == command


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "write '<verb> <revision> <nonce>'"),
        ("promote bcdfghjk", "write '<verb> <revision> <nonce>'"),
        ("promote bcdfghjk 1 now", "write '<verb> <revision> <nonce>'"),
        ("Promote bcdfghjk 1", "promote, promote-step, abort, retry, pause, resume"),
        ("undo bcdfghjk 1", "promote, promote-step, abort, retry, pause, resume"),
        ("promote chat-bcdfghjk 1", "a hash of 8 characters"),
        ("promote aeiouaei 1", "a hash of 8 characters"),
        ("promote bcdfghjk a/b", "at most 16 letters"),
        ("promote bcdfghjk " + "1" * 17, "at most 16 letters"),
    ],
)
def test_what_is_no_command_is_refused_with_what_is_allowed(text: str, said: str) -> None:
    """The message shows the part that is wrong and says what it must be."""
    assert said in answer_to(text)


@given(st.text())
def test_reading_ends_in_a_command_or_in_a_short_message(text: str) -> None:
    """An annotation may hold anything, of any length."""
    assert len(answer_to(text)) < 200


def test_a_long_annotation_is_not_repeated_in_full() -> None:
    """The message goes into an event."""
    assert 0 < len(answer_to("x" * 100_000)) < 200
