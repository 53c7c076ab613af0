"""An operator as kopf's documentation teaches it: the peer of the benchmark.

One handler for creation and update, blocking calls of the official client in kopf's threads, get
then create or patch, owner references by ``kopf.adopt``, kopf's own progress and status keeping.
It makes the kinds that the product makes and works as such operators do; what happens to a child
afterwards is not its business. Started by ``kopf run -m benchmarks.plain_kopf``.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import kopf
from kubernetes import client

from benchmarks.contender import PEER_KIND

Manifest = dict[str, Any]
MANAGER: Final = "plain-kopf"
IMMUTABLE: Final = frozenset({"ControllerRevision"})


@dataclass(frozen=True, slots=True)
class ChildCalls:
    """The three calls of the client for one kind."""

    read: Callable[..., Any]
    create: Callable[..., Any]
    patch: Callable[..., Any]


@functools.cache
def calls_of(kind: str) -> ChildCalls:
    """Return the client's calls for a kind of child; kept, so that connections are used again."""
    core, apps = client.CoreV1Api(), client.AppsV1Api()
    api, noun = {
        "ServiceAccount": (core, "service_account"),
        "Service": (core, "service"),
        "ControllerRevision": (apps, "controller_revision"),
        "Deployment": (apps, "deployment"),
    }[kind]
    verbs = (getattr(api, f"{verb}_namespaced_{noun}") for verb in ("read", "create", "patch"))
    return ChildCalls(*verbs)


def render(name: str, spec: Mapping[str, Any]) -> list[Manifest]:
    """Return the children, the Service first: it is what users wait for."""
    labels = {"app.kubernetes.io/instance": name, "app.kubernetes.io/managed-by": MANAGER}
    service = spec.get("service", {})
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": name,
                "labels": labels,
                "annotations": dict(service.get("annotations", {})),
            },
            "spec": {
                "type": service.get("type", "ClusterIP"),
                "selector": labels,
                "ports": [{"name": "http", "port": service.get("port", 80), "targetPort": "http"}],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "labels": labels},
            "automountServiceAccountToken": False,
        },
        {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {"name": f"{name}-revision", "labels": labels},
            "revision": 1,
            "data": {"spec": {"model": dict(spec["model"])}},
        },
        _deployment(f"{name}-server", name, labels, spec),
    ]


def _deployment(
    name: str, account: str, labels: Mapping[str, str], spec: Mapping[str, Any]
) -> Manifest:
    container = {
        "name": "server",
        "image": "llm-server:0.1.0",
        "env": [{"name": "MODEL_SOURCE", "value": spec["model"]["source"]}],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}},
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
    }
    pod = {"serviceAccountName": account, "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "replicas": spec.get("replicas", 1),
            "selector": {"matchLabels": dict(labels)},
            "template": {"metadata": {"labels": dict(labels)}, "spec": pod},
        },
    }


def ensure(namespace: str, manifest: Manifest) -> None:
    """Create the child if it is not there, patch it if it is and may change."""
    calls, name = calls_of(manifest["kind"]), manifest["metadata"]["name"]
    try:
        calls.read(name, namespace)
    except client.ApiException as error:
        if error.status != 404:
            raise
        calls.create(namespace, manifest)
        return
    if manifest["kind"] not in IMMUTABLE:
        calls.patch(name, namespace, manifest)


@kopf.on.create(PEER_KIND.group, PEER_KIND.version, PEER_KIND.plural)
@kopf.on.update(PEER_KIND.group, PEER_KIND.version, PEER_KIND.plural)
def apply_children(
    spec: kopf.Spec, meta: kopf.Meta, name: str, patch: kopf.Patch, **_: Any
) -> None:
    """Bring the children to what the spec says, then say so in the status."""
    for child in render(name, spec):
        kopf.adopt(child)
        ensure(meta["namespace"], child)
    patch.status["observedGeneration"] = meta["generation"]
    patch.status["phase"] = "Ready"
    patch.status["desiredReplicas"] = spec.get("replicas", 1)
