"""What people type and read: columns, explain, scale, wait; and how the pods are locked up."""

import json

import pytest

from e2e.cluster import CommandFailed
from e2e.manifests import llm_deployment
from e2e.story import Namespace

pytestmark = pytest.mark.cluster

STATUS_BYTES = 8 * 1024


@pytest.fixture(scope="module")
def served(module_namespace: Namespace) -> Namespace:
    """A namespace with one Ready resource, ``chat``."""
    module_namespace.apply(llm_deployment("chat"))
    module_namespace.kubectl("wait", "--for=condition=Ready", "llmdeployment/chat", "--timeout=60s")
    return module_namespace


def test_get_shows_the_state_in_columns(served: Namespace) -> None:
    """``kubectl get llmd`` and the category ``llm`` show readiness, phase and model."""
    header, row = served.kubectl("get", "llmd", "chat").strip().splitlines()

    for column in ("NAME", "READY", "PHASE", "MODEL", "AGE"):
        assert column in header
    assert "Ready" in row
    assert "builtin://simulated" in row
    assert "llmdeployment" in served.kubectl("get", "llm", "-o", "name")


@pytest.mark.parametrize(
    "path", ["spec", "spec.model.source", "spec.autoscaling.metrics", "status.conditions"]
)
def test_explain_describes_the_fields(served: Namespace, path: str) -> None:
    """``kubectl explain`` finds a description for every field that it is asked for."""
    told = served.kubectl("explain", f"llmdeployment.{path}")

    assert "DESCRIPTION:" in told
    assert "<empty>" not in told


def test_the_status_is_small_and_says_what_is_simulated(served: Namespace) -> None:
    """The status stays below 8 KiB and marks a simulated model as such."""
    status = served.status("chat")

    assert len(json.dumps(status)) < STATUS_BYTES
    assert status["model"]["simulated"] is True
    assert status["endpoint"].startswith("http")


def test_pods_cannot_write_to_their_root_nor_reach_the_api(served: Namespace) -> None:
    """A server runs as user 10001 on a read-only root, without capabilities and API token."""
    pod = served.live_pods("chat")[0]
    container = pod["spec"]["containers"][0]["securityContext"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert container["readOnlyRootFilesystem"] is True
    assert container["capabilities"] == {"drop": ["ALL"]}

    inside = ("exec", pod["metadata"]["name"], "--", "sh", "-c")
    assert served.kubectl(*inside, "id -u").strip() == "10001"
    with pytest.raises(CommandFailed, match="Read-only file system"):
        served.kubectl(*inside, "touch /probe")
    with pytest.raises(CommandFailed):
        served.kubectl(*inside, "ls /var/run/secrets/kubernetes.io")


def test_scale_to_zero_stops_it_and_is_still_ready(served: Namespace) -> None:
    """``kubectl scale --replicas=0`` ends every pod; Ready stays True with reason Stopped."""
    served.kubectl("scale", "llmdeployment", "chat", "--replicas=0")

    served.until(
        "Ready says Stopped",
        lambda: served.condition("chat", "Ready").reason == "Stopped",
        within_seconds=30,
    )
    served.until("no pod is left", lambda: not served.live_pods("chat"), within_seconds=30)
    assert served.condition("chat", "Ready").status == "True"

    served.kubectl("scale", "llmdeployment", "chat", "--replicas=1")
    served.until_settled("chat")
    served.until("a pod serves", lambda: served.endpoints("chat"), within_seconds=30)
