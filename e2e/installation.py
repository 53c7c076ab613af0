"""Puts the operator into a cluster with helm, for the tests and for the demo."""

from dataclasses import dataclass
from pathlib import Path

import e2e.cluster
from llm_operator import kinds

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "llm-operator"
RELEASE = "llm-operator"
OPERATOR_NAMESPACE = "llm-operator-system"
OPERATOR_DEPLOYMENT = "llm-operator"
OPERATOR_USER = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_DEPLOYMENT}"
OPERATOR_PODS = "app.kubernetes.io/name=llm-operator"
SERVER_PYTHON = "/opt/llm-server/bin/python3"
PULL_SECONDS = 600
CRDS = f"llmdeployments.{kinds.GROUP}"


@dataclass(frozen=True, slots=True)
class Reference:
    """An image reference in the two parts that a chart takes."""

    repository: str
    tag: str


def split_reference(reference: str) -> Reference:
    """Split ``host:port/name:tag`` at its last colon."""
    repository, _, tag = reference.rpartition(":")
    return Reference(repository, tag)


def chart_values(images: e2e.cluster.Images) -> list[str]:
    """Return the ``--set`` arguments that point the chart at the built images."""
    operator, server = split_reference(images.operator), split_reference(images.server)
    values = {
        "image.repository": operator.repository,
        "image.tag": operator.tag,
        "server.image.repository": server.repository,
        "server.image.tag": server.tag,
    }
    return [f"--set-string={name}={value}" for name, value in values.items()]


def install_operator(backend: e2e.cluster.Cluster, images: e2e.cluster.Images) -> None:
    """Install or upgrade the chart and wait until the operator is ready; nothing to do is quick.

    Raises e2e.cluster.CommandFailed when helm or the roll-out fails.
    """
    # helm installs what lies in a chart's crds/ once and never upgrades it.
    crds = ("apply", "--server-side", "--force-conflicts", "-f", str(CHART / "crds"))
    backend.kubectl(*crds)
    backend.helm(
        "upgrade",
        "--install",
        RELEASE,
        str(CHART),
        f"--namespace={OPERATOR_NAMESPACE}",
        "--create-namespace",
        *chart_values(images),
    )
    backend.kubectl("wait", "--for=condition=Established", f"crd/{CRDS}", "--timeout=30s")
    _await_operator(backend)


def pull_images(backend: e2e.cluster.Cluster, images: e2e.cluster.Images) -> None:
    """Have the node pull what pods are going to need, so that no deadline contains a pull."""
    for image in (images.server, images.client):
        backend.node_exec("crictl", "pull", image, timeout_seconds=PULL_SECONDS)


def resize_operator(backend: e2e.cluster.Cluster, replicas: int) -> None:
    """Run so many operator processes, and wait until that is so."""
    scale = ("scale", f"deployment/{OPERATOR_DEPLOYMENT}", f"--replicas={replicas}")
    backend.kubectl("-n", OPERATOR_NAMESPACE, *scale)
    _await_operator(backend)
    if replicas == 0:
        gone = ("wait", "--for=delete", "pod", "-l", OPERATOR_PODS, "--timeout=90s")
        backend.kubectl("-n", OPERATOR_NAMESPACE, *gone)


def restart_operator(backend: e2e.cluster.Cluster) -> None:
    """Have new processes take over, and wait until they have: they look at kinds at their start."""
    restart = ("rollout", "restart", f"deployment/{OPERATOR_DEPLOYMENT}")
    backend.kubectl("-n", OPERATOR_NAMESPACE, *restart)
    _await_operator(backend)


def _await_operator(backend: e2e.cluster.Cluster) -> None:
    status = ("rollout", "status", f"deployment/{OPERATOR_DEPLOYMENT}", "--timeout=180s")
    backend.kubectl("-n", OPERATOR_NAMESPACE, *status, timeout_seconds=200)
