"""Why pods ended for good: evicted by the kubelet, or refused by it."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.diagnosis.finding import Finding, found
from llm_operator.diagnosis.pod import Pod

RECENT: Final = timedelta(minutes=10)
"""An older end is history: finished pods stay in the list for days."""

_EVICTED: Final = "Evicted"
_FULL: Final = re.compile(r"Usage of EmptyDir volume \"(?P<volume>[^\"]*)\" exceeds the limit")
_AMOUNTS: Final = re.compile(r",? ?(?:requested|used|capacity): \d+|, ?which is unexpected")
_REJECTED: Final = "Pod was rejected: "


def explain_ended(pods: Iterable[Pod], now: datetime) -> Finding | None:
    """Return why the last of these pods ended; None if that was long ago or is not known."""
    dated = [(at, pod) for pod in pods if (at := _ended_at(pod)) is not None]
    if not dated:
        return None
    at, pod = max(dated, key=lambda entry: (entry[0], entry[1].name))
    if now - at > RECENT or pod.phase != "Failed" or not pod.reason:
        return None
    if pod.reason == _EVICTED:
        return _explain_eviction(pod.message)
    if pod.message.startswith(_REJECTED) or pod.reason.startswith(("OutOf", "UnexpectedAdmission")):
        told = _AMOUNTS.sub("", pod.message.removeprefix(_REJECTED))
        return found(Reason.REJECTED_BY_NODE, f"{pod.reason}: {told}")
    return found(Reason.UNKNOWN, f"Pods end: {pod.reason}: {pod.message}")


def _explain_eviction(message: str) -> Finding:
    first = message.split(". ", maxsplit=1)[0]
    full = _FULL.search(message)
    if full:
        return found(Reason.DISK_FULL, first, repeats=True)
    return found(Reason.EVICTED, first)


def _ended_at(pod: Pod) -> datetime | None:
    """Return when the pod ended; of one that never ran, when it was made."""
    ends = [c.ended.finished_at for c in pod.containers if c.ended and c.ended.finished_at]
    disrupted = pod.condition("DisruptionTarget").changed_at
    if disrupted:
        ends.append(disrupted)
    return max(ends, default=pod.created_at)
