"""The Kubernetes kinds that the operator watches and writes, with their REST paths.

Pure data: the client builds requests from it, the bridge its watches, the chart's RBAC test its
expected rules.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """One kind, namespaced but for nodes; ``group`` is empty for the core API."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """``apps/v1``, or ``v1`` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Return the REST path of the collection, of a namespace's part of it, or of one object."""
        prefix = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        return f"{prefix}{scope}/{self.plural}" + (f"/{name}" if name else "")


GROUP: Final = "serving.llm-operator.io"
VERSION: Final = "v1alpha1"

LLM_DEPLOYMENT: Final = ResourceKind(GROUP, VERSION, "llmdeployments", "LLMDeployment")
CONTROLLER_REVISION: Final = ResourceKind("apps", "v1", "controllerrevisions", "ControllerRevision")
DEPLOYMENT: Final = ResourceKind("apps", "v1", "deployments", "Deployment")
SERVICE: Final = ResourceKind("", "v1", "services", "Service")
SERVICE_ACCOUNT: Final = ResourceKind("", "v1", "serviceaccounts", "ServiceAccount")
AUTOSCALER: Final = ResourceKind(
    "autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"
)
DISRUPTION_BUDGET: Final = ResourceKind(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget"
)
SERVICE_MONITOR: Final = ResourceKind(
    "monitoring.coreos.com", "v1", "servicemonitors", "ServiceMonitor"
)
HTTP_ROUTE: Final = ResourceKind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
GATEWAY: Final = ResourceKind(HTTP_ROUTE.group, "v1", "gateways", "Gateway")
GATEWAY_CLASS: Final = ResourceKind(HTTP_ROUTE.group, "v1", "gatewayclasses", "GatewayClass")
"""Of no namespace; like Gateways only listed, and only where every namespace is looked after."""
POD: Final = ResourceKind("", "v1", "pods", "Pod")
ENDPOINT_SLICE: Final = ResourceKind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
EVENT: Final = ResourceKind("events.k8s.io", "v1", "events", "Event")
VOLUME_CLAIM: Final = ResourceKind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
NODE: Final = ResourceKind("", "v1", "nodes", "Node")
LEASE: Final = ResourceKind("coordination.k8s.io", "v1", "leases", "Lease")

APPLIED_KINDS: Final = (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    SERVICE,
    SERVICE_ACCOUNT,
    AUTOSCALER,
    DISRUPTION_BUDGET,
    HTTP_ROUTE,
    SERVICE_MONITOR,
)
"""Kinds the operator applies; each object carries the label ``MANAGED_BY_LABEL``."""

PRUNED_KINDS: Final = tuple(kind for kind in APPLIED_KINDS if kind != SERVICE_ACCOUNT)
"""Kinds of which a resource may come to have too many: its one account is wanted to its end."""

TRAFFIC_KINDS: Final = frozenset({SERVICE, HTTP_ROUTE})
"""Kinds that carry traffic."""

OPTIONAL_KINDS: Final = frozenset({HTTP_ROUTE, SERVICE_MONITOR})
"""Kinds that a cluster need not have; they are watched and applied where it has them."""

WATCHED_KINDS: Final = (*APPLIED_KINDS, POD, ENDPOINT_SLICE)
"""Kinds that are watched with the label selector beside the LLMDeployments themselves.

EndpointSlices carry the label because their controller copies the Service's labels.
"""

FIELD_MANAGER: Final = "llm-operator"
MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
INSTANCE_LABEL: Final = "app.kubernetes.io/instance"
NAME_LABEL: Final = "app.kubernetes.io/name"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
REVISION_LABEL: Final = f"{GROUP}/revision"
SNAPSHOT_ANNOTATION: Final = f"{GROUP}/snapshot"
COMMAND_ANNOTATION: Final = f"{GROUP}/command"
"""``<verb> <revision hash> <nonce>``, written by people; executed once per nonce."""

WATCH_SELECTOR: Final = f"{MANAGED_BY_LABEL}={FIELD_MANAGER}"
