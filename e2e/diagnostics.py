"""Saves what is needed to understand a failed test, under ``out/e2e``."""

import re
from pathlib import Path

from e2e.installation import OPERATOR_NAMESPACE
from e2e.story import Cluster, Namespace

DIRECTORY = Path(__file__).resolve().parent.parent / "out" / "e2e"
DESCRIBED = "llmdeployments,deployments,replicasets,pods,services,endpointslices,hpa,pdb,events"


def directory_of(test: str) -> Path:
    """Return the folder for one test, named after it."""
    folder = DIRECTORY / re.sub(r"[^A-Za-z0-9_.-]+", "_", test)[:120]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _save(folder: Path, name: str, cluster: Cluster, *arguments: str) -> None:
    outcome = cluster.backend.attempt("kubectl", *arguments, timeout_seconds=60)
    (folder / name).write_text(outcome.stdout + outcome.stderr)


def save_namespace(test: str, namespace: Namespace) -> Path:
    """Save the objects, events and logs of a namespace; return the folder."""
    folder, cluster, scope = directory_of(test), namespace.cluster, f"-n{namespace.name}"
    (folder / "picture.txt").write_text(namespace.picture())
    _save(folder, "objects.yaml", cluster, scope, "get", DESCRIBED, "-oyaml")
    _save(folder, "revisions.yaml", cluster, scope, "get", "controllerrevisions", "-oyaml")
    _save(folder, "describe.txt", cluster, scope, "describe", "pods")
    for pod in namespace.objects_named("pods"):
        _save(folder, f"{pod}.log", cluster, scope, "logs", pod, "--all-containers")
        _save(folder, f"{pod}.previous.log", cluster, scope, "logs", pod, "--previous")
    return folder


def save_operator(test: str, cluster: Cluster) -> Path:
    """Save the last lines of the operator's log; return the folder."""
    folder = directory_of(test)
    selector = ("-l", "app.kubernetes.io/name=llm-operator", "--prefix", "--tail=1000")
    _save(folder, "operator.log", cluster, f"-n{OPERATOR_NAMESPACE}", "logs", *selector)
    _save(folder, "operator.txt", cluster, f"-n{OPERATOR_NAMESPACE}", "describe", "pods")
    return folder
