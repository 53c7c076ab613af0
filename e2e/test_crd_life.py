"""The life of the CRD beside the chart, as docs/install.md tells it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.installation import (
    CHART,
    CRDS,
    OPERATOR_NAMESPACE,
    RELEASE,
    chart_values,
    install_operator,
    resize_operator,
)
from e2e.manifests import llm_deployment
from e2e.story import Cluster, Namespace
from llm_operator import kinds

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(600, func_only=True)]

NAME = "chat"
PLACE = f"--namespace={OPERATOR_NAMESPACE}"
NEW_FIELD = "monitoring"
"""A field of the spec that the chart of before does not have."""


def install(cluster: Cluster, chart: Path) -> None:
    """Install a chart for the first time, its CRD with it."""
    flags = (PLACE, "--create-namespace", "--wait", *chart_values(cluster.images))
    cluster.backend.helm("install", RELEASE, str(chart), *flags)
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{CRDS}", "--timeout=30s")


def upgrade(cluster: Cluster) -> None:
    """Upgrade to the chart of the working tree with the two commands of docs/install.md."""
    crds = cluster.backend.helm("show", "crds", str(CHART))
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=crds)
    cluster.backend.helm(
        "upgrade", RELEASE, str(CHART), PLACE, "--reset-then-reuse-values", "--wait"
    )


def uninstall(cluster: Cluster) -> None:
    """Uninstall the chart; the operator is stopped before it loses its rights.

    A request that is refused meanwhile would count against it in ``test_verbs_used``.
    """
    resize_operator(cluster.backend, 0)
    cluster.backend.helm("uninstall", RELEASE, PLACE, "--wait")


def resources_of_others(cluster: Cluster) -> list[str]:
    """Name the LLMDeployments that no test made: they would go with the CRD."""
    label = ("-l", "llm-operator-e2e=true", "-o", "jsonpath={.items[*].metadata.name}")
    of_tests = cluster.kubectl("get", "namespaces", *label).split()
    found = cluster.backend.get_json("llmdeployments", "--all-namespaces")["items"]
    places = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in found]
    return [f"{namespace}/{name}" for namespace, name in places if namespace not in of_tests]


@pytest.fixture
def bare(cluster: Cluster, namespace: Namespace) -> Iterator[Namespace]:
    """A namespace of the cluster as it was before: neither chart nor CRD."""
    if others := resources_of_others(cluster):
        pytest.skip(f"the CRD is deleted here, and with it {', '.join(others)}")
    uninstall(cluster)
    cluster.backend.delete("crd", CRDS)
    yield namespace
    install_operator(cluster.backend, cluster.images)


@pytest.fixture
def chart_of_before(tmp_path: Path) -> Path:
    """A copy of the chart whose CRD lacks the new field."""
    chart = shutil.copytree(CHART, tmp_path / "chart")
    file = chart / "crds" / "llmdeployments.yaml"
    crd: dict[str, Any] = yaml.safe_load(file.read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"][NEW_FIELD]
    file.write_text(yaml.safe_dump(crd))
    return chart


def pods(namespace: Namespace) -> set[str]:
    """Return the UIDs of the resource's live pods."""
    return {str(pod["metadata"]["uid"]) for pod in namespace.live_pods(NAME)}


def keeps_the_new_field(namespace: Namespace) -> bool:
    """Set the field and say whether the API server stored it; one that it does not know is dropped.

    By a merge patch: an apply on the server's side is refused for an unknown field.
    """
    monitoring = {"serviceMonitor": {"enabled": False}}
    namespace.patch(kinds.LLM_DEPLOYMENT, NAME, {"spec": {NEW_FIELD: monitoring}})
    return NEW_FIELD in namespace.resource(NAME)["spec"]


def test_the_crd_comes_with_the_chart_and_outlives_it(
    bare: Namespace, chart_of_before: Path
) -> None:
    """Install brings it, the upgrade takes it over, uninstall leaves it and all that serves.

    No pod is started again by any of it, nor by the next installation.
    """
    install(bare.cluster, chart_of_before)
    bare.apply(llm_deployment(NAME))
    bare.until_settled(NAME)
    serving = pods(bare)
    assert not keeps_the_new_field(bare)

    upgrade(bare.cluster)
    bare.until("the new field is kept", lambda: keeps_the_new_field(bare), within_seconds=30)
    bare.until_settled(NAME)
    assert pods(bare) == serving

    uninstall(bare.cluster)
    assert bare.cluster.kubectl("get", "crd", CRDS, "-o", "name")
    assert bare.resource(NAME)
    assert pods(bare) == serving
    assert len(bare.endpoints(NAME)) == 1

    install(bare.cluster, CHART)
    bare.kubectl("scale", "llmdeployment", NAME, "--replicas=2")
    bare.until("it is scaled", lambda: len(bare.endpoints(NAME)) == 2, within_seconds=60)
    assert pods(bare) > serving
