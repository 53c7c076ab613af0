"""What the kubelet's probes say about a container that runs, or was restarted for them."""

import re
from datetime import datetime, timedelta
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.diagnosis.evidence import Happening
from llm_operator.diagnosis.finding import Finding, found
from llm_operator.diagnosis.pod import Container, Ended

ANSWER_PATIENCE: Final = timedelta(seconds=15)
"""How long a process may take until its probe port answers at all; it answers while it loads."""

_LOADING: Final = "HTTP 503"
_CLOCK_SLACK: Final = timedelta(seconds=2)
_STATUS: Final = re.compile(r"statuscode: (?P<code>\d{3})")
_OUTCOMES: Final = (
    ("connection refused", "nothing listens on its port"),
    ("deadline exceeded", "no answer in time"),
    ("timeout", "no answer in time"),
    ("connection reset", "the connection is cut"),
    ("eof", "the connection is cut"),
)


def explain_running(
    container: Container, events: tuple[Happening, ...], now: datetime
) -> Finding | None:
    """Say why a container that runs is not ready, by its probes; None where they say nothing."""
    probe = "Readiness" if container.has_started else "Startup"
    outcome = _outcome(probe, container, events)
    if not outcome:
        return None
    if container.has_started:
        return found(Reason.READINESS_PROBE_FAILED, f"The readiness probe fails: {outcome}")
    since = container.running_since
    if outcome == _LOADING or since is None or now - since < ANSWER_PATIENCE:
        return None
    return found(Reason.STARTUP_PROBE_FAILED, f"The start-up probe fails: {outcome}")


def killed_by_probe(container: Container, ended: Ended, events: tuple[Happening, ...]) -> bool:
    """Whether the kubelet ended this run because of a probe."""
    return any(
        event.reason == "Killing"
        and ("failed liveness probe" in event.note or "failed startup probe" in event.note)
        and event.container in ("", container.name)
        and _within(event, ended.started_at)
        for event in events
    )


def _outcome(probe: str, container: Container, events: tuple[Happening, ...]) -> str:
    """Return what the last failed probe of a kind got, in words that stay the same."""
    notes = [
        event.note
        for event in events
        if event.reason == "Unhealthy"
        and event.note.startswith(f"{probe} probe ")
        and event.container in ("", container.name)
        and _within(event, container.running_since)
    ]
    return _words(notes[-1]) if notes else ""


def _words(note: str) -> str:
    status = _STATUS.search(note)
    if status:
        return f"HTTP {status['code']}"
    lowered = note.lower()
    known = (words for part, words in _OUTCOMES if part in lowered)
    return next(known, "an error")


def _within(event: Happening, started_at: datetime | None) -> bool:
    """Whether an event belongs to a run that began then."""
    return event.at is None or started_at is None or event.at >= started_at - _CLOCK_SLACK
