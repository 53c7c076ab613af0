"""Real server processes for the tests of this directory."""

from collections.abc import Callable, Iterator

import pytest

from tests.server_process import RunningServer, start_server

Serve = Callable[..., RunningServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers with the given flags; they are killed at the end if still there."""
    started: list[RunningServer] = []

    def start(*flags: str, ready: bool = True) -> RunningServer:
        server = start_server(*flags)
        started.append(server)
        if ready:
            server.wait_until_ready()
        return server

    yield start
    for server in started:
        server.kill()


@pytest.fixture(scope="module")
def simulated() -> Iterator[RunningServer]:
    """Serve the simulated model, fast, for the tests of one module."""
    server = start_server("--simulated-step-milliseconds", "2")
    server.wait_until_ready()
    yield server
    server.kill()
