"""Nodes without a kubelet: the API server, the scheduler and the controllers take them for real.

A node that nobody renews is declared dead after a while, so they are renewed as long as they are
meant to live. Nothing ever runs on them.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from e2e.manifests import Manifest
from e2e.story import Cluster

POOL_LABEL: Final = "e2e.llm-operator.io/pool"
_PREFIX: Final = "diagnose-"
_CAPACITY: Final = {"cpu": "4", "memory": "8Gi", "pods": "20", "ephemeral-storage": "10Gi"}
_TAINT: Final = {"key": "e2e.llm-operator.io/dedicated", "effect": "NoSchedule"}

POOLS: Final[dict[str, Manifest]] = {
    "tainted": {"taints": [_TAINT]},
    "cordoned": {"unschedulable": True},
    "dead": {},
    "full": {},
    "mortal": {"taints": [_TAINT]},
}
"""``spec`` of the one node of each pool; on none of them a pod lands that is not meant to."""

TOLERATION: Final = {"key": _TAINT["key"], "operator": "Exists", "effect": _TAINT["effect"]}

_MARKED: Final[dict[str, set[str]]] = {
    "tainted": {_TAINT["key"]},
    "cordoned": {"node.kubernetes.io/unschedulable"},
    "dead": {"node.kubernetes.io/not-ready"},
    "full": {"node.kubernetes.io/disk-pressure"},
    "mortal": {_TAINT["key"]},
}
_MARKED_SECONDS: Final = 30


def _conditions(pool: str) -> list[Manifest]:
    ready = "False" if pool == "dead" else "True"
    pressed = "True" if pool == "full" else "False"
    return [_condition("Ready", ready), _condition("DiskPressure", pressed)]


def _condition(type_: str, status: str) -> Manifest:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: TID251  # a node's own clock
    return {
        "type": type_,
        "status": status,
        "reason": "Pretended",
        "message": "there is no kubelet",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }


def _node(pool: str) -> Manifest:
    labels = {POOL_LABEL: pool, "kubernetes.io/hostname": _PREFIX + pool}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": _PREFIX + pool, "labels": labels},
        "spec": POOLS[pool],
    }


def _report(cluster: Cluster, pool: str, conditions: list[Manifest]) -> None:
    status = {"capacity": _CAPACITY, "allocatable": _CAPACITY, "conditions": conditions}
    response = cluster.api.patch(
        f"/api/v1/nodes/{_PREFIX}{pool}/status",
        content=json.dumps({"status": status}),
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert response.is_success, response.text[:500]


def renew(cluster: Cluster) -> None:
    """Let every node report again, as it did at first."""
    for pool in POOLS:
        _report(cluster, pool, _conditions(pool))


def break_node(cluster: Cluster, pool: str) -> None:
    """Let a node report that it is not ready."""
    _report(cluster, pool, [_condition("Ready", "False")])


@contextmanager
def fake_nodes(cluster: Cluster) -> Iterator[None]:
    """Have one node of each pool; gone afterwards, with the pods that were given to them."""
    names = [_PREFIX + pool for pool in POOLS]
    cluster.kubectl("delete", "node", "--ignore-not-found", *names)
    for pool in POOLS:
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(_node(pool)))
    renew(cluster)
    try:
        _await_taints(cluster)
        yield
    finally:
        cluster.kubectl("delete", "node", "--ignore-not-found", *names)
        _end_pods(cluster, frozenset(names))


def _await_taints(cluster: Cluster) -> None:
    """Wait until the controllers have marked the nodes as their conditions say, and only so."""
    started = time.monotonic()
    while (seen := {pool: _taints(cluster, pool) for pool in POOLS}) != _MARKED:
        if time.monotonic() - started > _MARKED_SECONDS:
            message = f"the nodes are not marked as they should be: {seen}"
            raise AssertionError(message)
        time.sleep(0.25)


def _taints(cluster: Cluster, pool: str) -> set[str]:
    node = cluster.get(f"/api/v1/nodes/{_PREFIX}{pool}") or {"spec": {}}
    taints = node["spec"].get("taints", [])
    return {taint["key"] for taint in taints if taint["effect"] == "NoSchedule"}


def _end_pods(cluster: Cluster, nodes: frozenset[str]) -> None:
    """Delete what no kubelet will ever end."""
    found = cluster.get("/api/v1/pods") or {"items": []}
    for pod in found["items"]:
        if pod["spec"].get("nodeName") in nodes:
            metadata = pod["metadata"]
            where = ("-n", metadata["namespace"], metadata["name"])
            now = ("--force", "--grace-period=0", "--ignore-not-found", "--wait=false")
            cluster.kubectl("delete", "pod", *where, *now)
