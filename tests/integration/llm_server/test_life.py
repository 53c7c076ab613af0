import socket
import time

import httpx

from llm_server import contract
from tests.integration.llm_server.conftest import Serve
from tests.integration.llm_server.streams import StreamInBackground
from tests.server_process import RunningServer

SLOW = ("--simulated-step-milliseconds", "100", "--simulated-answer-tokens", "0")


def ask(server: RunningServer) -> httpx.Response:
    """Ask for one token on a connection of its own."""
    with server.client() as client:
        return client.post("/v1/completions", json={"model": "m", "prompt": "x", "max_tokens": 1})


def test_sigterm_lets_streams_finish_and_exits_zero(serve: Serve) -> None:
    """After SIGTERM: not ready at once, admitting for 10 s, then 503; streams end whole; exit 0."""
    server = serve(*SLOW)
    idle = server.client()
    assert idle.get("/health").headers.get("connection") is None
    stream = StreamInBackground(server, max_tokens=140)

    server.terminate()
    began = time.monotonic()
    while server.probe(contract.READY_PATH).status_code == 200:
        assert time.monotonic() < began + 5
    admitted = ask(server)
    live = server.probe(contract.LIVE_PATH)
    time.sleep(max(0.0, began + contract.DRAIN_ACCEPT_SECONDS + 1 - time.monotonic()))
    refused = ask(server)
    stream.join()

    assert (admitted.status_code, admitted.headers["connection"]) == (200, "close")
    assert live.status_code == 200
    assert (refused.status_code, refused.headers["connection"]) == (503, "close")
    assert refused.json()["error"]["code"] == "server_shutting_down"
    assert int(refused.headers["retry-after"]) >= 1
    assert stream.events[-1] == "[DONE]"
    assert stream.events[-2]["choices"][0]["finish_reason"] == "length"
    assert server.exit_code() == 0
    idle.close()


def test_a_drain_that_is_over_ends_streams_with_an_error(serve: Serve) -> None:
    """What is not done after drain_seconds gets a typed, retryable error, never a cut; exit 0."""
    server = serve(*SLOW, "--drain-seconds", "1")
    stream = StreamInBackground(server, max_tokens=30_000)

    began = time.monotonic()
    server.terminate()
    stream.join()

    assert stream.events[-1]["error"]["code"] == "server_shutting_down"
    assert stream.events[-1]["error"]["retryable"] is True
    assert server.exit_code() == 0
    took = time.monotonic() - began
    assert 11 <= took < contract.grace_period_seconds(1)


def test_a_client_that_stopped_reading_does_not_outlast_the_grace_period(serve: Serve) -> None:
    """What cannot be delivered is given up in time: the process ends itself, with exit code 0."""
    server = serve("--simulated-step-milliseconds", "1", "--drain-seconds", "1")
    body = b'{"model": "m", "prompt": "x", "max_tokens": 30000, "stream": true}'
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", server.http_port))
        deaf.sendall(head + body)
        time.sleep(5)  # the buffers between the two are full

        began = time.monotonic()
        server.terminate()

        assert server.exit_code() == 0
    assert time.monotonic() - began < contract.grace_period_seconds(1)


def test_a_loading_server_answers_that_it_loads(serve: Serve) -> None:
    """While loading the API says 503 and when to come back; the process is alive, not started."""
    server = serve("--simulated-load-seconds", "600", ready=False)

    answer = ask(server)

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["error"]["code"] == "model_loading"
    statuses = [
        server.probe(path).status_code
        for path in (contract.STARTUP_PATH, contract.READY_PATH, contract.LIVE_PATH)
    ]
    assert statuses == [503, 503, 200]
    told = server.probe(contract.STARTUP_PATH).json()
    assert told["phase"] == "Loading"
    assert told["totalBytes"] > told["bytes"]


def test_sigterm_while_loading_exits_at_once(serve: Serve) -> None:
    """Nobody has been served: there is nothing to drain, and the exit code is 0."""
    server = serve("--simulated-load-seconds", "600", ready=False)

    server.terminate()

    assert server.exit_code(within_seconds=20) == 0


def test_a_wrong_setting_exits_with_its_name(serve: Serve) -> None:
    """The start ends non-zero and the log names what is wrong."""
    server = serve("--max-batch-size", "0", ready=False)

    assert server.exit_code() == 1
    assert server.log[-1]["reason"] == "InvalidSettings"
    assert "--max-batch-size" in server.log[-1]["message"]


def test_a_taken_port_exits_with_its_name(serve: Serve) -> None:
    """A port that somebody else has is a start-up failure, not a hang."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = serve("--http-port", str(taken.getsockname()[1]), ready=False)

        assert server.exit_code() == 1
    assert "http_port" in server.log[-1]["message"]


def test_idle_connections_close_after_the_accepting_time(serve: Serve) -> None:
    """A keep-alive connection without a request is closed once nothing new is admitted."""
    server = serve(*SLOW)
    stream = StreamInBackground(server, max_tokens=140)
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=60) as idle:
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        server.terminate()
        while idle.recv(4096):
            pass
        closed_after = time.monotonic() - began
    stream.join()

    assert contract.DRAIN_ACCEPT_SECONDS - 1 < closed_after < contract.DRAIN_ACCEPT_SECONDS + 5
