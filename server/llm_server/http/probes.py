"""Probes and metrics on a port and a thread of their own.

They answer while the model loads, while the event loop is busy and when the engine hangs, because
nothing here waits for either: every answer is read from values that others leave behind.
"""

import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from llm_server import contract
from llm_server.engine.loop import EnginePulse
from llm_server.lifecycle import Lifecycle, State
from llm_server.telemetry import Telemetry

_CLIENT_SECONDS = 5.0
_MAX_CLIENTS = 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of one probe."""

    ok: bool
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Vitals:
    """Signs of life. ``pulse`` is None before the engine runs; times are of one clock."""

    now: float
    loop_beat_at: float
    pulse: EnginePulse | None


@dataclass(frozen=True, slots=True)
class ProbeSources:
    """Where the probes read."""

    lifecycle: Lifecycle
    telemetry: Telemetry
    vitals: Callable[[], Vitals]
    stall_seconds: float


def startup(lifecycle: Lifecycle) -> Verdict:
    """Whether the model has been ready once, and how far it has come."""
    progress = lifecycle.snapshot()
    body = {
        "phase": progress.phase.value,
        "bytes": progress.bytes_done,
        "totalBytes": progress.bytes_total,
        "seconds": round(progress.seconds, 3),
    }
    return Verdict(lifecycle.has_started, body)


def readiness(lifecycle: Lifecycle) -> Verdict:
    """Whether new traffic should come here."""
    return Verdict(lifecycle.is_ready, {"state": lifecycle.state.value})


def liveness(state: State, vitals: Vitals, stall_seconds: float) -> Verdict:
    """Whether the process gets further; loading and long prompts are no reason to kill it."""
    if state is State.FAILED:
        return Verdict(ok=False, body={"reason": "the server failed and is about to exit"})
    loop_silence = vitals.now - vitals.loop_beat_at
    if loop_silence > stall_seconds:
        reason = f"the event loop has not run for {loop_silence:.0f} s"
        return Verdict(ok=False, body={"reason": reason})
    pulse = vitals.pulse
    engine_silence = pulse.silence_seconds(vitals.now) if pulse is not None else 0.0
    if engine_silence > stall_seconds:
        reason = f"the engine has work and no step for {engine_silence:.0f} s"
        return Verdict(ok=False, body={"reason": reason})
    doing = "loading" if pulse is None else "computing" if pulse.busy else "idle"
    return Verdict(ok=True, body={"doing": doing})


class ProbeServer:
    """Listens from construction on; answers from ``start`` to ``stop``."""

    def __init__(
        self,
        host: str,
        port: int,
        sources: ProbeSources,
        *,
        client_seconds: float = _CLIENT_SECONDS,
    ) -> None:
        """Bind the port. Raises OSError when it cannot be bound.

        ``client_seconds`` is for the whole of a connection, however busy it seems.
        """
        self._server = _Server((host, port), _handler(sources), client_seconds)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="probes", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that is listened on; the chosen one when 0 was asked for."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = _MAX_CLIENTS

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], client_seconds: float
    ) -> None:
        self._client_seconds = client_seconds
        self._began_at: dict[socket.socket, float] = {}
        self._places = threading.BoundedSemaphore(_MAX_CLIENTS)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without asking a name server for our own name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)

    def service_actions(self) -> None:
        """Cut off who takes too long; called every half second, and between connections."""
        latest = time.monotonic() - self._client_seconds
        for request, began_at in list(self._began_at.items()):
            if began_at < latest:
                with suppress(OSError):  # it may have ended just now
                    request.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve in a thread while there are places, else drop the connection."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        self._began_at[request] = time.monotonic()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection and free its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            del self._began_at[request]
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is nobody's error."""


def _handler(sources: ProbeSources) -> type[BaseHTTPRequestHandler]:
    probes: dict[str, Callable[[], Verdict]] = {
        contract.STARTUP_PATH: lambda: startup(sources.lifecycle),
        contract.READY_PATH: lambda: readiness(sources.lifecycle),
        contract.LIVE_PATH: lambda: liveness(
            sources.lifecycle.state, sources.vitals(), sources.stall_seconds
        ),
    }

    class ProbeHandler(BaseHTTPRequestHandler):
        server_version = "llm-server"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == contract.METRICS_PATH:
                content, content_type = sources.telemetry.exposition()
                self._answer(HTTPStatus.OK, content, content_type)
            elif path in probes:
                verdict = probes[path]()
                status = HTTPStatus.OK if verdict.ok else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(status, json.dumps(verdict.body).encode(), "application/json")
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"not found\n", "text/plain")

        def _answer(self, status: HTTPStatus, content: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Probes come every two seconds; they are not worth a line."""

    return ProbeHandler
