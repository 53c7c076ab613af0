"""Rules about containers that are not made, end, or run without answering."""

import json
from datetime import timedelta

import pytest

from llm_operator.api.reasons import Reason
from llm_server.contract import StartupFailure
from tests.builders import NOW
from tests.diagnosis_builders import (
    BORN,
    Json,
    a_container,
    a_pod,
    an_event,
    crashed,
    creating,
    ended,
    evidence,
    found_in,
    running,
    waiting,
)

CONTAINERD = "failed to create containerd task: failed to create shim task: "
RUNC = CONTAINERD + "OCI runtime create failed: runc create failed: unable to start container "
RUNC_INIT = RUNC + "process: error during container init: "


def told(reason: str, *, restarts: int = 0) -> Json:
    """Return a crash whose cause the server wrote into its termination log."""
    message = json.dumps({"reason": reason, "message": "what happened"})
    return crashed(message=message, restarts=restarts)


CASES = [
    (waiting("CreateContainerConfigError", 'secret "k" not found'), Reason.SECRET_MISSING),
    (
        waiting("CreateContainerConfigError", "couldn't find key k in Secret default/s"),
        Reason.SECRET_MISSING,
    ),
    (waiting("CreateContainerConfigError", 'configmap "k" not found'), Reason.CONFIG_MAP_MISSING),
    (
        waiting("CreateContainerConfigError", "couldn't find key k in ConfigMap default/s"),
        Reason.CONFIG_MAP_MISSING,
    ),
    (
        waiting("CreateContainerConfigError", "failed to prepare subPath for volumeMount"),
        Reason.VOLUME_MOUNT_FAILED,
    ),
    (
        waiting("CreateContainerConfigError", "container has runAsNonRoot and image runs as root"),
        Reason.CONTAINER_START_FAILED,
    ),
    (
        waiting("CreateContainerError", 'failed to generate container "ab" spec: no command'),
        Reason.CONTAINER_START_FAILED,
    ),
    (
        waiting("CreateContainerError", "failed to sync secret cache: timed out"),
        Reason.PODS_NOT_READY,
    ),
    (
        waiting("RunContainerError", RUNC_INIT + 'exec: "llm-server": executable file not found'),
        Reason.CONTAINER_START_FAILED,
    ),
    (
        waiting("RunContainerError", RUNC_INIT + "exec /bin/x: exec format error"),
        Reason.IMAGE_PLATFORM_MISMATCH,
    ),
    (
        waiting("RunContainerError", RUNC + "nvidia-container-cli: initialization error"),
        Reason.NO_DEVICE,
    ),
    (waiting("RunContainerError"), Reason.UNKNOWN),
    (crashed(128, RUNC_INIT + "exec: not found", "StartError"), Reason.CONTAINER_START_FAILED),
    (crashed(255, "exec /usr/bin/x: exec format error"), Reason.IMAGE_PLATFORM_MISMATCH),
    (crashed(137, reason="OOMKilled"), Reason.OUT_OF_MEMORY),
    (crashed(137), Reason.KILLED),
    (crashed(143), Reason.KILLED),
    (crashed(139), Reason.NATIVE_CRASH),
    (crashed(132), Reason.NATIVE_CRASH),
    (crashed(134), Reason.NATIVE_CRASH),
    (crashed(1, "Traceback\nBoom"), Reason.CRASH_LOOPING),
    (crashed(0, reason="Completed"), Reason.CRASH_LOOPING),
    (told("NoSuchReason"), Reason.CRASH_LOOPING),
    (creating(), Reason.PODS_NOT_READY),
    (running(), Reason.PODS_NOT_READY),
    (running(started=True), Reason.PODS_NOT_READY),
]


@pytest.mark.parametrize(("status", "reason"), CASES)
def test_each_way_to_fail_has_its_reason(status: Json, reason: Reason) -> None:
    """The reason names the cause, and is PodsNotReady where nothing is known to be wrong."""
    assert found_in(a_pod(containerStatuses=[status])).reason is reason


