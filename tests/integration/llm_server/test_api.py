import asyncio
import json
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.integration.llm_server.conftest import Serve
from tests.server_process import RunningServer, stream_events

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say something."}]


def an_openai_client(server: RunningServer) -> openai.OpenAI:
    """Return the official client, which is never to try twice."""
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def complete(server: RunningServer, **fields: Any) -> httpx.Response:
    """Ask for a completion."""
    with server.client() as client:
        return client.post("/v1/completions", json={"model": "m", "prompt": "x", **fields})


def test_the_official_client_gets_a_chat_answer(simulated: RunningServer) -> None:
    """A chat answer has text, a finish reason, the usage, and says that it is simulated."""
    with an_openai_client(simulated) as client:
        answer = client.chat.completions.create(model="m", messages=MESSAGES, max_tokens=7)

    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 7
    assert "simulated" in str(answer.system_fingerprint)


def test_the_official_client_gets_a_stream(simulated: RunningServer) -> None:
    """A stream opens with the role, brings text piece by piece, a reason, and then the usage."""
    with an_openai_client(simulated) as client:
        stream = client.chat.completions.create(
            model="m",
            messages=MESSAGES,
            max_tokens=7,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)

    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7


def test_the_official_client_lists_the_model(simulated: RunningServer) -> None:
    """The list names the served model and says that it is simulated; so does its own address."""
    with an_openai_client(simulated) as client:
        [model] = client.models.list().data
        assert client.models.retrieve("m") == model
        with pytest.raises(openai.NotFoundError) as refused:
            client.models.retrieve("other")

    assert refused.value.code == "model_not_found"
    assert model.id == "m"
    assert model.model_dump()["simulated"] is True


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0, "max_tokens": 30},
        {"seed": 7, "max_tokens": 30},
        {"seed": 7, "max_tokens": 30, "stop": [" the", "at", "s s"]},
        {"temperature": 0, "max_tokens": 300},
        {"temperature": 0, "prompt": [1, 2, 3], "max_tokens": 5},
    ],
)
def test_a_stream_brings_what_a_body_brings(
    simulated: RunningServer, fields: dict[str, Any]
) -> None:
    """The joined pieces of a stream, its reason and usage equal those of the whole answer."""
    whole = complete(simulated, **fields).json()
    with (
        simulated.client() as client,
        client.stream(
            "POST",
            "/v1/completions",
            json={
                "model": "m",
                "prompt": "x",
                **fields,
                "stream": True,
                "stream_options": {"include_usage": True},
            },
        ) as response,
    ):
        *events, done = stream_events(response)

    chunks = [event for event in events if isinstance(event, dict)]
    assert done == "[DONE]"
    assert "".join(c["choices"][0]["text"] for c in chunks[:-1]) == whole["choices"][0]["text"]
    assert chunks[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert chunks[-1]["usage"] == whole["usage"]


def converse(server: RunningServer, *messages: dict[str, Any]) -> httpx.Response:
    """Ask for the answer to a conversation that is always the same."""
    fields = {"model": "m", "messages": messages, "seed": 7, "max_tokens": 5}
    with server.client() as client:
        return client.post("/v1/chat/completions", json=fields)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}],
        },
    ],
)
def test_a_message_means_the_same_in_every_form(
    simulated: RunningServer, message: dict[str, Any]
) -> None:
    """The newer role and text in parts give the prompt that the plain system message gives."""
    question = {"role": "user", "content": "Who are you?"}
    plain = converse(simulated, {"role": "system", "content": "Be brief."}, question).json()

    answer = converse(simulated, message, question).json()

    assert answer["usage"] == plain["usage"]
    assert answer["choices"] == plain["choices"]


def test_a_part_that_is_no_text_is_answered_with_400(simulated: RunningServer) -> None:
    """The error is OpenAI's, with the field, and never retryable."""
    image = {"type": "image_url", "image_url": {"url": "http://x"}}

    answer = converse(simulated, {"role": "user", "content": [image]})

    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["type"] == "invalid_request_error"
    assert error["code"] == "unsupported_parameter"
    assert error["param"] == "messages.0.content.0.type"
    assert error["retryable"] is False


@pytest.mark.parametrize(
    ("fields", "status", "param", "code"),
    [
        ({"model": "other"}, 404, "model", "model_not_found"),
        ({"n": 2}, 400, "n", "unsupported_parameter"),
        ({"nonsense": 1}, 400, "nonsense", "unknown_parameter"),
        ({"max_tokens": 40_000}, 400, "max_tokens", "context_length_exceeded"),
        ({"prompt": [1] * 40_000}, 400, "prompt", "context_length_exceeded"),
        ({"prompt": [2**40]}, 400, "prompt", "invalid_value"),
        ({"prompt": ""}, 400, "prompt", "invalid_value"),
    ],
)
def test_a_refusal_has_the_shape_that_clients_know(
    simulated: RunningServer, fields: dict[str, Any], status: int, param: str, code: str
) -> None:
    """Each refusal is OpenAI's error object with message, type, param and code."""
    answer = complete(simulated, **fields)

    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code)
    assert error["message"]
    assert error["type"] == "invalid_request_error"


