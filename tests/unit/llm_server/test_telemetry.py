import re

import pytest
from prometheus_client import CollectorRegistry

from llm_server.contract import Metric, Outcome
from llm_server.engine.stats import EngineGauges, StepStats
from llm_server.telemetry import ServerIdentity, Telemetry
from tests.server_builders import Clock


@pytest.fixture
def telemetry() -> Telemetry:
    """Return the metrics of a server whose engine runs 2, queues 3 and is half full."""
    identity = ServerIdentity("1", "m", "builtin://simulated", "abc", simulated=True)
    telemetry = Telemetry(CollectorRegistry(), identity)
    telemetry.watch(lambda: EngineGauges(2, 3, 0.5), kv_capacity_tokens=1000)
    return telemetry


def exposed(telemetry: Telemetry) -> str:
    """Return the exposition as text."""
    return telemetry.exposition()[0].decode()


@pytest.mark.parametrize("metric", Metric)
def test_every_metric_of_the_contract_is_exposed(telemetry: Telemetry, metric: Metric) -> None:
    """What the operator and dashboards read by name is there from the first scrape."""
    pattern = rf"^{re.escape(metric)}(_total|_count)?({{|\s)"
    assert re.search(pattern, exposed(telemetry), re.MULTILINE)


def test_the_gauges_are_read_at_the_scrape(telemetry: Telemetry) -> None:
    """Running, waiting and cache usage are the engine's of that moment."""
    text = exposed(telemetry)

    assert 'vllm:num_requests_running{model_name="m"} 2.0' in text
    assert 'vllm:num_requests_waiting{model_name="m"} 3.0' in text
    assert 'vllm:kv_cache_usage_perc{model_name="m"} 0.5' in text


def test_what_came_in_is_what_ended(telemetry: Telemetry) -> None:
    """Received is the sum over the outcomes; only finished answers count as success."""
    for outcome in Outcome:
        telemetry.received()
        telemetry.terminated(outcome, 0.2)
    text = exposed(telemetry)

    assert 'llm_requests_received_total{model_name="m"} 7.0' in text
    for outcome in Outcome:
        assert f'llm_requests_terminated_total{{model_name="m",outcome="{outcome}"}} 1.0' in text
    assert 'vllm:e2e_request_latency_seconds_count{model_name="m"} 2.0' in text
    assert 'vllm:request_success_total{finished_reason="stop",model_name="m"} 1.0' in text


def test_each_process_has_a_boot_of_its_own() -> None:
    """Two starts of the same server differ in the boot id, by which counters are told apart."""
    boots = set()
    for _ in range(2):
        identity = ServerIdentity("1", "m", "builtin://simulated", "abc", simulated=True)
        text = exposed(Telemetry(CollectorRegistry(), identity))
        boots |= set(re.findall(r'llm_server_info{boot_id="([0-9a-f]{8})"', text))

    assert len(boots) == 2


def test_the_time_in_service_begins_when_the_server_is_ready() -> None:
    """It is 0 while the model loads and counts from the moment of being ready."""
    identity = ServerIdentity("1", "m", "builtin://simulated", "abc", simulated=True)
    clock = Clock()
    telemetry = Telemetry(CollectorRegistry(), identity, clock)
    clock.now = 30.0
    assert "\nllm_ready_seconds 0.0\n" in exposed(telemetry)

    telemetry.ready(startup_seconds=30.0)
    clock.now = 34.5

    assert "\nllm_ready_seconds 4.5\n" in exposed(telemetry)


def test_fast_tokens_do_not_fall_into_one_bucket(telemetry: Telemetry) -> None:
    """Tokens of 0.2 ms and of 3 ms are told apart."""
    telemetry.observe(StepStats(0, 2, 0, (), (), (0.0002, 0.003), 0.01))
    text = exposed(telemetry)

    assert 'inter_token_latency_seconds_bucket{le="0.00025",model_name="m"} 1.0' in text
    assert 'inter_token_latency_seconds_bucket{le="0.0025",model_name="m"} 1.0' in text
    assert 'inter_token_latency_seconds_bucket{le="0.005",model_name="m"} 2.0' in text
