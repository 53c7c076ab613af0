import time

import httpx
import openai
import pytest

from llm_server import contract
from tests.integration.llm_server.conftest import Serve
from tests.integration.llm_server.streams import StreamInBackground
from tests.server_process import RunningServer

SLOW = ("--simulated-step-milliseconds", "20", "--simulated-answer-tokens", "0")


def ask(server: RunningServer, max_tokens: int = 1) -> httpx.Response:
    """Ask for a few tokens on a connection of its own."""
    fields = {"model": "m", "prompt": "x", "max_tokens": max_tokens}
    with server.client() as client:
        return client.post("/v1/completions", json=fields)


def test_a_load_that_stops_never_gets_ready(serve: Serve) -> None:
    """The load stays where it was told to; the process is alive and ends when asked to."""
    server = serve("--simulated-load-stops-at-percent", "40", ready=False)
    seen: dict[str, int] = {}
    while seen.get("bytes", 0) * 100 < 40 * seen.get("totalBytes", 1):
        seen = server.probe(contract.STARTUP_PATH).json()
        seen = {name: seen[name] or 0 for name in ("bytes", "totalBytes")}
    time.sleep(0.5)

    told = server.probe(contract.STARTUP_PATH).json()

    assert (told["phase"], told["bytes"] * 100 // told["totalBytes"]) == ("Loading", 40)
    assert server.probe(contract.READY_PATH).status_code == 503
    assert server.probe(contract.LIVE_PATH).status_code == 200
    server.terminate()
    assert server.exit_code(within_seconds=20) == 0


def test_a_load_can_end_the_process(serve: Serve) -> None:
    """The process exits with the code that was asked for, and its last log line says so."""
    server = serve("--simulated-load-exit-code", "37", ready=False)

    assert server.exit_code() == 37
    assert "--simulated-load-exit-code" in server.log[-1]["event"]


def test_errors_come_as_a_response_or_inside_the_stream(serve: Serve) -> None:
    """Before the first token a failing request gets a 500, later an error event and no [DONE]."""
    early = serve("--simulated-error-percent", "100")
    late = serve("--simulated-error-percent", "100", "--simulated-error-after-tokens", "3")

    whole = ask(early)
    stream = StreamInBackground(late, max_tokens=8)
    stream.join()

    assert whole.status_code == 500
    assert whole.json()["error"]["code"] == "engine_fault"
    assert whole.json()["error"]["retryable"] is True
    assert len(stream.events) == 4
    assert stream.events[-1]["error"]["code"] == "engine_fault"
    assert stream.events[-1]["error"]["retryable"] is True
    early.until('llm_requests_terminated_total{outcome="failed"}', 1)


def test_the_official_client_learns_that_it_may_retry(serve: Serve) -> None:
    """An error event inside a stream arrives there as an APIError with its code and retryable."""
    server = serve("--simulated-error-percent", "100", "--simulated-error-after-tokens", "3")

    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
        pytest.raises(openai.APIError) as failure,
    ):
        list(client.completions.create(model="m", prompt="x", max_tokens=8, stream=True))

    assert failure.value.code == "engine_fault"
    assert isinstance(failure.value.body, dict)
    assert failure.value.body["retryable"] is True


def test_a_lost_device_ends_streams_with_a_typed_error(serve: Serve) -> None:
    """Nobody is cut: the streams under way get a retryable error; the process exits with 1."""
    server = serve(*SLOW, "--simulated-crash-after-requests", "2")
    streams = [StreamInBackground(server, max_tokens=30_000) for _ in range(2)]

    last = ask(server)
    for stream in streams:
        stream.join()

    assert (last.status_code, last.json()["error"]["code"]) == (500, "engine_fault")
    for stream in streams:
        assert stream.events[-1]["error"]["code"] == "engine_fault"
        assert stream.events[-1]["error"]["retryable"] is True
    assert server.exit_code() == 1


def test_a_device_can_be_lost_without_a_request(serve: Serve) -> None:
    """After its seconds an idle server exits with 1 and says why."""
    server = serve("--simulated-crash-after-seconds", "1")

    assert server.exit_code() == 1
    assert any("device was lost after 1 s" in str(line.get("error")) for line in server.log)


def test_a_device_lost_while_draining_does_not_keep_the_pod(serve: Serve) -> None:
    """A request that comes after the loss ends with a typed error, not at the drain's end."""
    server = serve(*SLOW, "--simulated-crash-after-requests", "1")
    stream = StreamInBackground(server, max_tokens=30_000)
    server.terminate()
    while server.probe(contract.READY_PATH).status_code == 200:
        time.sleep(0.05)
    began = time.monotonic()

    lost, late = ask(server), ask(server)
    stream.join()

    assert (lost.status_code, lost.json()["error"]["code"]) == (500, "engine_fault")
    assert (late.status_code, late.json()["error"]["code"]) == (503, "server_shutting_down")
    assert stream.events[-1]["error"]["code"] == "engine_fault"
    assert server.exit_code() == 0
    assert time.monotonic() - began < contract.DRAIN_ACCEPT_SECONDS + contract.DRAIN_MARGIN_SECONDS


def test_a_hang_is_seen_by_metrics_and_liveness(serve: Serve) -> None:
    """The queue grows while no step ends, and after stall_seconds the process is not alive."""
    server = serve(*SLOW, "--simulated-hang-after-requests", "1", "--stall-seconds", "5")
    stream = StreamInBackground(server, max_tokens=30_000)
    waiting = [StreamInBackground(server, 1, wait=False)]
    server.until("vllm:num_requests_running", 2)
    waiting += [StreamInBackground(server, 1, wait=False) for _ in range(2)]
    server.until("vllm:num_requests_waiting", 2)

    steps = server.metric("llm_engine_steps_total")
    time.sleep(1)
    assert server.metric("llm_engine_steps_total") == steps
    assert server.probe(contract.LIVE_PATH).status_code == 200
    deadline = time.monotonic() + 20
    while server.probe(contract.LIVE_PATH).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "no step for" in server.probe(contract.LIVE_PATH).json()["reason"]

    began = time.monotonic()
    server.terminate()
    for each in (stream, *waiting):
        each.join()
        assert each.events[-1]["error"]["code"] == "server_shutting_down"
        assert each.events[-1]["error"]["retryable"] is True
    assert server.exit_code() == 0
    # The default drain is 300 s, which an engine that hangs is not given.
    assert time.monotonic() - began < contract.DRAIN_ACCEPT_SECONDS + contract.DRAIN_MARGIN_SECONDS
