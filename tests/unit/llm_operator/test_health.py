"""The probe server, and the measure of the event loop's lag."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from llm_operator.health import LAG_INTERVAL_SECONDS, LoopWatch, ProbeServer


@dataclass
class Probed:
    """A probe server and what it is told."""

    client: httpx.AsyncClient
    alive: str | None = None
    ready: str | None = None


@pytest.fixture
async def probed(unused_tcp_port: int) -> AsyncIterator[Probed]:
    """A listening probe server."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_tcp_port}") as client:
        state = Probed(client)
        server = ProbeServer(
            unused_tcp_port, lambda: state.alive, lambda: state.ready, lambda: b"metric 1\n"
        )
        await server.start()
        yield state
        await server.stop()


async def test_a_sound_process_answers_200(probed: Probed) -> None:
    """Where nothing speaks against it, both probes pass."""
    for path in ("/livez", "/readyz"):
        answer = await probed.client.get(path)
        assert (answer.status_code, answer.text) == (200, "ok\n")


async def test_each_probe_answers_for_itself_and_says_why(probed: Probed) -> None:
    """A process that is not ready is alive; the reason stands in the answer."""
    probed.ready = "not everything has been listed yet"
    assert (await probed.client.get("/livez")).status_code == 200
    answer = await probed.client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "not everything has been listed yet\n")
    probed.alive = "the event loop lags by 7.0 s"
    assert (await probed.client.get("/livez")).status_code == 503


async def test_metrics_are_served_as_text(probed: Probed) -> None:
    """Prometheus reads the exposition with its content type."""
    answer = await probed.client.get("/metrics")
    assert answer.text == "metric 1\n"
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")


async def test_nothing_else_is_served(probed: Probed) -> None:
    """Other paths are unknown."""
    assert (await probed.client.get("/")).status_code == 404


async def test_a_port_that_is_taken_is_an_error(probed: Probed) -> None:
    """Two processes on one port: the second does not pretend to listen."""
    port = probed.client.base_url.port
    assert port is not None
    second = ProbeServer(port, lambda: None, lambda: None, lambda: b"")
    with pytest.raises(OSError, match=str(port)):
        await second.start()
    await second.stop()


async def test_a_blocked_event_loop_is_measured() -> None:
    """What blocks the loop shows as lag, and a free loop as none."""
    watch = LoopWatch()
    task = asyncio.create_task(watch.run())
    await asyncio.sleep(LAG_INTERVAL_SECONDS * 1.5)
    assert watch.lag_seconds < LAG_INTERVAL_SECONDS
    time.sleep(LAG_INTERVAL_SECONDS * 2)  # noqa: ASYNC251 - to block is the point
    await asyncio.sleep(0.01)
    assert watch.lag_seconds >= LAG_INTERVAL_SECONDS
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
