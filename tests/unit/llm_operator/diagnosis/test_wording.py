"""Rules that make other programs' messages fit for a status."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.diagnosis.wording import MESSAGE_LIMIT, last_line, mask, steady

SECRET = "s3cr3tVALUE9"


@pytest.mark.parametrize(
    "message",
    [
        f"token={SECRET}",
        f"HF_TOKEN: {SECRET}",
        f'{{"access_token": "{SECRET}", "a": 1}}',
        f"https://user:{SECRET}@registry.example/v2",
        f"https://hub.example/a?X-Amz-Signature={SECRET}&b=1",
        f"Authorization: Bearer {SECRET}",
        f"got 'Bearer {SECRET}' from the client",
        f"api-key={SECRET}; next",
        f"password = {SECRET}",
        "hf_abcdefghijklmnop",
        "sk-proj-abcdefghijklmnop",
        "ghp_abcdefghijklmnop",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    ],
)
def test_what_looks_like_a_credential_is_masked(message: str) -> None:
    """A status is read by more people than a Secret."""
    masked = mask(f"failed: {message} at last")

    assert "***" in masked
    assert SECRET not in masked
    assert not any(word in masked for word in ("abcdefgh", "IOSFODNN", "c2lnbmF0"))


@pytest.mark.parametrize(
    "message",
    [
        'secret "keys" not found',
        'Volume "llm-api-keys": secret "keys" not found',
        "couldn't find key token in Secret default/hf",
        "failed to fetch anonymous token: 401 Unauthorized",
        'MountVolume.SetUp failed for volume "kube-api-access": configmap "x" not found',
        'Cannot pull image "registry.example/token-server:1": not found',
    ],
)
def test_names_of_secrets_are_no_secrets(message: str) -> None:
    """Which Secret or key is missing is just what a person must know."""
    assert mask(message) == message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("at 2026-01-01T00:00:00Z it", "at 2026-01-01T00:05:00.123+01:00 it"),
        ("2026-01-01 00:00:01,123 ERROR x", "2026-01-01 00:00:02,999 ERROR x"),
        ("E0101 12:00:01.123456 x", "E0101 12:00:02.654321 x"),
        ("read tcp 10.0.0.5:41234->10.0.0.1:443: x", "read tcp 10.0.0.5:5123->10.0.0.1:443: x"),
        (
            "pod 1b671a64-40d5-491e-99b0-da01ff1f3341 x",
            "pod 9c671a64-40d5-491e-99b0-da01ff1f3341 x",
        ),
        ("sandbox " + "0a" * 32 + " x", "sandbox " + "1b" * 32 + " x"),
        ("at 0x7f00aa112233", "at 0x7f00bb112233"),
        ("after 1.25s", "after 2.5s"),
        ("no (Request ID: Root=1-66aa)", "no (Request ID: Root=1-77bb)"),
        ("pid=17 died", "pid=23 died"),
    ],
)
def test_what_ticks_is_taken_out(one: str, other: str) -> None:
    """The same trouble gives the same message, or each attempt would be a write."""
    assert steady(one) == steady(other)


@given(st.text(max_size=600))
def test_a_message_is_one_line_of_bounded_length(text: str) -> None:
    """A condition adds the pod and the next step."""
    told = steady(text)

    assert len(told) <= MESSAGE_LIMIT
    assert len(told.splitlines()) <= 1


@given(st.text(max_size=600))
def test_a_steady_message_stays_as_it_is(text: str) -> None:
    """Saying it twice changes nothing."""
    assert steady(steady(text)) == steady(text)


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("one\ntwo\n\n", "two"),
        ("", ""),
        ('{"event": "Lost", "error": "gone"}', "gone"),
        ('{"event": "Lost"}', "Lost"),
        ('{"a": 1}', '{"a": 1}'),
        ("[1]", "[1]"),
    ],
)
def test_the_last_line_of_a_log_is_what_it_says(log: str, line: str) -> None:
    """A line in JSON is its message."""
    assert last_line(log) == line
