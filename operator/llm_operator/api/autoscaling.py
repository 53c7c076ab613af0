"""The autoscaling part of the spec: what the rendered HorizontalPodAutoscaler is made from."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from llm_operator.api.schema import ATOMIC, ApiModel, Rule, list_map

REPLICAS_MAX = 10000
_Replicas = Annotated[int, Field(strict=True, ge=1, le=REPLICAS_MAX)]


class MetricType(StrEnum):
    """What the autoscaler looks at."""

    CPU = "CPU"
    MEMORY = "Memory"


class ScalingMetric(ApiModel):
    """One figure that the number of pods follows."""

    type: MetricType
    """CPU or Memory: the mean use of all serving pods in percent of their request."""
    target_utilization_percent: Annotated[int, Field(strict=True, ge=1, le=1000)]
    """The use to aim at, in percent of the request; above 100 where pods may burst."""


class SelectPolicy(StrEnum):
    """Which of several policies counts."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


class ScalingPolicyType(StrEnum):
    """What a policy's value is a number of."""

    PODS = "Pods"
    PERCENT = "Percent"


class ScalingPolicy(ApiModel):
    """How much may change in a period."""

    type: ScalingPolicyType
    """What value is a number of."""
    value: Annotated[int, Field(strict=True, ge=1, le=REPLICAS_MAX)]
    """The most that may change in a period."""
    period_seconds: Annotated[int, Field(strict=True, ge=1, le=1800)]
    """Length of the period in seconds."""


class ScalingRules(ApiModel):
    """How fast one direction of scaling goes."""

    stabilization_window_seconds: Annotated[int, Field(strict=True, ge=0, le=3600)] | None = None
    """The most cautious wish of so many seconds counts. Absent: 0 up, 300 down."""
    select_policy: SelectPolicy | None = None
    """Which of the policies counts; Disabled switches the direction off. Absent: Max."""
    policies: Annotated[tuple[ScalingPolicy, ...], Field(max_length=8), ATOMIC] = ()
    """The policies. Empty: 4 pods or 100 % in 15 s up, 100 % in 15 s down."""


class ScalingBehavior(ApiModel):
    """How fast the autoscaler changes the number of pods, as in autoscaling/v2."""

    scale_up: ScalingRules | None = None
    """Upward."""
    scale_down: ScalingRules | None = None
    """Downward."""


class Autoscaling(ApiModel):
    """Bounds, figures and speed of the autoscaler."""

    rules = (
        Rule(
            "minReplicas",
            "must be less than or equal to maxReplicas",
            "self.minReplicas <= self.maxReplicas",
            lambda self: self.min_replicas <= self.max_replicas,
        ),
    )

    min_replicas: _Replicas = 1
    """The fewest pods. replicas: 0 stops the resource all the same."""
    max_replicas: _Replicas
    """The most pods."""
    metrics: Annotated[
        tuple[ScalingMetric, ...], Field(min_length=1, max_length=2), list_map("type")
    ]
    """What the number of pods follows; with two, the higher number of pods counts."""
    behavior: ScalingBehavior | None = None
    """How fast it changes. Absent: down after 60 s, otherwise as autoscaling/v2."""
