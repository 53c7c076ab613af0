"""Figures of the operator; the only importer of prometheus_client.

Labels come from closed sets, apart from the resource's own name in ``llm_operator_resource_phase``,
of which there is one series per resource.
"""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Telemetry:
    """All series of one operator process, in the registry that it is given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        ProcessCollector(registry=registry)
        self._reconciles = Counter(
            "llm_operator_reconciles", "Passes by how they ended.", ["result"], registry=registry
        )
        self._reconcile_seconds = Histogram(
            "llm_operator_reconcile_seconds",
            "Duration of a pass.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._requests = Counter(
            "llm_operator_api_requests",
            "Requests to the API server, by verb, kind and status code (0: no answer).",
            ["verb", "kind", "code"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "llm_operator_api_request_seconds",
            "Duration of a request to the API server.",
            ["verb"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._phases = Gauge(
            "llm_operator_resource_phase",
            "1 for the phase that a resource is in.",
            ["namespace", "name", "phase"],
            registry=registry,
        )
        self._leader = Gauge(
            "llm_operator_leader", "1 while this process leads.", registry=registry
        )
        self._queue_depth = Gauge(
            "llm_operator_queue_depth", "Keys that wait for a worker.", registry=registry
        )
        self._loop_lag = Gauge(
            "llm_operator_loop_lag_seconds", "Lag of the event loop, last seen.", registry=registry
        )
        self._missed = Counter(
            "llm_operator_watch_missed",
            "Changes that the watch did not bring and a list found, by kind.",
            ["kind"],
            registry=registry,
        )
        self._watch_restarts = Counter(
            "llm_operator_watch_restarts", "Restarts of the watching part.", registry=registry
        )
        self._known: dict[tuple[str, str], str] = {}

    def reconciled(self, result: str, seconds: float) -> None:
        """Count one pass."""
        self._reconciles.labels(result).inc()
        self._reconcile_seconds.observe(seconds)

    def requested(self, verb: str, kind: str, code: int, seconds: float) -> None:
        """Count one request to the API server."""
        self._requests.labels(verb, kind, str(code)).inc()
        self._request_seconds.labels(verb).observe(seconds)

    def phase(self, namespace: str, name: str, phase: str) -> None:
        """Show the phase of a resource, and no other."""
        if self._known.get((namespace, name)) == phase:
            return
        self.forget(namespace, name)
        self._known[namespace, name] = phase
        self._phases.labels(namespace, name, phase).set(1)

    def forget(self, namespace: str, name: str) -> None:
        """Drop the series of a resource that is gone."""
        phase = self._known.pop((namespace, name), None)
        if phase is not None:
            self._phases.remove(namespace, name, phase)

    def missed(self, kind: str, count: int) -> None:
        """Count what only a list brought to light."""
        self._missed.labels(kind).inc(count)

    def watch_restarted(self) -> None:
        """Count a restart of the watching part."""
        self._watch_restarts.inc()

    def observe(
        self, *, leads: Callable[[], bool], depth: Callable[[], int], lag: Callable[[], float]
    ) -> None:
        """Read these at every scrape."""
        self._leader.set_function(lambda: float(leads()))
        self._queue_depth.set_function(lambda: float(depth()))
        self._loop_lag.set_function(lag)

    def exposition(self) -> bytes:
        """Return all series in the text format."""
        return generate_latest(self._registry)
