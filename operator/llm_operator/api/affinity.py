"""What pods want to be on, near to, or far from: the affinity of ``core/v1``, and label selectors.

The renderer passes them on unchanged.
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from llm_operator.api.schema import (
    ATOMIC,
    ApiModel,
    DnsLabel,
    LabelKey,
    Labels,
    LabelValue,
    Rule,
    keys_are_qualified,
)


class SelectorOperator(StrEnum):
    """How a label's value meets a list of values."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class NodeOperator(StrEnum):
    """How a node's label meets a list of values."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GT = "Gt"
    LT = "Lt"


_Values = Annotated[tuple[LabelValue, ...], Field(max_length=32), ATOMIC]


class LabelRequirement(ApiModel):
    """A condition on one label of a pod or namespace."""

    rules = (
        Rule(
            "values",
            "required with operator In or NotIn, and not allowed with others",
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
            lambda self: self.operator.endswith("In") == bool(self.values),
        ),
    )

    key: LabelKey
    """Key of the label."""
    operator: SelectorOperator
    """How the label's value meets values."""
    values: _Values = ()
    """The values; required with In and NotIn, forbidden with Exists and DoesNotExist."""


class LabelSelector(ApiModel):
    """Selects by labels; an empty one selects everything."""

    empty_is_meant: ClassVar[bool] = True
    rules = (keys_are_qualified("matchLabels"),)

    match_labels: Labels = Field(default_factory=dict)
    """Labels that must have exactly these values."""
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(max_length=16), ATOMIC] = ()
    """Conditions that must all hold."""


class NodeRequirement(ApiModel):
    """A condition on one label or field of a node."""

    rules = (
        Rule(
            "values",
            "needs one entry with operator Gt or Lt, at least one with In or NotIn,"
            " and none with Exists or DoesNotExist",
            "self.operator in ['In', 'NotIn'] ? has(self.values) && self.values.size() > 0 :"
            " (has(self.values) ? self.values.size() : 0) =="
            " (self.operator in ['Gt', 'Lt'] ? 1 : 0)",
            lambda self: (
                bool(self.values)
                if self.operator.endswith("In")
                else len(self.values) == (self.operator in {NodeOperator.GT, NodeOperator.LT})
            ),
        ),
    )

    key: LabelKey
    """Key of the label, or path of the field."""
    operator: NodeOperator
    """How the value meets values; Gt and Lt compare whole numbers."""
    values: _Values = ()
    """The values; one with Gt and Lt, none with Exists and DoesNotExist."""


_NodeRequirements = Annotated[tuple[NodeRequirement, ...], Field(max_length=16), ATOMIC]


class NodeSelectorTerm(ApiModel):
    """Conditions on a node that must all hold."""

    match_expressions: _NodeRequirements = ()
    """Conditions on labels of the node."""
    match_fields: _NodeRequirements = ()
    """Conditions on fields of the node, e.g. metadata.name."""


class NodeSelector(ApiModel):
    """Terms of which a node must fulfil at least one."""

    node_selector_terms: Annotated[
        tuple[NodeSelectorTerm, ...], Field(min_length=1, max_length=16), ATOMIC
    ]
    """The terms."""


_Weight = Annotated[int, Field(strict=True, ge=1, le=100)]


class PreferredNodes(ApiModel):
    """Nodes that are preferred."""

    weight: _Weight
    """How much the term counts, 1 to 100."""
    preference: NodeSelectorTerm
    """The conditions on the node."""


class NodeAffinity(ApiModel):
    """Nodes that pods need or prefer."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """Nodes that a pod may run on. Absent: all."""
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredNodes, ...], Field(max_length=16), ATOMIC
    ] = ()
    """Nodes that are taken first."""


class PodTerm(ApiModel):
    """Pods, and the domain that nearness to them is measured in."""

    label_selector: LabelSelector | None = None
    """The pods meant. Absent: none."""
    namespace_selector: LabelSelector | None = None
    """Namespaces of those pods. Absent, and without namespaces: the resource's own."""
    namespaces: Annotated[tuple[DnsLabel, ...], Field(max_length=16), ATOMIC] = ()
    """Namespaces of those pods by name."""
    topology_key: LabelKey
    """Label of nodes; nodes with the same value are one domain."""


class PreferredPods(ApiModel):
    """Nearness that is preferred."""

    weight: _Weight
    """How much the term counts, 1 to 100."""
    pod_affinity_term: PodTerm
    """The pods and the domain."""


class PodAffinity(ApiModel):
    """Pods to be near to, or far from."""

    required_during_scheduling_ignored_during_execution: Annotated[
        tuple[PodTerm, ...], Field(max_length=16), ATOMIC
    ] = ()
    """What must hold where a pod is scheduled."""
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredPods, ...], Field(max_length=16), ATOMIC
    ] = ()
    """What should hold where a pod is scheduled."""


class Affinity(ApiModel):
    """What pods want to be on, near to, or far from."""

    node_affinity: NodeAffinity | None = None
    """Nodes by label."""
    pod_affinity: PodAffinity | None = None
    """Pods to be near to."""
    pod_anti_affinity: PodAffinity | None = None
    """Pods to be far from."""
