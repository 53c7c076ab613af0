"""Why pods are not ready: from what the kubelet and the scheduler report to one named reason.

Pure. Messages leave out what changes without news (restart counts, back-off times), so that a pod
that keeps failing in the same way causes no write. Unknown stays unknown: a pod that merely takes
long has ``PodsNotReady``, never a guessed cause.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from llm_operator.api.reasons import STARTUP_REASONS, Reason
from llm_operator.api.status import PodSummary, shorten
from llm_server.contract import StartupFailure

MESSAGE_LIMIT: Final = 250
"""Below the limit of a condition, which adds the pod's name and the next step."""

SUMMARY_LIMIT: Final = 10

_IMAGE_REASONS: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
)
_CONFIG_REASONS: Final = frozenset({"CreateContainerConfigError", "CreateContainerError"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One pod, or a Deployment that gets no pods, and what keeps it from being ready."""

    reason: Reason
    message: str
    pod: str = ""


def diagnose_pods(
    pods: Iterable[Mapping[str, Any]], deployments: Iterable[Mapping[str, Any]]
) -> tuple[Finding, ...]:
    """Return a finding for each pod that is not ready, and for each refusal of a pod."""
    refused = [finding for deployment in deployments if (finding := _refusal(deployment))]
    unready = [_diagnose(pod) for pod in pods if not is_ready(pod) and not is_terminating(pod)]
    return (*refused, *unready)


def worst(findings: Iterable[Finding]) -> Finding | None:
    """Return the finding that a person should read first: a known cause before mere waiting."""
    return min(
        findings,
        key=lambda f: (f.reason is Reason.PODS_NOT_READY, f.reason is Reason.UNKNOWN, f.pod),
        default=None,
    )


def summarise(findings: Iterable[Finding]) -> tuple[PodSummary, ...]:
    """Group findings by reason, most frequent first, at most ``SUMMARY_LIMIT`` groups."""
    findings = list(findings)
    counts = Counter(finding.reason for finding in findings)
    first = {finding.reason: finding for finding in reversed(findings)}
    groups = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        PodSummary(
            reason=reason,
            count=count,
            message=first[reason].message,
            pod=first[reason].pod or None,
        )
        for reason, count in groups[:SUMMARY_LIMIT]
    )


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has the condition Ready."""
    return _condition(pod, "Ready").get("status") == "True"


def is_terminating(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's deletion has begun."""
    return "deletionTimestamp" in pod.get("metadata", {})


def is_finished(pod: Mapping[str, Any]) -> bool:
    """Whether the pod ended for good; it then holds no accelerator any more."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _diagnose(pod: Mapping[str, Any]) -> Finding:
    name = pod.get("metadata", {}).get("name", "")
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        reason, message = _unschedulable(scheduled.get("message", ""))
        return Finding(reason, _short(message), name)
    for container in pod.get("status", {}).get("containerStatuses", ()):
        cause = _container_cause(container)
        if cause is not None:
            return Finding(cause[0], _short(cause[1]), name)
    return Finding(Reason.PODS_NOT_READY, "The pod is starting", name)


def _unschedulable(message: str) -> tuple[Reason, str]:
    message = message.split(" preemption:", maxsplit=1)[0].strip()
    lowered = message.lower()
    if "persistentvolumeclaim" in lowered or "volume node affinity" in lowered:
        return Reason.VOLUME_NOT_BOUND, message
    if re.search(r"insufficient [a-z0-9.-]+/", lowered):
        return Reason.INSUFFICIENT_ACCELERATOR, message
    if "insufficient memory" in lowered:
        return Reason.INSUFFICIENT_MEMORY, message
    return Reason.UNSCHEDULABLE, message


def _container_cause(container: Mapping[str, Any]) -> tuple[Reason, str] | None:
    state = container.get("state", {})
    waiting = state.get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _IMAGE_REASONS:
        return Reason.IMAGE_PULL_FAILED, _image_message(container, message)
    if reason in _CONFIG_REASONS:
        return _config_cause(message), message
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated")
    return _ended_cause(ended) if ended else None


def _image_message(container: Mapping[str, Any], message: str) -> str:
    """Name the image and the cause; the back-off's text alternates with the error's own."""
    detail = message.rsplit("ErrImagePull: ", maxsplit=1)[-1]
    detail = "" if detail.startswith("Back-off") else detail
    return f'Cannot pull image "{container.get("image", "")}"' + (f": {detail}" if detail else "")


def _config_cause(message: str) -> Reason:
    lowered = message.lower()
    if "configmap" in lowered:
        return Reason.CONFIG_MAP_MISSING
    return Reason.SECRET_MISSING if "secret" in lowered else Reason.UNKNOWN


def _ended_cause(ended: Mapping[str, Any]) -> tuple[Reason, str] | None:
    code = ended.get("exitCode", 0)
    if ended.get("reason") == "OOMKilled":
        return Reason.OUT_OF_MEMORY, "The container exceeded resources.limits.memory"
    message = ended.get("message", "").strip()
    told = _told_cause(message)
    if told is not None:
        return told
    last_line = message.rsplit("\n", maxsplit=1)[-1]
    return Reason.CRASH_LOOPING, f"The server exited with code {code}" + (
        f": {last_line}" if last_line else ""
    )


def _told_cause(message: str) -> tuple[Reason, str] | None:
    """Return what the server itself wrote into its termination log, if it did."""
    try:
        told = json.loads(message)
        reason = STARTUP_REASONS[StartupFailure(told["reason"])]
        return reason, str(told["message"])
    except (ValueError, KeyError, TypeError):
        return None


def _refusal(deployment: Mapping[str, Any]) -> Finding | None:
    condition = _condition(deployment, "ReplicaFailure")
    if condition.get("status") != "True":
        return None
    # The name of the refused pod is random and would be news at every attempt.
    message = re.sub(r'pods "[^"]*" is forbidden: ', "", condition.get("message", ""))
    return Finding(Reason.QUOTA_EXCEEDED, _short(message))


def _condition(obj: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    conditions: Iterable[Mapping[str, Any]] = obj.get("status", {}).get("conditions", ())
    return next((c for c in conditions if c.get("type") == type_), {})


def _short(message: str) -> str:
    return shorten(message, MESSAGE_LIMIT)