def test_the_default_length_of_an_answer_always_fits(serve: Serve) -> None:
    """Without a bound a completion has 16 tokens and a chat what is left; both fit the model."""
    server = serve("--max-model-len", "40")
    long = complete(server, prompt=[1] * 35)
    short = complete(server, prompt=[1] * 3)
    with server.client() as client:
        fields = {"model": "m", "messages": MESSAGES}
        chat = client.post("/v1/chat/completions", json=fields)
        over = client.post("/v1/chat/completions", json=fields | {"max_completion_tokens": 40})

    assert long.json()["usage"]["completion_tokens"] == 5
    assert short.json()["usage"]["completion_tokens"] == 16
    assert chat.json()["usage"]["total_tokens"] == 40
    error = over.json()["error"]
    assert (over.status_code, error["param"]) == (400, "max_completion_tokens")


def test_unknown_paths_and_methods_are_refused(simulated: RunningServer) -> None:
    """Nothing but the route table answers."""
    with simulated.client() as client:
        assert client.get("/v1/embeddings").status_code == 404
        assert client.get("/openapi.json").status_code == 404
        wrong_method = client.get("/v1/completions")

    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "POST")


def test_a_request_keeps_its_id(simulated: RunningServer) -> None:
    """A harmless x-request-id comes back; another is replaced."""
    with simulated.client() as client:
        kept = client.get("/health", headers={"x-request-id": "abc-1"})
        replaced = client.get("/health", headers={"x-request-id": "a b\tc"})

    assert kept.headers["x-request-id"] == "abc-1"
    assert len(replaced.headers["x-request-id"]) == 32


def test_every_answer_names_its_revision(serve: Serve) -> None:
    """A client sees which revision answered, refusals included; without one nothing is said."""
    server, unnamed = serve("--revision", "bcdfghjk"), serve()

    answered = [complete(server, max_tokens=1), complete(server, max_tokens=0)]
    assert [answer.status_code for answer in answered] == [200, 400]
    assert [answer.headers["x-llm-revision"] for answer in answered] == ["bcdfghjk"] * 2
    assert "x-llm-revision" not in complete(unnamed, max_tokens=1).headers


def test_a_large_body_is_refused(serve: Serve) -> None:
    """A body beyond the bound is refused, announced or not."""
    server = serve("--max-body-bytes", "2048")
    body = json.dumps({"model": "m", "prompt": "x" * 4000}).encode()

    with server.client() as client:
        announced = client.post("/v1/completions", content=body)
        chunked = client.post("/v1/completions", content=iter([body[:3000], body[3000:]]))

    assert (announced.status_code, chunked.status_code) == (413, 413)


def test_a_connection_too_many_and_a_head_too_large_are_refused(serve: Serve) -> None:
    """The process keeps to ``--max-connections`` and to 64 KiB of headers, and lives on."""
    server = serve("--max-connections", "1")

    with server.client() as first, server.client() as second:
        large = first.get("/health", headers={"x-large": "v" * 70_000})
        assert (large.status_code, large.headers["connection"]) == (431, "close")
        assert first.get("/health").status_code == 200
        surplus = second.get("/health")

    assert (surplus.status_code, surplus.headers["retry-after"]) == (503, "1")


def test_keys_guard_the_api_and_follow_their_files(serve: Serve, tmp_path: Path) -> None:
    """Without a key 401 on every path of /v1; health is open; a new key works within seconds."""
    (tmp_path / "alice").write_text("first\n")
    server = serve("--api-keys-dir", str(tmp_path))

    def status(path: str, key: str | None) -> int:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        with server.client() as client:
            return client.get(path, headers=headers).status_code

    assert status("/v1/models", None) == 401
    assert status("/v1/models", "wrong") == 401
    assert status("/v1/does-not-exist", None) == 401
    assert status("/v1/models", "first") == 200
    assert status("/health", None) == 200

    (tmp_path / "alice").write_text("second")
    for _ in range(100):
        if status("/v1/models", "second") == 200:
            break
    assert status("/v1/models", "first") == 401


def test_a_client_that_leaves_frees_its_place(serve: Serve) -> None:
    """With one place, the next request is served soon after the first client went away."""
    server = serve("--max-batch-size", "1", "--simulated-answer-tokens", "0")
    with (
        server.client() as client,
        client.stream(
            "POST",
            "/v1/completions",
            json={"model": "m", "prompt": "x", "max_tokens": 30_000, "stream": True},
        ) as response,
    ):
        next(stream_events(response))

    assert complete(server, max_tokens=3).status_code == 200
    server.until('llm_requests_terminated_total{outcome="cancelled"}', 1)
    server.until("vllm:num_requests_running", 0)


