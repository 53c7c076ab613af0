"""Requests to the pods of a cluster model, and the counters that a reading of them brings."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from llm_operator import kinds
from llm_operator.scrape import Unreadable
from llm_server.contract import Metric, Outcome
from tests.models.pods import NAMESPACE, Cluster, source_of

SECONDS_BOUNDS = ("0.1", "0.5", "2.5", "+Inf")


@dataclass(slots=True)
class Served:
    """What one process has done."""

    since: datetime
    completed: int = 0
    failed: int = 0
    slow: int = 0


@dataclass(slots=True)
class Load:
    """Clients that send as many requests to each pod that a Service shows, at each turn."""

    cluster: Cluster
    requests_per_turn: int = 20
    failing_sources: set[str] = field(default_factory=set)
    """Models that answer every request with an error."""
    slow_sources: set[str] = field(default_factory=set)
    """Models that take five times as long to the first token."""
    mute_sources: set[str] = field(default_factory=set)
    """Models whose metrics cannot be read."""
    commits: dict[str, str] = field(default_factory=dict)
    """The commit that a model's servers say they loaded."""
    served: dict[str, Served] = field(default_factory=dict)
    readings: int = 0

    def run(self, now: datetime) -> None:
        """Send the requests of one turn."""
        for service in {obj["metadata"]["name"] for obj in self.cluster.all(kinds.SERVICE)}:
            for name in self.cluster.served_by(service):
                self._send(name, now)

    def _send(self, name: str, now: datetime) -> None:
        pod = self.cluster.api.find(kinds.POD, NAMESPACE, name)
        if pod is None:
            return
        source = source_of(pod)
        record = self.served.setdefault(name, Served(now))
        if source in self.failing_sources:
            record.failed += self.requests_per_turn
        else:
            record.completed += self.requests_per_turn
        if source in self.slow_sources:
            record.slow += self.requests_per_turn

    async def fetch(self, url: str, query: Mapping[str, str]) -> bytes:
        """Answer a reading of metrics, as pods do. Raises ``Unreadable``."""
        del query
        self.readings += 1
        address = urlsplit(url).hostname
        for pod in self.cluster.all(kinds.POD):
            if pod["status"]["podIP"] == address and source_of(pod) not in self.mute_sources:
                name = pod["metadata"]["name"]
                since = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
                lines = exposition(name, self.served.get(name, Served(since)))
                commit = self.commits.get(source_of(pod), "")
                said = f'{Metric.MODEL}{{commit="{commit}"}} 1'
                return "\n".join([said, *lines, ""]).encode()
        raise Unreadable("no connection")


def exposition(pod: str, served: Served) -> Iterator[str]:
    """Yield the lines of a server's metrics."""
    total = served.completed + served.failed
    boot = f"{zlib.crc32(pod.encode()):08x}"
    yield f'{Metric.BOOT}{{boot_id="{boot}"}} 1'
    yield f"{Metric.REQUESTS_RECEIVED}_total {total}"
    for outcome, count in ((Outcome.STOP, served.completed), (Outcome.FAILED, served.failed)):
        yield f'{Metric.REQUESTS_TERMINATED}_total{{outcome="{outcome}"}} {count}'
    yield f"{Metric.PROGRESS_STEPS}_total {10 * total}"
    yield f"{Metric.GENERATION_TOKENS}_total {10 * total}"
    yield f"{Metric.REQUESTS_RUNNING} 0"
    yield f"{Metric.REQUESTS_WAITING} 0"
    fast = served.completed - served.slow
    for metric in (Metric.TIME_TO_FIRST_TOKEN, Metric.INTER_TOKEN_LATENCY):
        quick = fast if metric is Metric.TIME_TO_FIRST_TOKEN else served.completed
        counts = (0, quick, served.completed, served.completed)
        for bound, count in zip(SECONDS_BOUNDS, counts, strict=True):
            yield f'{metric}_bucket{{le="{bound}"}} {count}'
