"""Expositions of the real server, for tests of those who read them."""

from prometheus_client import CollectorRegistry

from llm_server.contract import Outcome
from llm_server.engine.stats import EngineGauges, StepStats
from llm_server.telemetry import ServerIdentity, Telemetry


def a_server(boot: str = "0000beef", ready_seconds: float = 0.0) -> Telemetry:
    """Return the metrics of a server that has been ready for so long."""
    identity = ServerIdentity("1", "m", "builtin://simulated", "abc", simulated=True, boot_id=boot)
    times = iter([0.0])
    telemetry = Telemetry(CollectorRegistry(), identity, lambda: next(times, ready_seconds))
    telemetry.watch(lambda: EngineGauges(2, 3, 0.5), kv_capacity_tokens=1000)
    telemetry.ready(1.0)
    return telemetry


def serve(telemetry: Telemetry, outcome: Outcome, count: int = 1) -> None:
    """Let the server end so many requests in this way."""
    for _ in range(count):
        telemetry.received()
        telemetry.terminated(outcome, 0.2)
        if outcome in (Outcome.STOP, Outcome.LENGTH):
            telemetry.observe(StepStats(4, 3, 0, (0.01,), (0.15,), (0.015, 0.03), 0.02))


def exposition(
    completed: int = 0, failed: int = 0, *, boot: str = "0000beef", ready_seconds: float = 0.0
) -> bytes:
    """Return what a server says that ended so many requests."""
    telemetry = a_server(boot, ready_seconds)
    serve(telemetry, Outcome.STOP, completed)
    serve(telemetry, Outcome.FAILED, failed)
    return telemetry.exposition()[0]
