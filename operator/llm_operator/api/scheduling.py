"""Where pods may run: tolerations and topology spread, as in ``core/v1``.

The renderer passes them on unchanged.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from llm_operator.api.affinity import LabelSelector
from llm_operator.api.schema import (
    ATOMIC,
    ApiModel,
    Int32,
    LabelKey,
    LabelValue,
    Rule,
    list_map,
)


class TolerationOperator(StrEnum):
    """How a toleration's key meets a taint."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(ApiModel):
    """A taint that the pods accept."""

    rules = (
        Rule(
            "value",
            "allowed only with operator Equal",
            "!has(self.value) || !has(self.operator) || self.operator != 'Exists'",
            lambda self: self.value is None or self.operator is not TolerationOperator.EXISTS,
        ),
        Rule(
            "key",
            "required, but for operator Exists, which then means every taint",
            "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
            lambda self: self.key is not None or self.operator is TolerationOperator.EXISTS,
        ),
        Rule(
            "tolerationSeconds",
            "allowed only with effect NoExecute",
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            lambda self: self.toleration_seconds is None or self.effect is TaintEffect.NO_EXECUTE,
        ),
    )

    key: LabelKey | None = None
    """Key of the taint. Absent with operator Exists: every taint."""
    operator: TolerationOperator | None = None
    """Exists or Equal. Absent: Equal."""
    value: LabelValue | None = None
    """Value of the taint, for operator Equal."""
    effect: TaintEffect | None = None
    """Effect of the taint. Absent: every effect."""
    toleration_seconds: Annotated[Int32, Field(ge=0)] | None = None
    """How long the pods stay after a NoExecute taint, in seconds. Absent: for ever."""


class Unsatisfiable(StrEnum):
    """What happens when a spread cannot be kept."""

    DO_NOT_SCHEDULE = "DoNotSchedule"
    SCHEDULE_ANYWAY = "ScheduleAnyway"


class NodeInclusion(StrEnum):
    """Whether a spread takes a node's affinity or taints into account."""

    HONOR = "Honor"
    IGNORE = "Ignore"


class TopologySpread(ApiModel):
    """How evenly pods are spread over domains."""

    rules = (
        Rule(
            "minDomains",
            "allowed only with whenUnsatisfiable DoNotSchedule",
            "!has(self.minDomains) || self.whenUnsatisfiable == 'DoNotSchedule'",
            lambda self: (
                self.min_domains is None or self.when_unsatisfiable is Unsatisfiable.DO_NOT_SCHEDULE
            ),
        ),
    )

    max_skew: Annotated[Int32, Field(ge=1)]
    """The most by which the numbers of pods in two domains may differ."""
    topology_key: LabelKey
    """Label of nodes; nodes with the same value are one domain."""
    when_unsatisfiable: Unsatisfiable
    """DoNotSchedule leaves the pod pending; ScheduleAnyway takes the least bad node."""
    label_selector: LabelSelector | None = None
    """The pods that are counted. Absent: none."""
    min_domains: Annotated[Int32, Field(ge=1)] | None = None
    """With fewer domains than this, the smallest count is taken as 0. Absent: 1."""
    match_label_keys: Annotated[tuple[LabelKey, ...], Field(max_length=8), ATOMIC] = ()
    """Labels of the pod itself whose values select too."""
    node_affinity_policy: NodeInclusion | None = None
    """Whether only nodes of the pod's own affinity count. Absent: Honor."""
    node_taints_policy: NodeInclusion | None = None
    """Whether only nodes whose taints are tolerated count. Absent: Ignore."""


TopologySpreads = Annotated[
    tuple[TopologySpread, ...],
    Field(max_length=8),
    list_map("topologyKey", "whenUnsatisfiable"),
]
Tolerations = Annotated[tuple[Toleration, ...], Field(max_length=32), ATOMIC]
