"""Pods, events, claims and nodes in the shapes that Kubernetes 1.36 gives them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from llm_operator import kinds
from llm_operator.diagnosis import Evidence, Finding, diagnose
from llm_operator.diagnosis.evidence import (
    NOTHING,
    Happening,
    read_claim,
    read_event,
    read_node,
)
from tests.builders import NOW

Json = dict[str, Any]

REVISION = "one"
IMAGE = "registry.example/llm-server:1"
NODE = "node-1"
BORN = NOW - timedelta(seconds=60)


def stamp(at: datetime) -> str:
    """Return a time as the API server writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def a_pod(name: str = "chat-one-x", *, made_at: datetime = BORN, **status: Any) -> Json:
    """Return a pod that has a node and is not ready; ``status`` overrides parts of its status."""
    made = stamp(made_at)
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": made},
        {
            "type": "Ready",
            "status": "False",
            "reason": "ContainersNotReady",
            "lastTransitionTime": made,
        },
    ]
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "creationTimestamp": made,
            "labels": {kinds.INSTANCE_LABEL: "chat", kinds.REVISION_LABEL: REVISION},
        },
        "spec": {"nodeName": NODE},
        "status": {
            "phase": "Pending",
            "startTime": made,
            "conditions": conditions,
            "containerStatuses": [creating()],
            **status,
        },
    }


def a_ready_pod(name: str = "chat-one-x", *, made_at: datetime = BORN) -> Json:
    """Return a pod that serves."""
    pod = a_pod(name, made_at=made_at, phase="Running", containerStatuses=[running(ready=True)])
    pod["status"]["conditions"][1] = {"type": "Ready", "status": "True"}
    return pod


def an_unbound_pod(message: str, name: str = "chat-one-x", *, made_at: datetime = BORN) -> Json:
    """Return a pod that the scheduler could not place."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
    }
    pod = a_pod(name, made_at=made_at, conditions=[condition], containerStatuses=[])
    del pod["spec"]["nodeName"]
    return pod


def a_container(state: Json, **more: Any) -> Json:
    """Return a container status."""
    return {
        "name": "server",
        "image": IMAGE,
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": state,
        "lastState": {},
        **more,
    }


def waiting(reason: str, message: str = "", **more: Any) -> Json:
    """Return a container status that waits."""
    return a_container({"waiting": {"reason": reason, "message": message}}, **more)


def creating() -> Json:
    """Return a container status before the container is made."""
    return waiting("ContainerCreating")


def running(
    *, seconds: float = 30, started: bool = False, ready: bool = False, **more: Any
) -> Json:
    """Return a container status that runs for so long."""
    since = {"running": {"startedAt": stamp(NOW - timedelta(seconds=seconds))}}
    return a_container(since, started=started or ready, ready=ready, **more)


def ended(
    code: int = 1, message: str = "", reason: str = "Error", *, started_at: datetime = BORN
) -> Json:
    """Return the state of a container that ended."""
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason,
            "message": message,
            "startedAt": stamp(started_at),
            "finishedAt": stamp(started_at + timedelta(seconds=5)),
        }
    }


def crashed(code: int = 1, message: str = "", reason: str = "Error", *, restarts: int = 2) -> Json:
    """Return a container status that backs off after a crash."""
    pause = "back-off 10s restarting failed container=server pod=chat-one-x_default(uid-1)"
    status = waiting("CrashLoopBackOff", pause, restartCount=restarts)
    return status | {"lastState": ended(code, message, reason)}


def a_deployment(
    *,
    replicas: int = 1,
    conditions: tuple[Json, ...] = (),
    claims: tuple[str, ...] = (),
    **pod: Any,
) -> Json:
    """Return the Deployment of the revision; ``pod`` goes into its pod's spec."""
    volumes = [
        {"name": f"volume-{n}", "persistentVolumeClaim": {"claimName": claim}}
        for n, claim in enumerate(claims)
    ]
    return {
        "metadata": {"name": "chat-one", "labels": {kinds.REVISION_LABEL: REVISION}},
        "spec": {"replicas": replicas, "template": {"spec": {"volumes": volumes, **pod}}},
        "status": {"conditions": list(conditions)},
    }


def refused(message: str) -> Json:
    """Return the condition of a Deployment whose pods are refused."""
    return {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": message,
    }


def an_event(
    reason: str, note: str, *, at: datetime = NOW - timedelta(seconds=1), container: str = "server"
) -> Happening:
    """Return an event about a pod, read from what the API server returns."""
    return read_event(
        {
            "metadata": {"creationTimestamp": stamp(BORN)},
            "reason": reason,
            "note": note,
            "eventTime": None,
            "deprecatedLastTimestamp": stamp(at),
            "deprecatedCount": 3,
            "regarding": {"kind": "Pod", "fieldPath": f"spec.containers{{{container}}}"},
        }
    )


def evidence(
    *events: Happening,
    pod: str = "chat-one-x",
    claims: Mapping[str, Json | None] | None = None,
    claim_events: Mapping[str, tuple[Happening, ...]] | None = None,
    nodes: Mapping[str, Json | None] | None = None,
) -> Evidence:
    """Return evidence with the events of one pod."""
    return Evidence(
        events={f"uid-{pod}": events, **(claim_events or {})},
        claims={name: read_claim(name, obj) for name, obj in (claims or {}).items()},
        nodes={name: read_node(name, obj) for name, obj in (nodes or {}).items()},
    )


def a_claim(phase: str = "Pending", **spec: Any) -> Json:
    """Return a PersistentVolumeClaim."""
    return {"metadata": {"uid": "uid-claim"}, "spec": spec, "status": {"phase": phase}}


def a_node(*taints: str, ready: str = "True", reason: str = "KubeletReady", **labels: str) -> Json:
    """Return a node; taints by key."""
    return {
        "metadata": {"labels": labels},
        "spec": {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]},
        "status": {"conditions": [{"type": "Ready", "status": ready, "reason": reason}]},
    }


def found_in(
    pod: Json,
    seen: Evidence = NOTHING,
    deployment: Json | None = None,
    *,
    at: datetime = NOW,
) -> Finding:
    """Return the one finding about a pod."""
    (finding,) = diagnose([pod], [deployment or a_deployment()], seen, at)
    return finding
