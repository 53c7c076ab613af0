"""The ground that an operator is measured on: CRD, namespace, account and its kubeconfig.

What a killed run left is cleared first, and everything is removed at the end, however that comes
about. An operator that is installed in the cluster would do the same work a second time, so it is
stopped meanwhile.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.contender import SERVICE_ACCOUNT, Contender
from e2e.cluster import Cluster
from e2e.cluster.progress import step
from e2e.installation import OPERATOR_DEPLOYMENT, OPERATOR_NAMESPACE
from llm_operator import kinds

_ROOT: Final = Path(__file__).resolve().parent.parent
_CRD: Final = _ROOT / "crds" / f"{kinds.LLM_DEPLOYMENT.plural}.yaml"
_TOKEN_HOURS: Final = 6
_REMOVAL_SECONDS: Final = 1200
_PAUSE_SECONDS: Final = 180
_INSTALLED: Final = ("-n", OPERATOR_NAMESPACE, f"deployment/{OPERATOR_DEPLOYMENT}")


@contextmanager
def arena(cluster: Cluster, contender: Contender) -> Iterator[Path]:
    """Yield the kubeconfig of the contender's account, in a cluster that is ready for it."""
    _clear_namespace(cluster, contender)
    with crd_of(cluster, contender), tempfile.TemporaryDirectory(prefix="bench-") as directory:
        try:
            cluster.apply(_identity(contender))
            yield _kubeconfig(cluster, contender, Path(directory))
        finally:
            cluster.delete("clusterrolebinding", contender.namespace)
            _clear_namespace(cluster, contender)


@contextmanager
def crd_of(cluster: Cluster, contender: Contender) -> Iterator[None]:
    """Have the API server know the kind; a CRD that was there before stays as it is."""
    name = f"{contender.kind.plural}.{contender.kind.group}"
    if cluster.attempt("kubectl", "get", "crd", name).ok:
        yield
        return
    cluster.apply(_crd(contender))
    try:
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=60s")
        yield
    finally:
        cluster.delete("crd", name)


@contextmanager
def paused_installation(cluster: Cluster) -> Iterator[None]:
    """Stop the operator that the chart installed, if there is one, and start it again."""
    found = cluster.attempt("kubectl", "get", *_INSTALLED, "-o", "json")
    spec: dict[str, Any] = json.loads(found.stdout)["spec"] if found.ok else {"replicas": 0}
    if spec["replicas"] == 0:
        yield
        return
    try:
        with step("installed operator stopped for the time being"):
            _scale_installed(cluster, 0)
            _await_no_pods(cluster, spec["selector"]["matchLabels"])
        yield
    finally:
        with step("installed operator started again"):
            _scale_installed(cluster, spec["replicas"])
            limit = f"--timeout={_PAUSE_SECONDS}s"
            cluster.kubectl(
                *("rollout", "status", *_INSTALLED, limit), timeout_seconds=_PAUSE_SECONDS + 10
            )


def _scale_installed(cluster: Cluster, replicas: int) -> None:
    cluster.kubectl("scale", *_INSTALLED, f"--replicas={replicas}")


def _await_no_pods(cluster: Cluster, labels: Mapping[str, str]) -> None:
    """Wait for the processes: a pod that terminates still reconciles."""
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    limit = f"--timeout={_PAUSE_SECONDS}s"
    cluster.kubectl(
        *("wait", "pod", "-n", OPERATOR_NAMESPACE, "-l", selector, "--for=delete", limit),
        timeout_seconds=_PAUSE_SECONDS + 10,
    )


def _clear_namespace(cluster: Cluster, contender: Contender) -> None:
    limit = f"--timeout={_REMOVAL_SECONDS}s"
    with step(f"{contender.title}: namespace {contender.namespace} cleared"):
        cluster.kubectl(
            *("delete", "namespace", contender.namespace, "--ignore-not-found", "--wait", limit),
            timeout_seconds=_REMOVAL_SECONDS + 10,
        )


def _crd(contender: Contender) -> dict[str, Any]:
    """Return the product's CRD, in the contender's group and without names that would clash."""
    crd: dict[str, Any] = yaml.safe_load(_CRD.read_text())
    group = contender.kind.group
    if crd["spec"]["group"] == group:
        return crd
    crd["metadata"]["name"] = f"{contender.kind.plural}.{group}"
    crd["spec"]["group"] = group
    for clashing in ("shortNames", "categories"):
        crd["spec"]["names"].pop(clashing, None)
    return crd


def _identity(contender: Contender) -> list[dict[str, Any]]:
    """Return namespace, account and permissions: both operators may do everything."""
    account = {"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": contender.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": contender.namespace}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": SERVICE_ACCOUNT, "namespace": contender.namespace},
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": contender.namespace},
            "roleRef": role,
            "subjects": [account],
        },
    ]


def _kubeconfig(cluster: Cluster, contender: Contender, directory: Path) -> Path:
    """Write the administrator's kubeconfig with the account's token in place of its key."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    token = cluster.kubectl(
        *("-n", contender.namespace, "create", "token", SERVICE_ACCOUNT),
        f"--duration={_TOKEN_HOURS}h",
    )
    for user in config["users"]:
        user["user"] = {"token": token.strip()}
    path = directory / "kubeconfig"  # the directory is readable by its owner only
    path.write_text(json.dumps(config))
    return path
