"""``spec``: what a user asks for. Each top-level field says what its change does.

Fields that start a revision have no defaults here: a schema default is applied to stored objects
too, and a new one would restart a fleet when the CRD is upgraded. What absence means for them is
the renderer's, which a revision records.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from llm_operator import kinds
from llm_operator.api.autoscaling import REPLICAS_MAX, Autoscaling, MetricType
from llm_operator.api.model import ServedModel
from llm_operator.api.pod_template import PodTemplate
from llm_operator.api.quantity import parse_quantity
from llm_operator.api.rollout import RolloutSettings
from llm_operator.api.schema import (
    Annotations,
    ApiModel,
    Effect,
    Flag,
    Labels,
    Quantity,
    Rule,
    keys_are_qualified,
    matches,
)
from llm_operator.api.server import Server
from llm_operator.api.traffic import Traffic

_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")
_Amounts = Annotated[Mapping[str, Quantity], Field(max_length=8)]


class Accelerator(ApiModel):
    """The device that each pod runs on."""

    rules = (
        matches(
            "resourceName",
            r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?",
            "an extended resource such as nvidia.com/gpu",
        ),
    )

    resource_name: Annotated[str, Field(min_length=3, max_length=317)]
    """Extended resource that the device plugin offers, e.g. nvidia.com/gpu."""
    count: Annotated[int, Field(strict=True, ge=1, le=1)] | None = None
    """Devices per pod; one process uses one device. Absent: 1."""


def _only_compute(field: str) -> Rule:
    names = ", ".join(f"'{name}'" for name in _COMPUTE)
    return Rule(
        field,
        f"may name only {', '.join(_COMPUTE)}; devices go into spec.accelerator",
        f"!has(self.{field}) || self.{field}.all(name, name in [{names}])",
        lambda self: set(getattr(self, field)) <= set(_COMPUTE),
    )


class Resources(ApiModel):
    """Compute resources of each pod."""

    rules = (
        _only_compute("requests"),
        _only_compute("limits"),
        Rule(
            "requests",
            "must be less than or equal to limits",
            "!has(self.requests) || !has(self.limits) || self.requests.all(name,"
            " !(name in self.limits) || !isQuantity(string(self.requests[name]))"
            " || !isQuantity(string(self.limits[name]))"
            " || quantity(string(self.requests[name]))"
            ".compareTo(quantity(string(self.limits[name]))) <= 0)",
            lambda self: all(
                parse_quantity(self.requests[name]) <= parse_quantity(self.limits[name])
                for name in self.requests.keys() & self.limits.keys()
            ),
        ),
    )

    requests: _Amounts = Field(default_factory=dict)
    """What a node must have free: cpu, memory, ephemeral-storage. Of cpu and memory, one with
    neither request nor limit gets a small request."""
    limits: _Amounts = Field(default_factory=dict)
    """What a pod may not exceed: cpu, memory, ephemeral-storage."""

    def covers(self, name: str) -> bool:
        """Whether utilisation of a resource is defined: it has a request or a limit."""
        return name in self.requests or name in self.limits


class ServiceType(StrEnum):
    """Where the Service can be reached from."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class ServiceSettings(ApiModel):
    """The stable address of the resource."""

    rules = (keys_are_qualified("annotations"),)

    type: ServiceType = ServiceType.CLUSTER_IP
    """Where it can be reached from."""
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] = 80
    """Port of the Service."""
    annotations: Annotations = Field(default_factory=dict)
    """Annotations of the Service, e.g. for a load balancer."""


_OWN_LABELS: Final = (
    kinds.NAME_LABEL,
    kinds.INSTANCE_LABEL,
    kinds.COMPONENT_LABEL,
    kinds.MANAGED_BY_LABEL,
)
_LABELS_ARE_NOT_OURS: Final = Rule(
    "labels",
    f"must not have {', '.join(_OWN_LABELS)}: the operator sets these itself",
    f"!has(self.labels) || !self.labels.exists(key, key in {list(_OWN_LABELS)})",
    lambda self: not set(_OWN_LABELS) & set(self.labels),
)


class ServiceMonitor(ApiModel):
    """A ServiceMonitor of the Prometheus operator."""

    rules = (keys_are_qualified("labels"), _LABELS_ARE_NOT_OURS)

    enabled: Flag = False
    """Whether it is rendered; asked for and unknown to the cluster is said in status."""
    labels: Labels = Field(default_factory=dict)
    """Labels that a Prometheus selects it by; none that the operator sets."""


class Monitoring(ApiModel):
    """How the resource's metrics are scraped."""

    service_monitor: ServiceMonitor = ServiceMonitor()
    """A ServiceMonitor."""


def _metric_has_resource(metric: MetricType, name: str) -> Rule:
    given = " || ".join(
        f"(has(self.resources.{part}) && '{name}' in self.resources.{part})"
        for part in ("requests", "limits")
    )
    return Rule(
        "autoscaling",
        f"a {metric} metric needs a request or limit of {name} in spec.resources",
        f"!has(self.autoscaling) || !self.autoscaling.metrics.exists(metric, metric.type =="
        f" '{metric}') || (has(self.resources) && ({given}))",
        lambda self: (
            self.autoscaling is None
            or all(entry.type is not metric for entry in self.autoscaling.metrics)
            or (self.resources is not None and self.resources.covers(name))
        ),
    )


class Spec(ApiModel):
    """What is asked for."""

    rules = (
        _metric_has_resource(MetricType.CPU, "cpu"),
        _metric_has_resource(MetricType.MEMORY, "memory"),
    )

    model: Annotated[ServedModel, Effect.REVISION]
    """The model that is served."""
    server: Annotated[Server | None, Effect.REVISION] = None
    """The server and its settings."""
    replicas: Annotated[int, Field(strict=True, ge=0, le=REPLICAS_MAX), Effect.HOT] = 1
    """Number of pods; written by kubectl scale and by the autoscaler too. 0 stops the resource,
    with autoscaling as well. With autoscaling, leave it out of manifests."""
    accelerator: Annotated[Accelerator | None, Effect.REVISION] = None
    """The device that each pod runs on. Absent: CPU."""
    resources: Annotated[Resources | None, Effect.REVISION] = None
    """Compute resources of each pod."""
    pod_template: Annotated[PodTemplate | None, Effect.REVISION] = None
    """Additions to the pods."""
    service: Annotated[ServiceSettings, Effect.HOT] = ServiceSettings()
    """The stable address of the resource."""
    autoscaling: Annotated[Autoscaling | None, Effect.HOT] = None
    """An autoscaler for the number of pods. Absent: replicas is fixed."""
    monitoring: Annotated[Monitoring, Effect.HOT] = Monitoring()
    """How metrics are scraped."""
    rollout: Annotated[RolloutSettings, Effect.HOT] = RolloutSettings()
    """How a change of revision goes."""
    traffic: Annotated[Traffic, Effect.HOT] = Traffic()
    """How requests are split between two revisions."""
