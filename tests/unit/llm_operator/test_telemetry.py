"""The operator's figures, as a scrape reads them."""

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from llm_operator.telemetry import Telemetry


def scrape(telemetry: Telemetry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(telemetry.exposition().decode())
        for sample in family.samples
    }


def value(telemetry: Telemetry, series: str, /, **labels: str) -> float | None:
    """One sample; None when there is no such series."""
    return scrape(telemetry).get((series, frozenset(labels.items())))


def test_passes_and_requests_are_counted_by_their_labels() -> None:
    """Each pass counts by its result, each request by verb, kind and code, both with a duration."""
    telemetry = Telemetry(CollectorRegistry())
    telemetry.reconciled("Success", 0.02)
    telemetry.reconciled("Conflict", 0.02)
    telemetry.requested("apply", "Service", 200, 0.01)
    assert value(telemetry, "llm_operator_reconciles_total", result="Success") == 1
    assert value(telemetry, "llm_operator_reconcile_seconds_count") == 2
    labels = {"verb": "apply", "kind": "Service", "code": "200"}
    assert value(telemetry, "llm_operator_api_requests_total", **labels) == 1
    assert value(telemetry, "llm_operator_api_request_seconds_count", verb="apply") == 1


def test_a_resource_has_one_phase_at_a_time() -> None:
    """The series of the phase that was left is gone, and all are when the resource is."""
    telemetry = Telemetry(CollectorRegistry())
    series = "llm_operator_resource_phase"
    of_chat = {"namespace": "team", "name": "chat"}
    telemetry.phase("team", "chat", "Pending")
    telemetry.phase("team", "chat", "Ready")
    assert value(telemetry, series, **of_chat, phase="Pending") is None
    assert value(telemetry, series, **of_chat, phase="Ready") == 1
    telemetry.forget("team", "chat")
    telemetry.forget("team", "chat")
    assert value(telemetry, series, **of_chat, phase="Ready") is None


def test_gauges_are_read_at_each_scrape() -> None:
    """Leadership, depth and lag are what they are at the moment of the scrape."""
    telemetry = Telemetry(CollectorRegistry())
    depths = iter([3, 5])
    telemetry.observe(leads=lambda: True, depth=lambda: next(depths), lag=lambda: 0.5)
    assert value(telemetry, "llm_operator_queue_depth") == 3
    assert value(telemetry, "llm_operator_queue_depth") == 5
    telemetry.observe(leads=lambda: False, depth=lambda: 0, lag=lambda: 0.5)
    assert value(telemetry, "llm_operator_leader") == 0
    assert value(telemetry, "llm_operator_loop_lag_seconds") == 0.5


def test_what_watches_missed_is_counted() -> None:
    """Ghosts and restarts of the watches are figures to alert on."""
    telemetry = Telemetry(CollectorRegistry())
    telemetry.missed("Pod", 2)
    telemetry.watch_restarted()
    assert value(telemetry, "llm_operator_watch_missed_total", kind="Pod") == 2
    assert value(telemetry, "llm_operator_watch_restarts_total") == 1


def test_the_memory_of_the_process_is_a_figure() -> None:
    """What the operator costs can be read where it runs."""
    telemetry = Telemetry(CollectorRegistry())
    resident = value(telemetry, "process_resident_memory_bytes")
    assert resident is not None
    assert resident > 1_000_000
