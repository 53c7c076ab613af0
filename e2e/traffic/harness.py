"""Starts the client pod, ends it and reads what it recorded; used by the tests.

``with flowing(namespace, "chat", plan) as traffic: ...`` sends through the Service for as long as
the block runs; afterwards ``traffic.report()`` is the record of every request.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from e2e.manifests import client_pod
from e2e.story import Namespace
from llm_operator import kinds

STOP = "import os, signal; os.kill(1, signal.SIGTERM)"
FINISH_SECONDS = 150.0
"""Within so long the requests that run when traffic is stopped come to their end."""


@dataclass(frozen=True, slots=True)
class Load:
    """How many workers of each kind, and how many tokens a long stream has."""

    whole_workers: int = 2
    stream_workers: int = 2
    long_workers: int = 2
    long_tokens: int = 1000
    limit_seconds: int = 600
    fresh_connections: bool = False
    """A Service chooses a pod per connection: with these, traffic meets new pods at once."""

    def arguments(self) -> list[str]:
        """Render the flags of ``e2e.traffic.client``."""
        return [
            f"--whole-workers={self.whole_workers}",
            f"--stream-workers={self.stream_workers}",
            f"--long-workers={self.long_workers}",
            f"--long-tokens={self.long_tokens}",
            f"--limit-seconds={self.limit_seconds}",
            *(["--fresh-connections"] if self.fresh_connections else []),
        ]


@dataclass(frozen=True, slots=True)
class Report:
    """What the client recorded: counts by kind and state, and the ends worth a line.

    ``revisions`` has the same counts by the revision that answered, "" where none did.
    """

    counts: dict[str, int]
    lines: tuple[dict[str, object], ...]
    revisions: dict[str, int] = field(default_factory=dict)

    def count(self, state: str) -> int:
        """Return how many requests of all kinds ended in a state."""
        return sum(n for key, n in self.counts.items() if key.endswith(f"/{state}"))

    def answered_by(self, revision: str) -> int:
        """Return how many requests a revision answered whole."""
        return self.revisions.get(f"{revision}/ok", 0)

    def disturbed(self) -> list[dict[str, object]]:
        """Return the ends that were not ``ok``."""
        return [line for line in self.lines if line.get("state") not in (None, "ok")]

    def long_streams(self, at_least_seconds: float) -> list[dict[str, object]]:
        """Return the whole long streams that ran for at least so long."""
        return [
            line
            for line in self.lines
            if line.get("kind") == "long"
            and line.get("state") == "ok"
            and float(str(line["seconds"])) >= at_least_seconds
        ]

    def under_way_at(self, moment: float, at_least_seconds: float) -> list[dict[str, object]]:
        """Return those of ``long_streams`` that ran at a moment, in seconds since the epoch."""
        return [
            line
            for line in self.long_streams(at_least_seconds)
            if 0 < moment - float(str(line["started"])) < float(str(line["seconds"]))
        ]

    def typed_errors_of(self, revision: str) -> list[dict[str, object]]:
        """Return the ends that are a typed, retryable error which a revision sent."""
        return [line for line in self.disturbed() if _is_typed_error_of(line, revision)]

    def assert_undisturbed(self, *, at_least: int) -> None:
        """Fail unless enough requests ran and each of them ended whole."""
        told = f"{self.count('failed')} failed, {self.count('truncated')} truncated: "
        assert not self.disturbed(), told + json.dumps(self.disturbed()[:10], indent=1)
        assert self.count("ok") >= at_least, f"only {self.counts} requests: that proves nothing"

    def assert_only_the_canary_erred(
        self, canary: str, *, stable: str, unanswered_at_most: int
    ) -> None:
        """Fail unless each end that is not whole is the canary's own typed, retryable error.

        ``unanswered_at_most`` requests may have met nobody: a canary that breaks down refuses
        connections until the endpoints know. No stream is among them.
        """
        untyped = [line for line in self.disturbed() if not _is_typed_error_of(line, canary)]
        unanswered = [n for n in untyped if n["state"] == "failed" and n["revision"] is None]
        told = json.dumps(untyped[:10], indent=1)
        assert len(untyped) == len(unanswered), told
        assert len(unanswered) <= unanswered_at_most, f"{len(unanswered)} met nobody: {told}"
        assert self.answered_by(stable), f"{self.revisions}: stable answered nothing"


def _is_typed_error_of(line: dict[str, object], revision: str) -> bool:
    is_typed = line["code"] is not None and line["retryable"] is True
    return is_typed and line["revision"] == revision


@dataclass(frozen=True, slots=True)
class Traffic:
    """A client pod that sends."""

    namespace: Namespace
    pod: str

    def lines(self) -> tuple[dict[str, object], ...]:
        """Return the records so far."""
        path = f"{kinds.POD.path(self.namespace.name, self.pod)}/log"
        text = self.namespace.cluster.api.get(path).text
        return tuple(json.loads(line) for line in text.splitlines() if line.startswith("{"))

    def phase(self) -> str:
        """Return the pod's phase."""
        found = self.namespace.get(kinds.POD, self.pod)
        return str(found["status"]["phase"]) if found else "Missing"

    def until_answered(self, *, within_seconds: float) -> float:
        """Wait for the first whole answer and return its time in seconds since the epoch."""
        return self.namespace.until(
            "traffic gets its first answer",
            lambda: next(
                (float(str(n["first_ok"])) for n in self.lines() if "first_ok" in n), None
            ),
            within_seconds=within_seconds,
        )

    def stop(self) -> None:
        """Send no new requests; those under way go on."""
        self.namespace.kubectl("exec", self.pod, "--", "python3", "-c", STOP)

    def report(self) -> Report:
        """Wait until the last request has ended and return the record."""
        ended = lambda: self.phase() in ("Succeeded", "Failed")  # noqa: E731
        self.namespace.until("the traffic has ended", ended, within_seconds=FINISH_SECONDS)
        lines = self.lines()
        last = next((line for line in lines if "summary" in line), {})
        counts, revisions = last.get("summary"), last.get("revisions")
        told = f"the client ended without a summary: {lines[-5:]}"
        assert isinstance(counts, dict), told
        assert isinstance(revisions, dict), told
        return Report(counts, lines, revisions)


def start(namespace: Namespace, name: str, load: Load, *, client: str = "traffic") -> Traffic:
    """Start a client pod that sends to an LLMDeployment's Service."""
    pod = f"{client}-{name}"
    command = [
        "python3",
        "client.py",
        f"--base-url=http://{name}/v1",
        f"--model={name}",
        *load.arguments(),
    ]
    namespace.apply(client_pod(pod, namespace.cluster.images.client, command))
    return Traffic(namespace, pod)


@contextmanager
def flowing(
    namespace: Namespace, name: str, load: Load | None = None, *, client: str = "traffic"
) -> Iterator[Traffic]:
    """Send for as long as the block runs, from its first answer on; stop at its end."""
    traffic = start(namespace, name, load or Load(), client=client)
    traffic.until_answered(within_seconds=60)
    yield traffic
    traffic.stop()
