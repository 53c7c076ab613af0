"""A model's own sampling, from its file to the tokens."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from llm_server.models import builtin
from llm_server.models.generation_config import FILE
from tests.server_process import RunningServer, start_server

pytestmark = pytest.mark.torch

GREEDY_BY_TOP_K = {"top_k": 1, "temperature": 0.7, "repetition_penalty": 1.3, "eos_token_id": 2}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serve the tiny model with a file that leaves one token to choose from."""
    directory = builtin.make("tiny", tmp_path_factory.mktemp("models") / "tiny")
    (directory / FILE).write_text(json.dumps(GREEDY_BY_TOP_K))
    server = start_server("--model", f"file://{directory}", "--dtype", "Float32")
    server.wait_until_ready()
    yield server
    server.kill()


def texts(server: RunningServer, path: str, **fields: Any) -> set[str]:
    """Return the different answers to the same question with five seeds."""
    question: dict[str, Any] = {"prompt": "A pod holds"}
    if "chat" in path:
        question = {"messages": [{"role": "user", "content": "A pod holds"}]}
    with server.client() as client:
        answers = [
            client.post(
                path, json={"model": "m", "max_tokens": 8, "seed": seed, **question, **fields}
            )
            for seed in range(5)
        ]
    choices = [answer.raise_for_status().json()["choices"][0] for answer in answers]
    return {choice.get("text") or choice["message"]["content"] for choice in choices}


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_a_plain_request_is_sampled_as_the_models_file_says(
    server: RunningServer, path: str
) -> None:
    """With top_k 1 in the file every seed gives the greedy answer, unless a request says all."""
    greedy = texts(server, path, temperature=0)

    assert len(greedy) == 1
    assert texts(server, path) == greedy
    assert texts(server, path, top_k=None) == greedy
    assert len(texts(server, path, top_k=0)) > 1
    assert len(texts(server, path, top_k=-1, temperature=1)) > 1


def test_what_is_not_followed_is_logged_once_by_name(server: RunningServer) -> None:
    """And the values that are."""
    lines = [str(entry.get("event")) for entry in server.log]

    assert [line for line in lines if "repetition_penalty" in line] == [
        "not supported and ignored in generation_config.json: repetition_penalty"
    ]
    assert any("temperature 0.7, top_p 1, top_k 1" in line for line in lines)