@pytest.mark.parametrize(
    ("failure", "reason", "final"),
    [
        (StartupFailure.MODEL_NOT_FOUND, Reason.MODEL_NOT_FOUND, True),
        (StartupFailure.MODEL_UNAUTHORIZED, Reason.MODEL_UNAUTHORIZED, True),
        (StartupFailure.MODEL_UNSUPPORTED, Reason.MODEL_UNSUPPORTED, True),
        (StartupFailure.INVALID_SETTINGS, Reason.INVALID_SERVER_SETTINGS, True),
        (StartupFailure.OUT_OF_MEMORY, Reason.OUT_OF_MEMORY, True),
        (StartupFailure.MODEL_SOURCE_UNAVAILABLE, Reason.MODEL_SOURCE_UNAVAILABLE, False),
        (StartupFailure.NO_DEVICE, Reason.NO_DEVICE, False),
        (StartupFailure.DISK_FULL, Reason.DISK_FULL, False),
        (StartupFailure.INTERNAL, Reason.CRASH_LOOPING, False),
    ],
)
def test_what_the_server_says_of_itself_is_believed(
    failure: StartupFailure, reason: Reason, final: bool
) -> None:
    """A bad source is final at once, a hub that fails never is, an accident may not repeat."""
    message = told(failure)["lastState"]["terminated"]["message"]
    once = a_container(ended(message=message, started_at=NOW - timedelta(seconds=20)))

    finding = found_in(a_pod(containerStatuses=[once]))

    assert (finding.reason, finding.is_final) == (reason, final)
    assert finding.message == "what happened"


@pytest.mark.parametrize(
    ("status", "final"),
    [
        (a_container(ended(1)), False),
        (crashed(1, restarts=1), True),
        (crashed(1, restarts=5), True),
        (running(restartCount=1, lastState=ended(1)), False),
        (running(restartCount=2, lastState=ended(1)), True),
        (crashed(139), True),
        (crashed(137), True),
        (told("ModelSourceUnavailable", restarts=9), False),
    ],
)
def test_a_crash_is_final_when_it_repeats(status: Json, final: bool) -> None:
    """One end may be an accident; a loop stays, except where the hub is the one who fails."""
    assert found_in(a_pod(containerStatuses=[status])).is_final is final


def test_running_out_of_memory_while_loading_is_final_at_once() -> None:
    """The same model in the same memory ends in the same way; a pod that served may recover."""
    first = a_container(ended(137, reason="OOMKilled", started_at=NOW - timedelta(seconds=20)))
    loading, served = a_pod(containerStatuses=[first]), a_pod(containerStatuses=[first])
    served["status"]["conditions"][1]["lastTransitionTime"] = "2026-01-01T11:59:50Z"

    assert found_in(loading).is_final
    assert not found_in(served).is_final

    said = told(StartupFailure.OUT_OF_MEMORY)["lastState"]["terminated"]["message"]
    served["status"]["containerStatuses"] = [
        a_container(ended(1, message=said, started_at=NOW - timedelta(seconds=20)))
    ]
    assert found_in(served).reason is Reason.OUT_OF_MEMORY
    assert not found_in(served).is_final


def test_a_pod_that_starts_again_after_a_crash_keeps_its_reason() -> None:
    """Between two crashes the container runs; the cause is still the last one."""
    crash = told("ModelNotFound")
    again = crash | {"state": {"running": {}}}

    assert found_in(a_pod(containerStatuses=[again])) == found_in(a_pod(containerStatuses=[crash]))


def test_a_crash_of_an_earlier_run_is_over_once_the_server_has_started() -> None:
    """What made it end a week ago is not why it is not ready today."""
    status = running(started=True, restartCount=1, lastState=ended(139))

    assert found_in(a_pod(containerStatuses=[status])).reason is Reason.PODS_NOT_READY


def test_the_last_log_line_is_quoted() -> None:
    """The kubelet puts the end of the log into the termination message."""
    log = "loading\nTraceback (most recent call last):\n  ...\nValueError: no such thing\n\n"

    finding = found_in(a_pod(containerStatuses=[crashed(1, log)]))

    assert finding.message == "The server exited with code 1: ValueError: no such thing"


def test_a_log_line_in_json_is_quoted_without_its_time() -> None:
    """A time would make each crash news."""
    line = json.dumps({"timestamp": "2026-01-01T12:00:00.1Z", "level": "error", "event": "Lost it"})

    finding = found_in(a_pod(containerStatuses=[crashed(1, line)]))

    assert finding.message == "The server exited with code 1: Lost it"


