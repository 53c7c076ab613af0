import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import httpx
import pytest
from prometheus_client import CollectorRegistry

from llm_server import contract
from llm_server.contract import StartupPhase
from llm_server.engine.loop import EnginePulse
from llm_server.http.probes import ProbeServer, ProbeSources, Vitals, liveness
from llm_server.lifecycle import Lifecycle, State
from llm_server.models.progress import Progress
from llm_server.telemetry import ServerIdentity, Telemetry
from tests.server_builders import Clock


@pytest.mark.parametrize(
    ("vitals", "ok"),
    [
        (Vitals(now=100, loop_beat_at=99, pulse=None), True),
        (Vitals(now=100, loop_beat_at=99, pulse=EnginePulse(busy=False, progressed_at=0)), True),
        (Vitals(now=100, loop_beat_at=99, pulse=EnginePulse(busy=True, progressed_at=80)), True),
        (Vitals(now=100, loop_beat_at=99, pulse=EnginePulse(busy=True, progressed_at=60)), False),
        (Vitals(now=100, loop_beat_at=60, pulse=None), False),
    ],
)
def test_alive_is_who_gets_further(vitals: Vitals, ok: bool) -> None:
    """Loading, idling and slow steps are alive; a hung engine or event loop is not."""
    assert liveness(State.READY, vitals, stall_seconds=30).ok is ok


def test_a_failed_server_is_not_alive() -> None:
    """Dead but answering 200 for ever would keep a broken pod."""
    assert not liveness(State.FAILED, Vitals(0, 0, None), stall_seconds=30).ok


@dataclass
class Probed:
    """A probe server, its client, and what it tells of."""

    client: httpx.Client
    lifecycle: Lifecycle
    clock: Clock


def sources(clock: Clock) -> ProbeSources:
    """Return what the probes of a server that is loading read."""
    telemetry = Telemetry(CollectorRegistry(), ServerIdentity("1", "m", "s", "r", simulated=True))
    return ProbeSources(
        Lifecycle(Progress(clock)),
        telemetry,
        lambda: Vitals(clock.now, clock.now, None),
        stall_seconds=30,
    )


@pytest.fixture
def probed() -> Iterator[Probed]:
    """Serve the probes of a server that is loading."""
    clock = Clock()
    read = sources(clock)
    server = ProbeServer("127.0.0.1", 0, read)
    server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        yield Probed(client, read.lifecycle, clock)
    server.stop()


def statuses(probed: Probed) -> list[int]:
    """Return the statuses of start-up, readiness and liveness."""
    paths = (contract.STARTUP_PATH, contract.READY_PATH, contract.LIVE_PATH)
    return [probed.client.get(path).status_code for path in paths]


def test_the_probes_follow_the_life_of_a_server(probed: Probed) -> None:
    """Loading is alive only; ready is all three; draining keeps alive and started, not ready."""
    seen = [statuses(probed)]
    for state in (State.READY, State.ACCEPTING, State.REFUSING):
        probed.lifecycle.enter(state)
        seen.append(statuses(probed))

    assert seen == [[503, 503, 200], [200, 200, 200], [200, 503, 200], [200, 503, 200]]


def test_the_startup_probe_tells_how_far_a_load_is(probed: Probed) -> None:
    """Phase, bytes and seconds are there while the model loads."""
    probed.lifecycle.progress.enter(StartupPhase.DOWNLOADING)
    probed.lifecycle.progress.expect(1000)
    probed.lifecycle.progress.advance(250)
    probed.clock.now = 3.0

    told = json.loads(probed.client.get(contract.STARTUP_PATH).content)

    assert told == {"phase": "Downloading", "bytes": 250, "totalBytes": 1000, "seconds": 3.0}


def test_metrics_are_on_the_probe_port(probed: Probed) -> None:
    """The exposition is there from the first second on, without a key."""
    answer = probed.client.get(contract.METRICS_PATH)

    assert answer.status_code == 200
    assert "llm_requests_received_total" in answer.text


def test_an_unknown_path_is_not_found(probed: Probed) -> None:
    """The probe port serves its four paths and nothing else."""
    assert probed.client.get("/v1/models").status_code == 404


def test_dripping_clients_cannot_occupy_the_probes() -> None:
    """Clients that hold every place by sending a byte now and then lose it after their time."""
    server = ProbeServer("127.0.0.1", 0, sources(Clock()), client_seconds=0.5)
    server.start()
    url = f"http://127.0.0.1:{server.port}{contract.LIVE_PATH}"
    with ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        clients = [stack.enter_context(socket.create_connection(address)) for _ in range(64)]
        drip_all(clients)
        with pytest.raises(httpx.HTTPError):
            httpx.get(url)

        until = time.monotonic() + 2
        while time.monotonic() < until:
            drip_all(clients)
            time.sleep(0.1)

        assert httpx.get(url).status_code == 200
    server.stop()


def drip_all(clients: list[socket.socket]) -> None:
    """Send one byte of a request line from each client that still can."""
    for client in clients:
        with suppress(ConnectionError):
            client.send(b"G")
