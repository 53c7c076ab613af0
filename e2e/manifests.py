"""Builders of the objects that the tests apply: each names only what its test is about."""

from typing import Any

from llm_operator import kinds

Manifest = dict[str, Any]

RESTRICTED_POD: Manifest = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED_CONTAINER: Manifest = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


TORCH_RESOURCES: Manifest = {
    "requests": {"cpu": "100m", "memory": "512Mi"},
    "limits": {"memory": "3Gi"},
}
"""What a server needs that computes; below 1 GiB its libraries are read again and again."""


AT_ONCE: Manifest = {"strategy": "BlueGreen", "bakeSeconds": 0}
"""``spec.rollout`` for tests of other things: a new revision takes over as soon as it is ready."""


def llm_deployment(
    name: str = "chat", *, source: str = "builtin://simulated", **spec: object
) -> Manifest:
    """An LLMDeployment with small requests that changes ``AT_ONCE``.

    ``spec`` adds or replaces its top-level fields.
    """
    small = {"requests": {"cpu": "10m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}}
    return {
        "apiVersion": kinds.LLM_DEPLOYMENT.api_version,
        "kind": kinds.LLM_DEPLOYMENT.kind,
        "metadata": {"name": name},
        "spec": {"model": {"source": source}, "resources": small, "rollout": AT_ONCE, **spec},
    }


def service(name: str) -> Manifest:
    """A Service of somebody else."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"app": "somebody-else"}},
        "spec": {"selector": {"app": "somebody-else"}, "ports": [{"port": 80}]},
    }


def claim(name: str) -> Manifest:
    """A PersistentVolumeClaim of 1 GiB in the default storage class."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def secret(name: str, **values: str) -> Manifest:
    """An opaque Secret."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": values,
    }


def restricted_namespace(name: str) -> Manifest:
    """A namespace that admits only pods which meet PodSecurity ``restricted``."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {
                "pod-security.kubernetes.io/enforce": "restricted",
                "llm-operator-e2e": "true",
            },
        },
    }


def client_pod(name: str, image: str, command: list[str]) -> Manifest:
    """A pod that runs one command of an image to its end."""
    container = {
        "name": "client",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "securityContext": RESTRICTED_CONTAINER,
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "llm-operator-e2e-client"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": RESTRICTED_POD,
            "containers": [container],
        },
    }
