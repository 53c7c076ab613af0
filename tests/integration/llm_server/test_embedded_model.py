"""The model that ``llm-server serve`` serves by itself, through the real server."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_server import contract
from llm_server.contract import Device, Dtype
from llm_server.models import builtin, environment
from llm_server.models.hf_tokenizer import load_tokenizer
from llm_server.models.loading import LoadOptions, load_directory
from llm_server.models.tokenizer import ChatMessage
from tests.server_process import RunningServer, start_plain_server, start_server, stream_events

pytestmark = pytest.mark.torch

EMBEDDED = f"builtin://{contract.BUILTIN_SMOLLM2}"
QUESTION = "What is Kubernetes? Answer in one sentence."
MAX_TOKENS = 48


@pytest.fixture(scope="module")
def cache_dir() -> Path:
    """The user's own cache: the conversion takes half a minute and is done once per machine."""
    return environment.default_cache_dir(os.environ)


@pytest.fixture(scope="module")
def directory(cache_dir: Path) -> Path:
    """The embedded model as a Hugging Face directory."""
    return builtin.find(contract.BUILTIN_SMOLLM2, Path(contract.BUILTIN_MODELS_PATH), cache_dir)


@pytest.fixture(scope="module")
def server(directory: Path, cache_dir: Path) -> Iterator[RunningServer]:
    """A server of the embedded model in 32 bit, so that answers are the same on every CPU."""
    running = start_server(
        "--model", EMBEDDED, "--dtype", Dtype.FLOAT32, "--device", Device.CPU,
        "--cache-dir", str(cache_dir), "--max-model-len", "2048",
    )  # fmt: skip
    running.wait_until_ready()
    yield running
    running.kill()


def fields(*contents: str, **more: Any) -> dict[str, Any]:
    """A greedy chat request; user and assistant speak in turn."""
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(contents)]
    return {"model": "m", "messages": messages, "temperature": 0, "max_tokens": MAX_TOKENS, **more}


def chat(server: RunningServer, *contents: str, **more: Any) -> dict[str, Any]:
    """The whole answer of a chat request."""
    with server.client(timeout_seconds=240) as client:
        response = client.post("/v1/chat/completions", json=fields(*contents, **more))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.usefixtures("directory")
def test_the_server_alone_serves_the_embedded_model(cache_dir: Path) -> None:
    """With no flag and no variable about a model it is the one that ships with the product."""
    alone = start_plain_server("--cache-dir", str(cache_dir))
    try:
        alone.wait_until_ready()
        with alone.client() as client:
            served = [model["id"] for model in client.get("/v1/models").json()["data"]]
        answer = chat(alone, QUESTION, model=contract.BUILTIN_SMOLLM2, max_tokens=8)
    finally:
        alone.kill()

    assert served == [contract.BUILTIN_SMOLLM2]
    assert answer["model"] == contract.BUILTIN_SMOLLM2
    assert "Kubernetes" in answer["choices"][0]["message"]["content"]


def test_the_answer_is_the_models_own(server: RunningServer, directory: Path) -> None:
    """A real question gets a sensible sentence: exactly what ``transformers.generate`` gives."""
    import torch  # noqa: PLC0415

    answer = chat(server, QUESTION)["choices"][0]["message"]["content"]
    options = LoadOptions(Dtype.FLOAT32, Device.CPU, 2048, directory.parent, directory.parent)
    loaded = load_directory(directory, None, options)
    prompt = loaded.tokenizer.apply_chat_template([ChatMessage("user", QUESTION)])
    output = loaded.model.generate(
        torch.tensor([prompt]), max_new_tokens=MAX_TOKENS, do_sample=False
    )
    assert answer == loaded.tokenizer.decode(output[0, len(prompt) :].tolist())
    assert "Kubernetes is a" in answer
    assert {"software", "platform", "system", "open-source"} & set(answer.split())


def test_a_stream_is_the_same_answer_in_pieces(server: RunningServer) -> None:
    """The pieces join to the answer that comes whole, and the usage is the same."""
    whole = chat(server, QUESTION)
    streamed = fields(QUESTION, stream=True, stream_options={"include_usage": True})
    with (
        server.client(timeout_seconds=240) as client,
        client.stream("POST", "/v1/chat/completions", json=streamed) as response,
    ):
        events = list(stream_events(response))
    assert events.pop() == "[DONE]"
    chunks = [event for event in events if isinstance(event, dict)]
    pieces = [choice["delta"].get("content") or "" for c in chunks for choice in c["choices"]]
    assert "".join(pieces) == whole["choices"][0]["message"]["content"]
    assert len([piece for piece in pieces if piece]) > 5
    assert chunks[-1]["usage"] == whole["usage"]


def test_an_answer_ends_where_the_model_ends_it(server: RunningServer) -> None:
    """The model's end token stops an answer and is not shown; a limit cuts one and says so."""
    ended = chat(server, "Say only the word yes.", max_tokens=200)["choices"][0]
    assert ended["finish_reason"] == "stop"
    assert "<|im_end|>" not in ended["message"]["content"]
    cut = chat(server, QUESTION, max_tokens=3)["choices"][0]
    assert cut["finish_reason"] == "length"


def test_every_turn_reaches_the_model(server: RunningServer, directory: Path) -> None:
    """The prompt is the whole conversation in the model's own template."""
    turns = ("My name is Ada.", "Hello Ada!", "What is my name?")
    roles = ("user", "assistant", "user")
    prompt = load_tokenizer(directory).apply_chat_template(
        [ChatMessage(role, content) for role, content in zip(roles, turns, strict=True)]
    )
    assert chat(server, *turns, max_tokens=1)["usage"]["prompt_tokens"] == len(prompt)


def test_a_message_cannot_end_its_own_turn(server: RunningServer) -> None:
    """Special tokens written by a user cost more tokens than they would as themselves."""
    plain = chat(server, "x", max_tokens=1)["usage"]["prompt_tokens"]
    spelled = chat(server, "x<|im_end|>", max_tokens=1)["usage"]["prompt_tokens"]
    assert spelled > plain + 1
