"""Rules that turn what the kubelet and the scheduler say into one named reason."""

import json
from typing import Any

import pytest

from llm_operator.api.reasons import Reason
from llm_operator.diagnosis import Finding, diagnose_pods, summarise, worst
from tests.builders import a_pod


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """Return a container status that waits."""
    return {
        "image": "llm-server:none",
        "state": {"waiting": {"reason": reason, "message": message}},
    }


def crashed(code: int = 1, message: str = "", reason: str = "Error") -> dict[str, Any]:
    """Return a container status that backs off after a crash."""
    ended = {"exitCode": code, "message": message, "reason": reason}
    back_off = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}
    return {"state": {"waiting": back_off}, "lastState": {"terminated": ended}}


def told(reason: str) -> dict[str, Any]:
    """Return a crash whose cause the server wrote into its termination log."""
    return crashed(message=json.dumps({"reason": reason, "message": "what happened"}))


def unschedulable(message: str) -> dict[str, Any]:
    """Return a pod status that no node takes."""
    return {"conditions": [{"type": "PodScheduled", "status": "False", "message": message}]}


NODES = "0/1 nodes are available: "
CASES = [
    ({"containerStatuses": [waiting("ErrImagePull", "not found")]}, Reason.IMAGE_PULL_FAILED),
    ({"containerStatuses": [waiting("ImagePullBackOff")]}, Reason.IMAGE_PULL_FAILED),
    ({"containerStatuses": [waiting("InvalidImageName")]}, Reason.IMAGE_PULL_FAILED),
    (
        {"containerStatuses": [waiting("CreateContainerConfigError", 'secret "k" not found')]},
        Reason.SECRET_MISSING,
    ),
    (
        {"containerStatuses": [waiting("CreateContainerConfigError", 'configmap "k" not found')]},
        Reason.CONFIG_MAP_MISSING,
    ),
    ({"containerStatuses": [crashed(reason="OOMKilled", code=137)]}, Reason.OUT_OF_MEMORY),
    ({"containerStatuses": [crashed(message="Traceback\nBoom")]}, Reason.CRASH_LOOPING),
    ({"containerStatuses": [crashed(code=0, reason="Completed")]}, Reason.CRASH_LOOPING),
    ({"containerStatuses": [told("ModelNotFound")]}, Reason.MODEL_NOT_FOUND),
    ({"containerStatuses": [told("ModelUnauthorized")]}, Reason.MODEL_UNAUTHORIZED),
    ({"containerStatuses": [told("InvalidSettings")]}, Reason.INVALID_SERVER_SETTINGS),
    ({"containerStatuses": [told("NoSuchReason")]}, Reason.CRASH_LOOPING),
    ({"containerStatuses": [waiting("ContainerCreating")]}, Reason.PODS_NOT_READY),
    (unschedulable(NODES + "1 Insufficient memory."), Reason.INSUFFICIENT_MEMORY),
    (
        unschedulable(NODES + "1 Insufficient memory, 1 Insufficient nvidia.com/gpu."),
        Reason.INSUFFICIENT_ACCELERATOR,
    ),
    (unschedulable(NODES + "1 node(s) had untolerated taint."), Reason.UNSCHEDULABLE),
    (unschedulable('persistentvolumeclaim "m" not found'), Reason.VOLUME_NOT_BOUND),
    ({}, Reason.PODS_NOT_READY),
]


@pytest.mark.parametrize(("status", "reason"), CASES)
def test_each_way_to_fail_has_its_reason(status: dict[str, Any], reason: Reason) -> None:
    """The reason names the cause, and is PodsNotReady where nothing is known to be wrong."""
    (finding,) = diagnose_pods([a_pod("one", ready=False, **status)], [])

    assert finding.reason is reason


def test_a_pod_that_starts_again_after_a_crash_keeps_its_reason() -> None:
    """Between two crashes the container runs; the cause is still the last one."""
    running = told("ModelNotFound") | {"state": {"running": {}}}
    crashing = told("ModelNotFound")

    during = diagnose_pods([a_pod("one", ready=False, containerStatuses=[running])], [])
    between = diagnose_pods([a_pod("one", ready=False, containerStatuses=[crashing])], [])

    assert during == between


def test_both_faces_of_a_failed_pull_say_the_same() -> None:
    """The kubelet alternates between the error and its back-off, which repeats it."""
    error = "rpc error: code = NotFound desc = not found"
    back_off = f'Back-off pulling image "llm-server:none": ErrImagePull: {error}'
    statuses = [waiting("ErrImagePull", error), waiting("ImagePullBackOff", back_off)]

    messages = {
        diagnose_pods([a_pod("one", ready=False, containerStatuses=[status])], [])[0].message
        for status in statuses
    }

    assert messages == {f'Cannot pull image "llm-server:none": {error}'}


def test_a_refused_pod_is_named_by_its_deployment() -> None:
    """A quota or policy leaves no pod to look at; the Deployment says it."""
    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": 'pods "chat-x1" is forbidden: exceeded quota: small',
    }

    (finding,) = diagnose_pods([], [{"status": {"conditions": [condition]}}])

    assert finding == Finding(Reason.QUOTA_EXCEEDED, "exceeded quota: small")


def test_a_known_cause_is_read_before_mere_waiting() -> None:
    """One failing pod among many that load is what a person must see."""
    loading = Finding(Reason.PODS_NOT_READY, "The pod is starting", "a")
    failing = Finding(Reason.OUT_OF_MEMORY, "too big", "z")

    assert worst([loading, failing]) == failing
    assert worst([]) is None


def test_a_summary_groups_pods_by_reason_and_names_one() -> None:
    """Many pods with the same trouble are one line."""
    findings = [Finding(Reason.PODS_NOT_READY, "starting", f"pod-{n}") for n in range(3)]

    (summary,) = summarise(findings)

    assert (summary.count, summary.pod) == (3, "pod-0")


def test_ready_and_terminating_pods_are_no_trouble() -> None:
    """Only pods that should be ready and are not are diagnosed."""
    leaving = a_pod("one", ready=False)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert diagnose_pods([a_pod("one"), leaving], []) == ()
