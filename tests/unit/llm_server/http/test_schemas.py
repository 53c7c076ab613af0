import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_server.errors import RequestInvalid
from llm_server.http import schemas

MESSAGES = [{"role": "user", "content": "hi"}]


def chat(**fields: Any) -> schemas.ChatRequest:
    """Parse a chat request with these fields beside the required ones."""
    return schemas.parse_chat(json.dumps({"model": "m", "messages": MESSAGES, **fields}).encode())


def completion(**fields: Any) -> schemas.CompletionRequest:
    """Parse a completion with these fields beside the model."""
    return schemas.parse_completion(json.dumps({"model": "m", **fields}).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("n", True),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("best_of", 2),
        ("echo", True),
        ("suffix", "x"),
        ("presence_penalty", 0.5),
        ("frequency_penalty", -1),
        ("logit_bias", {"5": 1}),
        ("response_format", {"type": "json_object"}),
        ("tools", [{"type": "function"}]),
        ("tool_choice", "required"),
        ("store", True),
        ("service_tier", "flex"),
        ("reasoning_effort", "high"),
        ("min_p", 0.1),
        ("repetition_penalty", 1.1),
    ],
)
def test_a_field_that_is_not_supported_is_refused_by_name(field: str, value: object) -> None:
    """A known field with a value that asks for something is refused, and the refusal names it."""
    with pytest.raises(RequestInvalid) as refusal:
        chat(**{field: value})

    assert refusal.value.param == field
    assert field in refusal.value.message


@pytest.mark.parametrize("field", ["typo_field", "max_tokenz", "__class__"])
def test_an_unknown_field_is_refused_by_name(field: str) -> None:
    """A misspelt field is an error, not silence."""
    with pytest.raises(RequestInvalid) as refusal:
        chat(**{field: 1})

    assert refusal.value.param == field
    assert refusal.value.code == "unknown_parameter"


