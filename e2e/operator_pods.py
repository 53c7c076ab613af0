"""The operator's own processes: who leads; and how to kill or freeze a process on its node.

Signals go to the process from the node: a container's PID 1 ignores SIGKILL from inside.
"""

from dataclasses import dataclass

from e2e.installation import OPERATOR_DEPLOYMENT, OPERATOR_NAMESPACE, OPERATOR_PODS
from e2e.story import Cluster
from llm_operator import kinds


@dataclass(frozen=True, slots=True)
class Leader:
    """The holder of the Lease: its identity there, and its pod."""

    identity: str
    pod: str


def operator_pods(cluster: Cluster) -> list[str]:
    """Return the names of the operator's pods."""
    response = cluster.api.get(
        kinds.POD.path(OPERATOR_NAMESPACE), params={"labelSelector": OPERATOR_PODS}
    )
    return [pod["metadata"]["name"] for pod in response.json()["items"]]


def leader(cluster: Cluster) -> Leader:
    """Return the process that holds the Lease; AssertionError when there is none."""
    lease = cluster.get(kinds.LEASE.path(OPERATOR_NAMESPACE, OPERATOR_DEPLOYMENT))
    identity = str(lease["spec"].get("holderIdentity", "")) if lease else ""
    assert identity, f"nobody holds the Lease: {lease}"
    pod = next((name for name in operator_pods(cluster) if name in identity), "")
    return Leader(identity, pod)


def _process(cluster: Cluster, pod: str) -> str:
    label = f"io.kubernetes.pod.name={pod}"
    container = cluster.backend.node_exec("crictl", "ps", "-q", f"--label={label}").split()[0]
    template = "{{.info.pid}}"
    found = cluster.backend.node_exec(
        "crictl", "inspect", "--output=go-template", f"--template={template}", container
    )
    return found.strip()


def kill(cluster: Cluster, leader: Leader) -> None:
    """SIGKILL: no handler runs, no Lease is released."""
    kill_pod(cluster, leader.pod)


def freeze(cluster: Cluster, leader: Leader) -> None:
    """SIGSTOP: the process hangs with its connections open."""
    freeze_pod(cluster, leader.pod)


def thaw(cluster: Cluster, leader: Leader) -> None:
    """SIGCONT, if the process is still there: the kubelet may have killed it meanwhile."""
    thaw_pod(cluster, leader.pod)


def kill_pod(cluster: Cluster, pod: str) -> None:
    """SIGKILL for the one container of any pod."""
    cluster.backend.node_exec("kill", "-KILL", _process(cluster, pod))


def freeze_pod(cluster: Cluster, pod: str) -> None:
    """SIGSTOP for the one container of any pod."""
    cluster.backend.node_exec("kill", "-STOP", _process(cluster, pod))


def thaw_pod(cluster: Cluster, pod: str) -> None:
    """SIGCONT for the one container of any pod, if it is still there."""
    cluster.backend.node_exec(
        "sh", "-c", f"kill -CONT {_process(cluster, pod)} 2>/dev/null || true"
    )
