"""Why a container is not ready: it is not made, it ended, or it does not answer."""

import json
import re
from typing import Final

from llm_operator.api.explanations.explanation import Finality
from llm_operator.api.reasons import STARTUP_REASONS, Reason
from llm_operator.diagnosis.evidence import Happening
from llm_operator.diagnosis.finding import Finding, found
from llm_operator.diagnosis.images import explain_pull
from llm_operator.diagnosis.pod import Container, Ended, Pod, Role
from llm_operator.diagnosis.probes import killed_by_probe
from llm_operator.diagnosis.volumes import missing_object
from llm_operator.diagnosis.wording import last_line
from llm_server.contract import StartupFailure

SERVER: Final = "server"
"""Name of the container that the operator renders; others are put in by the cluster's webhooks."""

_NOT_MADE: Final = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "PreCreateHookError",
        "PreStartHookError",
        "PostStartHookError",
    }
)
_NOT_STARTED: Final = frozenset({"StartError", "ContainerCannotRun"})
_RUNTIME_HEAD: Final = re.compile(
    r"^(?:failed to create containerd task: |failed to start containerd task \"[^\"]*\": |"
    r"failed to create shim task: |OCI runtime (?:create|start|exec) failed: |"
    r"runc create failed: |unable to start container process: |"
    r"error during container init: |failed to generate container \"[^\"]*\" spec: )+"
)
_PLATFORM: Final = "exec format error"
_NO_GPU: Final = re.compile(r"nvidia-container-cli|nvidia-container-runtime|failed to inject CDI")
_MOUNT: Final = re.compile(r"subPath|failed to (?:prepare|mount)|error mounting")
_TRANSIENT: Final = re.compile(
    r"failed to sync \w+ cache|services have not yet been read|is reserved for|"
    r"object \S+ not registered"
)

_SIGNALS: Final = {
    132: "SIGILL, an instruction that the processor does not know",
    134: "SIGABRT",
    135: "SIGBUS",
    136: "SIGFPE",
    139: "SIGSEGV",
}
_SIGKILL, _SIGTERM = 137, 143


def explain_container(
    pod: Pod, container: Container, events: tuple[Happening, ...]
) -> Finding | None:
    """Say what is wrong with a container; None where nothing is known to be."""
    pull = explain_pull(container, events)
    if pull is not None:
        return pull
    if container.waiting_reason in _NOT_MADE:
        return _explain_making(container)
    if container.is_running and (container.has_started or container.is_ready):
        return None  # how its last run ended is over
    ended = container.ended or container.ended_before
    if ended is None or (container.role is Role.INIT and ended.exit_code == 0):
        return None
    return _explain_end(pod, container, ended, events)


def _explain_making(container: Container) -> Finding | None:
    message = container.waiting_message
    if _TRANSIENT.search(message):
        return None
    missing = missing_object(message)
    if missing is not None:
        return found(missing, message)
    if _MOUNT.search(message):
        return found(Reason.VOLUME_MOUNT_FAILED, message)
    return _explain_runtime(container, message)


def _explain_runtime(container: Container, message: str) -> Finding:
    """Read an error of the container runtime."""
    brief = _RUNTIME_HEAD.sub("", message)
    if _PLATFORM in message:
        return found(Reason.IMAGE_PLATFORM_MISMATCH, brief)
    if _NO_GPU.search(message):
        return found(Reason.NO_DEVICE, brief, repeats=container.repeats)
    if not brief:
        return found(Reason.UNKNOWN, container.waiting_reason)
    return found(Reason.CONTAINER_START_FAILED, brief, repeats=container.repeats)


def _explain_end(
    pod: Pod, container: Container, ended: Ended, events: tuple[Happening, ...]
) -> Finding:
    repeats = container.repeats
    if ended.reason == "OOMKilled":
        message = f"{_subject(container)} exceeded resources.limits.memory"
        return found(Reason.OUT_OF_MEMORY, message, repeats=repeats or _died_loading(pod, ended))
    if ended.reason in _NOT_STARTED:
        return _explain_runtime(container, ended.message)
    told = _told_cause(ended.message, repeats=repeats, loading=_died_loading(pod, ended))
    if told is not None:
        return told
    if _PLATFORM in ended.message:
        return found(Reason.IMAGE_PLATFORM_MISMATCH, last_line(ended.message))
    if killed_by_probe(container, ended, events):
        message = f"{_subject(container)} was restarted because its liveness probe failed"
        return found(Reason.LIVENESS_PROBE_FAILED, message, repeats=repeats)
    return _explain_exit_code(container, ended)


def _explain_exit_code(container: Container, ended: Ended) -> Finding:
    subject, repeats = _subject(container), container.repeats
    code = ended.exit_code
    if code in _SIGNALS:
        message = f"{subject} was ended by {_SIGNALS[code]}"
        return found(Reason.NATIVE_CRASH, message, repeats=repeats)
    if code == _SIGKILL:
        message = f"{subject} was killed (SIGKILL) from outside, within its own memory limit"
        return found(Reason.KILLED, message, repeats=repeats)
    if code == _SIGTERM:
        return found(Reason.KILLED, f"{subject} was told to end (SIGTERM)", repeats=repeats)
    line = last_line(ended.message)
    message = f"{subject} exited with code {code}" + (f": {line}" if line else "")
    return found(Reason.CRASH_LOOPING, message, repeats=repeats)


def _subject(container: Container) -> str:
    if container.role is Role.MAIN and container.name in ("", SERVER):
        return "The server"
    return f"{container.role.value.capitalize()} {container.name}"


def _died_loading(pod: Pod, ended: Ended) -> bool:
    """Whether the pod was never ready in that run: the condition would have changed during it.

    The same model in the same memory ends in the same way again.
    """
    changed = pod.condition("Ready").changed_at
    return bool(changed and ended.started_at and changed <= ended.started_at)


def waits_for_others(message: str) -> bool:
    """Whether a server ended for what may pass by itself, as it says in its termination log."""
    told = _told_cause(message, repeats=False, loading=False)
    return told is not None and told.reason.finality is Finality.WAITS


def _told_cause(message: str, *, repeats: bool, loading: bool) -> Finding | None:
    """Return what the server itself wrote into its termination log, if it did."""
    try:
        told = json.loads(message)
        reason = STARTUP_REASONS[StartupFailure(told["reason"])]
        text = str(told["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    repeats = repeats or (loading and reason is Reason.OUT_OF_MEMORY)
    return found(reason, text, repeats=repeats)