def test_a_refusal_does_not_send_a_long_name_back() -> None:
    """Of a name that the client made up, its beginning is enough."""
    with pytest.raises(RequestInvalid) as refusal:
        chat(**{"k" * 100_000: 1})

    assert refusal.value.param == "k" * 256
    assert len(refusal.value.message) < 300


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 1),
        ("n", None),
        ("logprobs", False),
        ("logprobs", None),
        ("presence_penalty", 0),
        ("frequency_penalty", 0.0),
        ("logit_bias", {}),
        ("response_format", {"type": "text"}),
        ("tools", []),
        ("tool_choice", "none"),
        ("stop", None),
        ("stop", []),
        ("stream", None),
        ("temperature", None),
        ("user", "someone"),
    ],
)
def test_a_value_that_asks_for_nothing_is_accepted(field: str, value: object) -> None:
    """Clients send defaults along: what means 'off' is as good as leaving the field out."""
    assert chat(**{field: value}).model == "m"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"seed": 2**63}, "seed"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"stop": ""}, "stop.0"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"stop": ["x" * 257]}, "stop.0"),
        ({"stop": 5}, "stop"),
        ({"user": "u" * 513}, "user"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "x", "name": "bob"}]}, "messages.0.name"),
        ({"stream": True, "stream_options": {"nope": 1}}, "stream_options.nope"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    """Each field is bounded, and the refusal says which one is wrong."""
    with pytest.raises(RequestInvalid) as refusal:
        chat(**fields)

    assert refusal.value.param is not None
    assert refusal.value.param.startswith(param)


def test_stream_options_need_a_stream() -> None:
    """Usage in a stream cannot be asked for without a stream."""
    with pytest.raises(RequestInvalid, match="stream_options"):
        chat(stream_options={"include_usage": True})


def test_contradicting_token_bounds_are_refused() -> None:
    """The old and the new name of the bound must agree when both are given."""
    assert chat(max_tokens=5, max_completion_tokens=5).max_completion_tokens == 5
    with pytest.raises(RequestInvalid, match="max_completion_tokens"):
        chat(max_tokens=5, max_completion_tokens=6)


@pytest.mark.parametrize(
    ("prompt", "parsed"),
    [
        ("text", "text"),
        (["text"], "text"),
        ([1, 2], (1, 2)),
        ([[1, 2]], (1, 2)),
    ],
)
def test_one_prompt_may_be_text_or_tokens(prompt: object, parsed: object) -> None:
    """A prompt is one text or one list of ids, bare or as a list of one."""
    assert completion(prompt=prompt).prompt == parsed


@pytest.mark.parametrize("prompt", [["a", "b"], [[1], [2]], [], [1.5], [True], None, 7, [[]]])
def test_several_prompts_or_none_are_refused(prompt: object) -> None:
    """One request, one prompt."""
    with pytest.raises(RequestInvalid) as refusal:
        completion(prompt=prompt)

    assert refusal.value.param == "prompt"


def test_parts_of_text_are_one_text() -> None:
    """A message in parts reads like the joined text."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert chat(messages=[{"role": "user", "content": parts}]).messages[0].text == "ab"


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "refusal", "video_url"])
def test_a_part_that_is_no_text_is_refused_by_its_kind(kind: str) -> None:
    """The refusal names the part and its kind, and that text is what is taken."""
    parts = [{"type": "text", "text": "a"}, {"type": kind, kind: {"url": "http://x"}}]

    with pytest.raises(RequestInvalid) as refusal:
        chat(messages=[{"role": "user", "content": parts}])

    assert refusal.value.param == "messages.0.content.1.type"
    assert refusal.value.code == "unsupported_parameter"
    assert f"'{kind}' is not supported; allowed: 'text'" in refusal.value.message


@pytest.mark.parametrize("role", ["tool", "function", "martian", "System", ""])
def test_a_role_that_is_not_supported_is_refused_by_name(role: str) -> None:
    """The refusal names the role and those that are taken."""
    with pytest.raises(RequestInvalid) as refusal:
        chat(messages=[*MESSAGES, {"role": role, "content": "x"}])

    assert refusal.value.param == "messages.1.role"
    assert refusal.value.code == "unsupported_parameter"
    assert f"'{role}' is not supported" in refusal.value.message
    assert "'developer'" in refusal.value.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tool_calls", [{"id": "1", "type": "function", "function": {"name": "f"}}]),
        ("tool_call_id", "1"),
        ("function_call", {"name": "f", "arguments": "{}"}),
        ("name", "bob"),
        ("audio", {"id": "1"}),
        ("refusal", "No."),
        ("reasoning_content", "Hm."),
    ],
)
def test_a_field_of_a_message_that_is_not_supported_is_refused_by_name(
    field: str, value: object
) -> None:
    """It is named even where the message has no content, as one that calls tools."""
    with pytest.raises(RequestInvalid) as refusal:
        chat(messages=[*MESSAGES, {"role": "assistant", "content": None, field: value}])

    assert refusal.value.param == f"messages.1.{field}"
    assert refusal.value.code == "unsupported_parameter"
    assert "leave it out or give one of: null" in refusal.value.message


@pytest.mark.parametrize("content", [None, 5, {}, [], ["x"], [{"text": "x"}], [{"type": "text"}]])
def test_content_that_is_no_text_is_refused_where_it_is_wrong(content: object) -> None:
    """A text or parts of text, at least one."""
    with pytest.raises(RequestInvalid) as refusal:
        chat(messages=[{"role": "user", "content": content}])

    assert str(refusal.value.param).startswith("messages.0.content")


def test_an_answer_can_be_sent_back_as_it_came() -> None:
    """The official client's answers carry null fields; they are accepted in a conversation."""
    answer = {
        "role": "assistant",
        "content": "hello",
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }

    assert len(chat(messages=[*MESSAGES, answer, *MESSAGES]).messages) == 3


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    """No body raises anything but a refusal."""
    with pytest.raises(RequestInvalid):
        schemas.parse_chat(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(["model", "prompt", "stop", "stream", "n", "seed", "top_p", "user", "x"])


@given(st.dictionaries(FIELDS, JSON))
def test_any_fields_are_parsed_or_refused(fields: dict[str, Any]) -> None:
    """No JSON object raises anything but a refusal."""
    with suppress(RequestInvalid):
        schemas.parse_completion(json.dumps(fields).encode())


@pytest.mark.parametrize("body", [b'{"model": "\\ud800"}', b"[" * 100_000, b'{"model": NaN}'])
def test_hostile_json_is_refused(body: bytes) -> None:
    """Half characters, deep nesting and numbers that JSON lacks are refused, not a crash."""
    with pytest.raises(RequestInvalid):
        schemas.parse_completion(body)
