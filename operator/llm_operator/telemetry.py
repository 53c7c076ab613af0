"""Figures of the operator, and reading those of servers; the only importer of prometheus_client.

Labels come from closed sets, apart from the resource's own name in ``llm_operator_resource_phase``,
of which there is one series per resource.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from llm_operator.judgement.counters import Bounds, Buckets, Counters
from llm_operator.judgement.evidence import Reading, Shape
from llm_server.contract import COMMIT, Metric, Outcome

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
        self._scrapes = Counter(
            "llm_operator_scrapes",
            "Readings of a server's metrics or of a guard, by what was read and how it ended.",
            ["target", "result"],
            registry=registry,
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

    def scraped(self, target: str, result: str) -> None:
        """Count one reading: of a ``pod`` or a ``guard``, ``read`` or ``unread``."""
        self._scrapes.labels(target, result).inc()

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


class ExpositionInvalid(ValueError):
    """A text is not the exposition of a server that speaks our contract; says what is wrong."""


_COUNT_MAX: Final = 10**13
"""The highest counter that is believed; sums of many stay below what the API server takes."""

_LINES_MAX: Final = 1000
"""Lines of one exposition that are parsed; ours has about a hundred of interest."""

_START_TIME: Final = "process_start_time_seconds"
_TERMINATED: Final = f"{Metric.REQUESTS_TERMINATED}_total"
_NEEDED: Final = frozenset(
    {
        f"{Metric.REQUESTS_RECEIVED}_total",
        f"{Metric.PROGRESS_STEPS}_total",
        f"{Metric.GENERATION_TOKENS}_total",
        f"{Metric.TIME_TO_FIRST_TOKEN}_bucket",
        f"{Metric.INTER_TOKEN_LATENCY}_bucket",
        _TERMINATED,
    }
)
_WANTED: Final = _NEEDED | {
    Metric.REQUESTS_RUNNING.value,
    Metric.REQUESTS_WAITING.value,
    Metric.READY_SECONDS.value,
    Metric.BOOT.value,
    Metric.MODEL.value,
    _START_TIME,
}
_COMPLETED: Final = (Outcome.STOP, Outcome.LENGTH)
_SERVER_FAULTS: Final = (Outcome.FAILED, Outcome.UNAVAILABLE)
"""What the owner of a canary calls an error: 5xx and errors inside streams.

Wrong requests and clients that leave are the clients'; a full queue is the load's.
"""


def read_exposition(text: bytes) -> Reading:
    """Read a server's metrics.

    Raises:
        ExpositionInvalid: a metric of the contract is missing, or the text cannot be parsed.
    """
    try:
        return _reading(_samples(text.decode()))
    except ExpositionInvalid:
        raise
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise ExpositionInvalid("it is not in the text format of Prometheus") from error


def _samples(text: str) -> dict[str, list[Sample]]:
    lines = list(_wanted_lines(text))
    if len(lines) > _LINES_MAX:
        raise ExpositionInvalid(f"it has more than {_LINES_MAX} series")
    samples: dict[str, list[Sample]] = defaultdict(list)
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            samples[sample.name].append(sample)
    return samples


def _wanted_lines(text: str) -> Iterator[str]:
    """Leave out what is not read before it is parsed, which takes long."""
    for line in text.split("\n"):
        name = line.split("{", maxsplit=1)[0].split(" ", maxsplit=1)[0]
        if name in _WANTED:
            yield line


def _reading(samples: dict[str, list[Sample]]) -> Reading:
    missing = sorted(_NEEDED - samples.keys())
    if missing:
        raise ExpositionInvalid(f"{missing[0]} is missing")
    first_bounds, first_token = _histogram(samples[f"{Metric.TIME_TO_FIRST_TOKEN}_bucket"])
    inter_bounds, inter_token = _histogram(samples[f"{Metric.INTER_TOKEN_LATENCY}_bucket"])
    ends = samples[_TERMINATED]
    ready = samples.get(Metric.READY_SECONDS.value)
    return Reading(
        boot_id=_boot_id(samples),
        ready_seconds=_finite(ready[0].value) if ready else None,
        counters=Counters(
            received=_sum(samples[f"{Metric.REQUESTS_RECEIVED}_total"]),
            refused=_ended(ends, (Outcome.REFUSED,)),
            completed=_ended(ends, _COMPLETED),
            failed=_ended(ends, _SERVER_FAULTS),
            first_token=first_token,
            inter_token=inter_token,
        ),
        shape=Shape(first_bounds, inter_bounds),
        engine_steps=_sum(samples[f"{Metric.PROGRESS_STEPS}_total"]),
        generation_tokens=_sum(samples[f"{Metric.GENERATION_TOKENS}_total"]),
        running=_sum(samples.get(Metric.REQUESTS_RUNNING.value, ())),
        waiting=_sum(samples.get(Metric.REQUESTS_WAITING.value, ())),
        commit=_commit(samples),
    )


def _commit(samples: dict[str, list[Sample]]) -> str:
    """Return the commit that was loaded; empty where the server says none or anything else."""
    said = (sample.labels.get("commit", "") for sample in samples.get(Metric.MODEL.value, ()))
    return next(filter(COMMIT.fullmatch, said), "")


def _boot_id(samples: dict[str, list[Sample]]) -> str:
    """Return what is the process's own; of a server that has no boot id, its time of start."""
    for sample in samples.get(Metric.BOOT.value, ()):
        boot_id = sample.labels.get("boot_id", "")
        if boot_id:
            if not (len(boot_id) <= 8 and boot_id.isalnum()):
                raise ExpositionInvalid("its boot_id is not of at most 8 letters and digits")
            return boot_id
    started = samples.get(_START_TIME)
    if not started:
        raise ExpositionInvalid(f"{Metric.BOOT} has no boot_id")
    return f"{int(_finite(started[0].value) * 100) & 0xFFFFFFFF:08x}"


def _histogram(samples: Iterable[Sample]) -> tuple[Bounds, Buckets]:
    """Return finite bounds and counts per bucket; the series are cumulative."""
    cumulative: dict[float, int] = defaultdict(int)
    for sample in samples:
        cumulative[float(sample.labels["le"])] += _count(sample.value)
    bounds = sorted(cumulative)
    if any(map(math.isnan, bounds)) or bounds[-1] != math.inf or len(bounds) > 64:
        raise ExpositionInvalid("a histogram has no bucket +Inf, or more than 64 buckets")
    reached = [0, *(cumulative[bound] for bound in bounds)]
    buckets = tuple(b - a for a, b in itertools.pairwise(reached))
    if any(count < 0 for count in buckets):
        raise ExpositionInvalid("a histogram's buckets are not cumulative")
    return tuple(bounds[:-1]), buckets


def _ended(ends: Iterable[Sample], outcomes: Iterable[Outcome]) -> int:
    wanted = {outcome.value for outcome in outcomes}
    return _sum(sample for sample in ends if sample.labels.get("outcome") in wanted)


def _sum(samples: Iterable[Sample]) -> int:
    return sum(_count(sample.value) for sample in samples)


def _count(value: float) -> int:
    number = int(_finite(value))
    if not 0 <= number <= _COUNT_MAX:
        raise ExpositionInvalid("a counter is out of bounds")
    return number


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ExpositionInvalid("a value is not a number")
    return value
