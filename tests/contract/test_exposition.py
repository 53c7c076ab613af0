"""What the server exposes is what the operator reads."""

import pytest

from llm_operator.telemetry import ExpositionInvalid, read_exposition
from llm_server.contract import Metric, Outcome
from tests.exposition_builders import a_server, exposition, serve


def test_every_figure_of_the_server_arrives() -> None:
    """Requests by outcome, latencies, progress, load, boot id and time in service."""
    telemetry = a_server(boot="0badcafe", ready_seconds=12.5)
    serve(telemetry, Outcome.STOP, 3)
    serve(telemetry, Outcome.LENGTH, 2)
    telemetry.received()
    reading = read_exposition(telemetry.exposition()[0])
    assert reading.boot_id == "0badcafe"
    assert reading.ready_seconds == 12.5
    assert (reading.counters.received, reading.counters.completed) == (6, 5)
    assert (reading.engine_steps, reading.generation_tokens) == (5, 15)
    assert (reading.running, reading.waiting) == (2, 3)
    assert sum(reading.counters.first_token) == 5
    assert sum(reading.counters.inter_token) == 10
    bucket = next(i for i, bound in enumerate(reading.shape.first_token) if bound >= 0.15)
    assert reading.counters.first_token[bucket] == 5
    assert len(reading.counters.first_token) == len(reading.shape.first_token) + 1


def test_the_commit_that_was_loaded_arrives() -> None:
    """Empty before the load and for models that no hub has; what is no commit is not believed."""
    telemetry = a_server()
    assert read_exposition(telemetry.exposition()[0]).commit == ""
    telemetry.loaded("0123456789abcdef" * 2 + "01234567")
    text = telemetry.exposition()[0]
    assert read_exposition(text).commit == "0123456789abcdef" * 2 + "01234567"
    assert read_exposition(text.replace(b"01234567", b"x" * 500)).commit == ""


@pytest.mark.parametrize("outcome", Outcome)
def test_each_outcome_is_a_success_an_error_or_the_client_s(outcome: Outcome) -> None:
    """5xx and errors inside streams are errors; 4xx, 429 and clients that leave are not."""
    telemetry = a_server()
    serve(telemetry, outcome)
    counters = read_exposition(telemetry.exposition()[0]).counters
    assert counters.received == 1
    assert counters.completed == (outcome in (Outcome.STOP, Outcome.LENGTH))
    assert counters.failed == (outcome in (Outcome.FAILED, Outcome.UNAVAILABLE))
    assert counters.refused == (outcome is Outcome.REFUSED)


def test_a_server_of_an_earlier_release_is_read_too() -> None:
    """Without boot id, time in service and newer outcomes; its time of start tells boots apart."""
    newer = {'boot_id="0000beef",', "llm_ready_seconds 0.0\n"}
    text = exposition(completed=5).decode()
    for part in newer:
        assert part in text
        text = text.replace(part, "")
    lines = [line for line in text.splitlines() if "unavailable" not in line]
    reading = read_exposition("\n".join(lines).encode())
    assert reading.counters.completed == 5
    assert reading.ready_seconds is None
    assert len(reading.boot_id) == 8


@pytest.mark.parametrize(
    "metric",
    [
        Metric.REQUESTS_RECEIVED,
        Metric.REQUESTS_TERMINATED,
        Metric.PROGRESS_STEPS,
        Metric.GENERATION_TOKENS,
        Metric.TIME_TO_FIRST_TOKEN,
        Metric.INTER_TOKEN_LATENCY,
    ],
)
def test_a_server_that_lacks_a_metric_is_not_understood(metric: Metric) -> None:
    """Nothing is taken for 0 that was not said; the cause names the metric."""
    lines = [line for line in exposition().decode().splitlines() if not line.startswith(metric)]
    with pytest.raises(ExpositionInvalid, match=metric):
        read_exposition("\n".join(lines).encode())
