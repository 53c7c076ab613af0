"""What the faults need of the whole cluster: namespaces that refuse pods, policies, a class."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from e2e.cluster import CommandFailed
from e2e.diagnose.fault import Admission
from e2e.manifests import Manifest, restricted_namespace
from e2e.story import Cluster, Namespace
from llm_operator.kinds import ResourceKind

API_SERVER_ADDRESS: Final = "10.96.0.1:443"
"""TLS by an authority that the node's containerd does not know."""

RUNTIME_CLASS: Final = "e2e-diagnose"
HANDLER: Final = "no-such-handler"
_NAME: Final = "e2e-diagnose"
_ADMISSION_LABEL: Final = "e2e.llm-operator.io/admission"
_ADMISSION: Final = "admissionregistration.k8s.io/v1"
_SERVICE_ACCOUNTS: Final = ResourceKind("", "v1", "serviceaccounts", "ServiceAccount")
_PODS: Final = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "operations": ["CREATE"],
    "resources": ["pods"],
}

QUOTA: Final = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "no-pods"},
    "spec": {"hard": {"pods": "0"}},
}
LIMITS: Final = {
    "apiVersion": "v1",
    "kind": "LimitRange",
    "metadata": {"name": "small"},
    "spec": {"limits": [{"type": "Container", "max": {"memory": "64Mi"}}]},
}


def _object(api_version: str, kind: str, **content: object) -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": _NAME}, **content}


def _selecting(admission: Admission) -> Manifest:
    return {"matchLabels": {_ADMISSION_LABEL: admission.name}}


def _objects() -> list[Manifest]:
    policy = {
        "matchConstraints": {"resourceRules": [_PODS]},
        "validations": [{"expression": "false", "message": "no pods on Sundays"}],
    }
    binding = {
        "policyName": _NAME,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": _selecting(Admission.POLICY)},
    }
    webhook = {
        "name": "diagnose.llm-operator.io",
        "rules": [_PODS],
        "namespaceSelector": _selecting(Admission.WEBHOOK),
        "clientConfig": {"service": {"namespace": "default", "name": "no-such-webhook"}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 2,
    }
    return [
        _object(_ADMISSION, "ValidatingAdmissionPolicy", spec=policy),
        _object(_ADMISSION, "ValidatingAdmissionPolicyBinding", spec=binding),
        _object(_ADMISSION, "ValidatingWebhookConfiguration", webhooks=[webhook]),
        _object("node.k8s.io/v1", "RuntimeClass", handler=HANDLER),
    ]


@contextmanager
def cluster_objects(cluster: Cluster) -> Iterator[None]:
    """Have policy, webhook and class; gone afterwards."""
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": _objects()})
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=manifest)
    try:
        yield
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=manifest)


@contextmanager
def namespaces(cluster: Cluster, prefix: str) -> Iterator[dict[Admission, Namespace]]:
    """Have a namespace for each way to admit pods; deleted afterwards, not waited for."""
    made = {admission: _namespace(cluster, prefix, admission) for admission in Admission}
    made[Admission.QUOTA].apply(QUOTA)
    made[Admission.LIMITS].apply(LIMITS)
    try:
        for namespace in made.values():
            _await_service_account(namespace)
        yield made
    finally:
        for namespace in made.values():
            with suppress(CommandFailed):
                cluster.kubectl("delete", "namespace", namespace.name, "--wait=false")


def _namespace(cluster: Cluster, prefix: str, admission: Admission) -> Namespace:
    namespace = Namespace(cluster, f"{prefix}-{admission.name.lower()}")
    manifest = restricted_namespace(namespace.name)
    manifest["metadata"]["labels"][_ADMISSION_LABEL] = admission.name
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    return namespace


def _await_service_account(namespace: Namespace) -> None:
    namespace.until(
        "the default service account is there",
        lambda: namespace.get(_SERVICE_ACCOUNTS, "default"),
        within_seconds=30,
    )