def test_a_full_queue_answers_when_to_come_back(serve: Serve) -> None:
    """Beyond batch and queue a request is refused with 429 and a Retry-After of whole seconds."""
    server = serve("--max-batch-size", "1", "--max-queued-requests", "1")

    async def ask_three() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            fields = {"model": "m", "prompt": "x", "max_tokens": 50}
            asks = [client.post("/v1/completions", json=fields) for _ in range(3)]
            return list(await asyncio.gather(*asks))

    answers = asyncio.run(ask_three())

    assert sorted(answer.status_code for answer in answers) == [200, 200, 429]
    [refused] = [answer for answer in answers if answer.status_code == 429]
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["code"] == "queue_full"


def test_a_request_past_its_deadline_gets_an_error(serve: Serve) -> None:
    """Before the first byte it is a 504; inside a stream it is an error event and no [DONE]."""
    server = serve("--request-timeout-seconds", "1", "--simulated-answer-tokens", "0")

    whole = complete(server, max_tokens=10_000)
    with (
        server.client() as client,
        client.stream(
            "POST",
            "/v1/completions",
            json={"model": "m", "prompt": "x", "max_tokens": 10_000, "stream": True},
        ) as response,
    ):
        events = list(stream_events(response))

    assert whole.status_code == 504
    assert whole.json()["error"]["code"] == "deadline_exceeded"
    assert isinstance(events[-1], dict)
    assert events[-1]["error"]["code"] == "deadline_exceeded"
    assert events[-1]["error"]["retryable"] is True


def test_two_hundred_requests_end_exactly_once_each(serve: Serve) -> None:
    """Bodies, streams, refusals and clients that leave: one end each, and the ledger agrees."""
    server = serve("--simulated-step-milliseconds", "1", "--max-batch-size", "16")

    async def ask(client: httpx.AsyncClient, number: int) -> str:
        fields = {"model": "m", "prompt": f"request {number}", "max_tokens": 20}
        match number % 4:
            case 0:
                answer = await client.post("/v1/completions", json=fields)
                return str(answer.json()["choices"][0]["finish_reason"])
            case 1:
                answer = await client.post("/v1/completions", json={**fields, "n": 3})
                return f"refused {answer.status_code}"
            case 2:
                return await read_stream(client, fields)
            case _:
                return await leave_stream(client, fields)

    async def read_stream(client: httpx.AsyncClient, fields: dict[str, Any]) -> str:
        async with client.stream("POST", "/v1/completions", json={**fields, "stream": True}) as got:
            lines = [line async for line in got.aiter_lines() if line.startswith("data: ")]
        assert lines[-1] == "data: [DONE]"
        reasons = [json.loads(line[6:])["choices"][0]["finish_reason"] for line in lines[:-1]]
        assert reasons.count(None) == len(reasons) - 1
        return str(reasons[-1])

    async def leave_stream(client: httpx.AsyncClient, fields: dict[str, Any]) -> str:
        long = {**fields, "stream": True, "max_tokens": 20_000}
        async with client.stream("POST", "/v1/completions", json=long) as got:
            await anext(got.aiter_lines())
        return "left"

    async def ask_all() -> list[str]:
        bounds = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=server.url, timeout=120, limits=bounds) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(200)))

    ends = Counter(asyncio.run(ask_all()))
    server.until("vllm:num_requests_running", 0)
    server.until("vllm:num_requests_waiting", 0)

    outcomes = {
        name: server.metric(f'llm_requests_terminated_total{{outcome="{name}"}}')
        for name in ("stop", "length", "refused", "cancelled", "failed")
    }
    assert ends == {"length": 100, "refused 400": 50, "left": 50}
    assert outcomes["length"] + outcomes["stop"] + outcomes["cancelled"] == 150
    assert outcomes["length"] >= 100
    assert outcomes["refused"] == 50
    assert outcomes["failed"] == 0
    assert server.metric("llm_requests_received_total") == 200


def test_a_client_that_leaves_before_its_body_is_cancelled(serve: Serve) -> None:
    """Half a body and a closed connection: counted as cancelled, nothing is computed."""
    server = serve()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.http_port)) as connection:
        connection.sendall(head + b'{"model"')
        server.until("llm_requests_received_total", 1)

    server.until('llm_requests_terminated_total{outcome="cancelled"}', 1)
    assert server.metric("vllm:generation_tokens_total") == 0


def test_token_counters_are_the_sum_of_what_clients_were_told(serve: Serve) -> None:
    """Prompt and generation tokens in the metrics equal the usage in the answers."""
    server = serve()
    usages = [complete(server, prompt="x " * n, max_tokens=n).json()["usage"] for n in (1, 5, 9)]

    for metric, field in (("prompt", "prompt_tokens"), ("generation", "completion_tokens")):
        counted = server.metric(f"vllm:{metric}_tokens_total")
        assert counted == sum(usage[field] for usage in usages)
    assert server.metric("vllm:e2e_request_latency_seconds_count") == 3
    assert server.metric("vllm:time_to_first_token_seconds_count") == 3