INIT = {"name": "mesh-init"}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (crashed(1, "no iptables") | INIT, Reason.CRASH_LOOPING),
        (waiting("ErrImagePull", "not found") | INIT, Reason.IMAGE_NOT_FOUND),
        (a_container(ended(0, reason="Completed")) | INIT, Reason.PODS_NOT_READY),
        (running() | INIT, Reason.PODS_NOT_READY),
    ],
)
def test_an_init_container_that_fails_is_the_cause(status: Json, reason: Reason) -> None:
    """The server's container waits for it; one that ended well is no trouble."""
    later = waiting("PodInitializing")
    finding = found_in(a_pod(initContainerStatuses=[status], containerStatuses=[later]))

    assert finding.reason is reason


def test_a_container_that_is_not_the_server_is_named() -> None:
    """A mesh's sidecar fails on its own account."""
    finding = found_in(
        a_pod(containerStatuses=[running(ready=True), crashed(1) | {"name": "mesh"}])
    )

    assert finding.message == "Container mesh exited with code 1"


KILLED = "Container server failed liveness probe, will be restarted"


@pytest.mark.parametrize("code", [0, 137, 143])
def test_a_restart_by_the_liveness_probe_is_told_from_other_ends(code: int) -> None:
    """The exit code is that of any signal; the kubelet's event says who sent it."""
    pod = a_pod(containerStatuses=[crashed(code)])
    killing = an_event("Killing", KILLED, at=BORN + timedelta(seconds=3))

    assert found_in(pod).reason is not Reason.LIVENESS_PROBE_FAILED
    assert found_in(pod, evidence(killing)).reason is Reason.LIVENESS_PROBE_FAILED


def test_an_old_restart_by_the_liveness_probe_does_not_explain_a_new_end() -> None:
    """Events stay for an hour."""
    pod = a_pod(containerStatuses=[crashed(137)])
    killing = an_event("Killing", KILLED, at=BORN - timedelta(minutes=20))

    assert found_in(pod, evidence(killing)).reason is Reason.KILLED


STARTUP = "Startup probe failed: "
REFUSED = (
    'Get "http://10.244.0.8:8001/startupz": dial tcp 10.244.0.8:8001: connect: connection refused'
)


@pytest.mark.parametrize(
    ("seconds", "note", "reason"),
    [
        (30, STARTUP + REFUSED, Reason.STARTUP_PROBE_FAILED),
        (30, STARTUP + "HTTP probe failed with statuscode: 404", Reason.STARTUP_PROBE_FAILED),
        (30, STARTUP + "context deadline exceeded", Reason.STARTUP_PROBE_FAILED),
        (3000, STARTUP + "HTTP probe failed with statuscode: 503", Reason.PODS_NOT_READY),
        (10, STARTUP + REFUSED, Reason.PODS_NOT_READY),
    ],
)
def test_a_server_that_loads_is_told_from_one_that_does_not_answer(
    seconds: float, note: str, reason: Reason
) -> None:
    """503 says that it loads, however long it takes; no answer at all says that it is no server."""
    pod = a_pod(containerStatuses=[running(seconds=seconds)])

    finding = found_in(pod, evidence(an_event("Unhealthy", note)))

    assert finding.reason is reason
    assert not finding.is_final


def test_a_server_that_started_and_is_not_ready_is_told_by_its_probe() -> None:
    """The address of the pod is left out: it differs between pods in the same trouble."""
    pod = a_pod(containerStatuses=[running(started=True)])
    failed = an_event("Unhealthy", f"Readiness probe failed: {REFUSED}")

    finding = found_in(pod, evidence(failed))

    assert finding.reason is Reason.READINESS_PROBE_FAILED
    assert finding.message == "The readiness probe fails: nothing listens on its port"


def test_a_probe_that_failed_in_an_earlier_run_does_not_count() -> None:
    """The container has been restarted since."""
    pod = a_pod(containerStatuses=[running(seconds=30, started=True)])
    failed = an_event("Unhealthy", "Readiness probe failed: x", at=NOW - timedelta(seconds=40))

    assert found_in(pod, evidence(failed)).reason is Reason.PODS_NOT_READY
