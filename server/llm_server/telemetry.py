"""The server's metrics; the only importer of ``prometheus_client``.

Names come from ``contract.Metric``. Figures arrive as dataclasses of the engine or as outcomes of
requests. The ledger holds at any moment:
``llm_requests_received_total`` = the sum of ``llm_requests_terminated_total`` over its outcomes
+ the requests in flight.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from llm_server.contract import Metric, Outcome
from llm_server.engine.stats import EngineGauges, StepStats

# A small model decodes in 1..4 ms: buckets that start at 10 ms would hold every token in the first.
_TOKEN_BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
FIRST_TOKEN_BUCKETS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0,
)  # fmt: skip
_REQUEST_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0,
    40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """What the info metric says about this process."""

    version: str
    model_name: str
    source: str
    revision: str
    simulated: bool
    boot_id: str = field(default_factory=lambda: secrets.token_hex(4))
    """Random for each process: a reader of counters tells by it that they began at 0 again."""


class Telemetry:
    """Every metric of one server, on the registry that it is given."""

    def __init__(
        self,
        registry: CollectorRegistry,
        identity: ServerIdentity,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._labels = {"model_name": identity.model_name}
        ProcessCollector(registry=registry)
        self._define_ledger()
        self._define_latencies()
        self._steps = self._counter(Metric.PROGRESS_STEPS, "Engine steps computed.")
        self._prompt = self._counter(Metric.PROMPT_TOKENS, "Prompt tokens read.")
        self._generated = self._counter(Metric.GENERATION_TOKENS, "Tokens sampled.")
        self._preemptions = self._counter(
            Metric.PREEMPTIONS, "Sequences that gave their KV cache back and started over."
        )
        self._startup = Gauge(
            Metric.STARTUP_SECONDS,
            "Seconds from process start to ready; 0 while loading.",
            registry=registry,
        )
        self._ready = Gauge(
            Metric.READY_SECONDS,
            "Seconds since the server was ready; 0 while loading.",
            registry=registry,
        )
        self._model = Info(
            Metric.MODEL.removesuffix("_info"), "What was loaded.", registry=registry
        )
        self.loaded("")
        Info(
            Metric.BOOT.removesuffix("_info"), "What this process serves.", registry=registry
        ).info(
            {
                "version": identity.version,
                "model_name": identity.model_name,
                "source": identity.source,
                "revision": identity.revision,
                "simulated": str(identity.simulated).lower(),
                "boot_id": identity.boot_id,
            }
        )

    def watch(self, gauges: Callable[[], EngineGauges], kv_capacity_tokens: int) -> None:
        """Read the engine's gauges at each scrape, from now on."""
        readings: tuple[tuple[Metric, str, Callable[[], float]], ...] = (
            (Metric.REQUESTS_RUNNING, "Requests in the batch.", lambda: gauges().num_running),
            (Metric.REQUESTS_WAITING, "Requests in the queue.", lambda: gauges().num_waiting),
            (Metric.KV_CACHE_USAGE, "KV cache in use; 1 is full.", lambda: gauges().kv_usage),
        )
        for name, help_text, read in readings:
            gauge = Gauge(name, help_text, list(self._labels), registry=self._registry)
            gauge.labels(**self._labels).set_function(read)
        Info(
            Metric.CACHE_CONFIG.removesuffix("_info"),
            "Size of the KV cache, counted in blocks.",
            registry=self._registry,
        ).info({"block_size": "1", "num_gpu_blocks": str(kv_capacity_tokens)})

    def loaded(self, commit: str) -> None:
        """Say which commit of a hub's model was loaded; empty for none."""
        self._model.info({"commit": commit})

    def ready(self, startup_seconds: float) -> None:
        """Record how long the start took, and count the time from here."""
        self._startup.set(startup_seconds)
        ready_at = self._clock()
        self._ready.set_function(lambda: self._clock() - ready_at)

    def received(self) -> None:
        """Count a request for a generation; exactly one ``terminated`` follows."""
        self._received.inc()

    def terminated(self, outcome: Outcome, seconds: float) -> None:
        """Count the end of a request."""
        self._terminated.labels(**self._labels, outcome=outcome.value).inc()
        if outcome in (Outcome.STOP, Outcome.LENGTH):
            self._success.labels(**self._labels, finished_reason=outcome.value).inc()
            self._request_seconds.observe(seconds)

    def observe(self, stats: StepStats) -> None:
        """Record a step; called on the engine thread."""
        self._steps.inc()
        self._prompt.inc(stats.prompt_tokens)
        self._generated.inc(stats.generation_tokens)
        self._preemptions.inc(stats.preemptions)
        for histogram, values in (
            (self._queue_seconds, stats.queue_seconds),
            (self._first_token, stats.first_token_seconds),
            (self._inter_token, stats.inter_token_seconds),
        ):
            for value in values:
                histogram.observe(value)

    def exposition(self) -> tuple[bytes, str]:
        """Return the metrics as text and their content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def _define_ledger(self) -> None:
        self._received = self._counter(
            Metric.REQUESTS_RECEIVED, "Requests for a generation that reached the server."
        )
        self._terminated = Counter(
            Metric.REQUESTS_TERMINATED,
            "Requests for a generation that ended, by outcome.",
            [*self._labels, "outcome"],
            registry=self._registry,
        )
        self._success = Counter(
            Metric.REQUEST_SUCCESS,
            "Answers that were completed, by reason.",
            [*self._labels, "finished_reason"],
            registry=self._registry,
        )
        for outcome in Outcome:
            self._terminated.labels(**self._labels, outcome=outcome.value)
        for reason in (Outcome.STOP, Outcome.LENGTH):
            self._success.labels(**self._labels, finished_reason=reason.value)

    def _define_latencies(self) -> None:
        self._queue_seconds = self._histogram(
            Metric.QUEUE_TIME, "Seconds from arrival to the first step.", _REQUEST_BUCKETS
        )
        self._first_token = self._histogram(
            Metric.TIME_TO_FIRST_TOKEN,
            "Seconds from arrival to the first token.",
            FIRST_TOKEN_BUCKETS,
        )
        self._inter_token = self._histogram(
            Metric.INTER_TOKEN_LATENCY, "Seconds between two tokens.", _TOKEN_BUCKETS
        )
        self._request_seconds = self._histogram(
            Metric.E2E_LATENCY,
            "Seconds from arrival to the end of a completed answer.",
            _REQUEST_BUCKETS,
        )

    def _counter(self, name: Metric, help_text: str) -> Counter:
        counter = Counter(name, help_text, list(self._labels), registry=self._registry)
        return counter.labels(**self._labels)

    def _histogram(self, name: Metric, help_text: str, buckets: tuple[float, ...]) -> Histogram:
        histogram = Histogram(
            name, help_text, list(self._labels), buckets=buckets, registry=self._registry
        )
        return histogram.labels(**self._labels)
