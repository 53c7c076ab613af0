"""Everything that should exist for a resource besides its revisions; pure and deterministic."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from llm_operator import kinds
from llm_operator.desired.identity import Identity
from llm_operator.desired.pod import HTTP_PORT_NAME, PROBE_PORT_NAME, render_pod_template
from llm_operator.desired.revision import Revision
from llm_server import contract

NEVER_SECONDS: Final = 2147483647
"""The Deployment's own deadline is switched off: the rollout has one (api.md)."""

_SCALE_DOWN_SECONDS: Final = 60
_METRIC_RESOURCES: Final = {"CPU": "cpu", "Memory": "memory"}


@dataclass(frozen=True, slots=True)
class HotSpec:
    """The hot part of a spec as plain JSON: changing it touches no pod."""

    service: Mapping[str, Any]
    autoscaling: Mapping[str, Any] | None
    service_monitor: Mapping[str, Any] | None
    """Labels and the like of the ServiceMonitor; None when it is not asked for."""
    gateway: Mapping[str, Any] | None = None
    """parentRefs and hostnames of the HTTPRoute; None when it is not asked for."""


def render_objects(
    identity: Identity, hot: HotSpec, hashes: Iterable[str], total: int
) -> tuple[dict[str, Any], ...]:
    """Render all objects but revisions, Deployments, the account and what carries traffic.

    ``hashes`` are the revisions that take traffic.
    """
    objects = []
    if hot.autoscaling is not None:
        objects.append(render_autoscaler(identity, hot.autoscaling))
    if total >= 2:
        objects.append(render_disruption_budget(identity, hashes))
    if hot.service_monitor is not None:
        objects.append(render_service_monitor(identity, hot.service_monitor))
    return tuple(objects)


def render_deployment(identity: Identity, revision: Revision, replicas: int) -> dict[str, Any]:
    """Render one revision's Deployment, with the snapshot that can rebuild the revision."""
    manifest = identity.manifest(
        kinds.DEPLOYMENT,
        identity.child_name(revision.hash),
        revision.hash,
        spec={
            "replicas": replicas,
            "revisionHistoryLimit": 0,
            "progressDeadlineSeconds": NEVER_SECONDS,
            "selector": {"matchLabels": identity.selector(revision.hash)},
            "template": render_pod_template(identity, revision),
        },
    )
    snapshot = json.dumps(revision.data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    manifest["metadata"]["annotations"] = {kinds.SNAPSHOT_ANNOTATION: snapshot}
    return manifest


def render_service_account(identity: Identity) -> dict[str, Any]:
    """Render the account of the pods; they never talk to the API server."""
    return identity.manifest(
        kinds.SERVICE_ACCOUNT, identity.name, automountServiceAccountToken=False
    )


def render_service(
    identity: Identity, service: Mapping[str, Any], name: str, selector: Mapping[str, str]
) -> dict[str, Any]:
    """Render a Service with the settings ``service``; moving traffic is changing its selector."""
    manifest = identity.manifest(
        kinds.SERVICE,
        name,
        spec={
            "type": service["type"],
            "selector": dict(selector),
            "ports": [
                {
                    "name": HTTP_PORT_NAME,
                    "port": service["port"],
                    "targetPort": HTTP_PORT_NAME,
                    "protocol": "TCP",
                }
            ],
        },
    )
    if service.get("annotations"):
        manifest["metadata"]["annotations"] = dict(service["annotations"])
    return manifest


def render_autoscaler(identity: Identity, autoscaling: Mapping[str, Any]) -> dict[str, Any]:
    """Render the HPA; its target is the resource itself, so that scaling survives a promotion."""
    stabilization = {"scaleDown": {"stabilizationWindowSeconds": _SCALE_DOWN_SECONDS}}
    return identity.manifest(
        kinds.AUTOSCALER,
        identity.name,
        spec={
            "scaleTargetRef": {
                "apiVersion": kinds.LLM_DEPLOYMENT.api_version,
                "kind": kinds.LLM_DEPLOYMENT.kind,
                "name": identity.name,
            },
            "minReplicas": autoscaling["minReplicas"],
            "maxReplicas": autoscaling["maxReplicas"],
            "metrics": [_metric(metric) for metric in autoscaling["metrics"]],
            "behavior": autoscaling.get("behavior") or stabilization,
        },
    )


def _metric(metric: Mapping[str, Any]) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": metric["targetUtilizationPercent"]}
    resource = {"name": _METRIC_RESOURCES[metric["type"]], "target": target}
    return {"type": "Resource", "resource": resource}


def render_disruption_budget(identity: Identity, hashes: Iterable[str]) -> dict[str, Any]:
    """Render the PDB over the pods that take traffic; loading pods neither count nor block."""
    taking = {"key": kinds.REVISION_LABEL, "operator": "In", "values": sorted(hashes)}
    return identity.manifest(
        kinds.DISRUPTION_BUDGET,
        identity.name,
        spec={
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {
                "matchLabels": identity.open_selector(),
                "matchExpressions": [taking],
            },
        },
    )


def render_service_monitor(identity: Identity, monitor: Mapping[str, Any]) -> dict[str, Any]:
    """Render the ServiceMonitor; it scrapes the probe port, which the Service does not expose."""
    manifest = identity.manifest(
        kinds.SERVICE_MONITOR,
        identity.name,
        spec={
            "selector": {"matchLabels": {kinds.INSTANCE_LABEL: identity.name}},
            "endpoints": [{"targetPort": PROBE_PORT_NAME, "path": contract.METRICS_PATH}],
        },
    )
    manifest["metadata"]["labels"] = (
        dict(monitor.get("labels", {})) | manifest["metadata"]["labels"]
    )
    return manifest
