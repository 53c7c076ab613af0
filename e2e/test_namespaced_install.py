"""The chart with ``watchNamespace``: one namespace, a Role instead of a ClusterRole."""

import time
from collections.abc import Iterator

import pytest

from e2e import audit
from e2e.installation import CHART, chart_values, resize_operator
from e2e.manifests import Manifest, llm_deployment
from e2e.story import Cluster, Namespace
from llm_operator import kinds

pytestmark = pytest.mark.cluster

RELEASE = "scoped"
SERVICE_MONITORS: Manifest = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "names": {"kind": "ServiceMonitor", "plural": "servicemonitors"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}
"""The kind by name alone: the operator looks for it, whoever installed it."""


@pytest.fixture(scope="module")
def scoped(cluster: Cluster, module_namespace: Namespace) -> Iterator[Namespace]:
    """An operator that looks after its own namespace, alone in the cluster."""
    resize_operator(cluster.backend, 0)
    cluster.backend.apply(SERVICE_MONITORS)
    cluster.kubectl("wait", "--for=condition=Established", "crd", _crd(), "--timeout=30s")
    flags = [f"--set=watchNamespace={module_namespace.name}", "--set=replicas=1", "--skip-crds"]
    place = f"--namespace={module_namespace.name}"
    values = chart_values(cluster.images)
    cluster.backend.helm("install", RELEASE, str(CHART), place, "--wait", *flags, *values)
    yield module_namespace
    cluster.backend.helm("uninstall", RELEASE, place, "--wait")
    cluster.backend.delete("crd", _crd())
    resize_operator(cluster.backend, 2)


def _crd() -> str:
    return str(SERVICE_MONITORS["metadata"]["name"])


def test_it_serves_its_namespace_with_what_a_role_grants(scoped: Namespace) -> None:
    """A resource gets ready, its ServiceMonitor included, and no request is refused."""
    mark = scoped.cluster.backend.audit_mark()
    monitored = llm_deployment("chat", monitoring={"serviceMonitor": {"enabled": True}})

    scoped.apply(monitored)
    scoped.until_settled("chat")

    assert scoped.get(kinds.SERVICE_MONITOR, "chat")
    user = f"system:serviceaccount:{scoped.name}:{RELEASE}-llm-operator"
    requests = audit.requests_of(scoped.cluster.backend.audit_events(mark), user)
    assert requests
    assert not {str(r) for r in requests if r.forbidden or r.code == 401}


def test_it_has_no_right_outside_of_its_namespace(scoped: Namespace) -> None:
    """Namespaced mode installs neither a ClusterRole nor a binding to one."""
    of_release = ("-l", f"app.kubernetes.io/instance={RELEASE}", "-o", "name")

    assert not scoped.cluster.kubectl("get", "clusterroles,clusterrolebindings", *of_release)


def test_it_leaves_other_namespaces_alone(scoped: Namespace, namespace: Namespace) -> None:
    """A resource elsewhere stays as it was applied: no status, no children."""
    namespace.apply(llm_deployment("elsewhere"))
    time.sleep(3)

    assert namespace.status("elsewhere") == {}
    assert not namespace.kinds_of_children("elsewhere")
