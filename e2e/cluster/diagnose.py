"""Collect what one needs to understand a failure on a cluster, into a directory.

Best effort on purpose: a part that cannot be had leaves a file that says why, and never hides the
failure that made somebody ask.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from e2e.cluster.commands import CommandTimeout

if TYPE_CHECKING:
    from e2e.cluster.cluster import Cluster

_PATIENCE_SECONDS = 120
_QUESTIONS = {
    "events.txt": ("get", "events", "-A", "--sort-by=.lastTimestamp"),
    "objects.txt": ("get", "all", "-A", "-o", "wide"),
    "nodes.txt": ("describe", "nodes"),
    "pods.txt": ("describe", "pods", "-A"),
    "llmdeployments.yaml": ("get", "llmdeployments", "-A", "-o", "yaml"),
}


def diagnose(cluster: "Cluster", directory: Path) -> None:
    """Write events, descriptions, every pod's logs and kind's own export below `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    for file, question in _QUESTIONS.items():
        _keep(cluster, directory / file, "kubectl", *question)
    for pod in _pods(cluster):
        namespace, name = pod.split("/")
        log = ("logs", "-n", namespace, name, "--all-containers", "--prefix", "--tail=2000")
        _keep(cluster, directory / "pods" / f"{namespace}.{name}.log", "kubectl", *log)
        if namespace != "kube-system":
            before = directory / "pods" / f"{namespace}.{name}.previous.log"
            _keep(cluster, before, "kubectl", *log, "--previous")
    export = ("kind", "export", "logs", str(directory / "kind"), "--name", cluster.name)
    _keep(cluster, directory / "kind-export.txt", *export)


def _pods(cluster: "Cluster") -> list[str]:
    names = '{range .items[*]}{.metadata.namespace}/{.metadata.name}{"\\n"}{end}'
    return cluster.attempt("kubectl", "get", "pods", "-A", "-o", f"jsonpath={names}").stdout.split()


def _keep(cluster: "Cluster", file: Path, *command: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        outcome = cluster.attempt(*command, timeout_seconds=_PATIENCE_SECONDS)
    except CommandTimeout as expired:
        file.write_text(f"{expired}\n")
    else:
        file.write_text(outcome.stdout + outcome.stderr)
