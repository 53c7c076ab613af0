"""The small Hub of ``e2e.hub`` as a pod of the cluster, so that hf:// runs the real client.

It runs from the server's image, whose tiny model it serves, with its own code mounted.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from e2e import hub
from e2e.installation import SERVER_PYTHON
from e2e.manifests import RESTRICTED_CONTAINER, RESTRICTED_POD, Manifest, restricted_namespace
from e2e.story import Cluster, Namespace
from llm_server import contract

NAMESPACE = "llm-operator-hub"
NAME = "hub"
PORT = 8080
LABELS = {"app": "llm-operator-e2e-hub"}
CODE = Path(hub.__file__).parent
CODE_PATH = "/hub/e2e/hub"
TOKEN = "hf_right"  # noqa: S105  # of this Hub alone


@dataclass(frozen=True, slots=True)
class Hub:
    """Where the Hub answers and what it holds."""

    endpoint: str
    public_repository: str = "e2e/public"
    private_repository: str = "e2e/private"
    failing_repository: str = "e2e/failing"
    revision: str = "main"
    token: str = TOKEN
    """Opens the private repository."""

    def server(self) -> Manifest:
        """Return the ``spec.server`` of a resource that downloads from here."""
        return {"env": [{"name": "HF_ENDPOINT", "value": self.endpoint}]}


def _content(hub_: Hub) -> dict[str, str]:
    tiny = {"main": f"{contract.BUILTIN_MODELS_PATH}/{contract.BUILTIN_TINY}"}
    repositories = {
        hub_.public_repository: {"revisions": tiny},
        hub_.private_repository: {"revisions": tiny, "token": hub_.token},
        hub_.failing_repository: {"revisions": tiny, "status": 503},
    }
    code = {path.name: path.read_text() for path in sorted(CODE.glob("*.py"))}
    return code | {"hub.json": json.dumps({"repositories": repositories})}


def _deployment(image: str) -> Manifest:
    command = [
        SERVER_PYTHON,
        "-m",
        "e2e.hub",
        f"--dir={CODE_PATH}",
        f"--port={PORT}",
        "--host=0.0.0.0",
    ]
    container = {
        "name": NAME,
        "image": image,
        "command": command,
        # The image sets PYTHONSAFEPATH: the working directory is not searched.
        "env": [{"name": "PYTHONPATH", "value": "/hub"}],
        "securityContext": RESTRICTED_CONTAINER,
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}},
        "readinessProbe": {"httpGet": {"path": "/-/health", "port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "content", "mountPath": CODE_PATH}],
    }
    pod = {
        "securityContext": RESTRICTED_POD,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "content", "configMap": {"name": NAME}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": pod},
        },
    }


def _service() -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": PORT}]},
    }


def start_hub(cluster: Cluster, place: str = NAMESPACE) -> Hub:
    """Have a Hub answer in a namespace of its own, and return it."""
    hub_ = Hub(f"http://{NAME}.{place}.svc")
    namespace = Namespace(cluster, place)
    namespace.apply(restricted_namespace(place))
    content = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}}
    namespace.apply(content | {"data": _content(hub_)})
    namespace.apply(_deployment(cluster.images.server))
    namespace.apply(_service())
    namespace.until("the Hub has an endpoint", lambda: namespace.endpoints(NAME), within_seconds=60)
    return hub_


def stop_hub(cluster: Cluster, place: str = NAMESPACE) -> None:
    """Remove a Hub and its namespace."""
    cluster.backend.delete("namespace", place)
