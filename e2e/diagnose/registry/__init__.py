"""A registry that answers every pull with the status that stands in the image's name.

It runs as a pod; the node's containerd is told where the made-up host name is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from e2e.installation import SERVER_PYTHON
from e2e.manifests import Manifest, client_pod
from e2e.story import Cluster, Namespace
from llm_operator.kinds import SERVICE

ADDRESS: Final = "faulty.registry.test"
_NAME: Final = "faulty-registry"
_PORT: Final = 8080
_CODE: Final = Path(__file__).with_name("serve.py")
_HOSTS: Final = f"/etc/containerd/certs.d/{ADDRESS}"


def _pod(image: str) -> Manifest:
    pod = client_pod(_NAME, image, [SERVER_PYTHON, "/code/serve.py", str(_PORT)])
    pod["metadata"]["labels"] = {"app": _NAME}
    (container,) = pod["spec"]["containers"]
    probe = {"httpGet": {"path": "/v2/", "port": _PORT}, "periodSeconds": 1}
    container |= {
        "readinessProbe": probe,
        "volumeMounts": [{"name": "code", "mountPath": "/code"}],
    }
    pod["spec"]["volumes"] = [{"name": "code", "configMap": {"name": _NAME}}]
    return pod


def _service() -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _NAME},
        "spec": {"selector": {"app": _NAME}, "ports": [{"port": 80, "targetPort": _PORT}]},
    }


@contextmanager
def faulty_registry(namespace: Namespace) -> Iterator[None]:
    """Have it answer at ``ADDRESS`` for the node."""
    cluster = namespace.cluster
    code = {"serve.py": _CODE.read_text()}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _NAME}}
    namespace.apply({**config_map, "data": code})
    namespace.apply(_pod(cluster.images.server))
    namespace.apply(_service())
    namespace.until("the registry answers", lambda: namespace.endpoints(_NAME), within_seconds=60)
    _tell_containerd(cluster, namespace)
    try:
        yield
    finally:
        cluster.backend.node_exec("rm", "-rf", _HOSTS)


def _tell_containerd(cluster: Cluster, namespace: Namespace) -> None:
    service = namespace.get(SERVICE, _NAME)
    assert service is not None
    url = f"http://{service['spec']['clusterIP']}"
    lines = f'server = "{url}"\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n'
    script = f"mkdir -p {_HOSTS} && printf '%s' '{lines}' > {_HOSTS}/hosts.toml"
    cluster.backend.node_exec("sh", "-c", script)
