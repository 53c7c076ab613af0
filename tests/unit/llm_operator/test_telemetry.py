"""The operator's figures, as a scrape reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from llm_operator.telemetry import ExpositionInvalid, Telemetry, read_exposition
from tests.exposition_builders import exposition


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


def test_readings_are_counted_by_what_was_read_and_how_it_ended() -> None:
    """Scrapes that fail can be alerted on."""
    telemetry = Telemetry(CollectorRegistry())
    telemetry.scraped("pod", "unread")
    assert value(telemetry, "llm_operator_scrapes_total", target="pod", result="unread") == 1


EXPOSITION = exposition(completed=3, failed=1)


@given(st.integers(0, len(EXPOSITION)), st.binary(max_size=20), st.integers(0, 40))
def test_a_damaged_exposition_is_read_or_refused(at: int, junk: bytes, cut: int) -> None:
    """Whatever a server sends, there is a reading without negative counts, or the one error."""
    text = EXPOSITION[:at] + junk + EXPOSITION[at + cut :]
    try:
        counters = read_exposition(text).counters
    except ExpositionInvalid:
        return
    figures = (counters.received, counters.refused, counters.completed, counters.failed)
    assert min(*figures, *counters.first_token, *counters.inter_token) >= 0


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ('outcome="stop"} 3.0', 'outcome="stop"} NaN', "not a number"),
        ('outcome="stop"} 3.0', 'outcome="stop"} -3.0', "out of bounds"),
        ('outcome="stop"} 3.0', 'outcome="stop"} 1e300', "out of bounds"),
        ('le="160.0",model_name="m"} 3.0', 'le="160.0",model_name="m"} 2.0', "cumulative"),
        ('le="+Inf"', 'le="NaN"', "no bucket"),
        ('boot_id="0000beef"', 'boot_id="../../../etc"', "boot_id"),
    ],
)
def test_a_figure_that_cannot_be_is_refused(old: str, new: str, cause: str) -> None:
    """No figure, a negative one, one beyond all bounds: the cause says which it was."""
    text = EXPOSITION.decode()
    assert old in text
    with pytest.raises(ExpositionInvalid, match=cause):
        read_exposition(text.replace(old, new).encode())


def test_an_exposition_of_many_series_is_refused_unparsed() -> None:
    """Parsing takes long; a server with a thousand models' series is none of ours."""
    flood = b"".join(
        b'llm_requests_terminated_total{outcome="%d"} 1\n' % number for number in range(2000)
    )
    with pytest.raises(ExpositionInvalid, match="more than 1000 series"):
        read_exposition(EXPOSITION + flood)
