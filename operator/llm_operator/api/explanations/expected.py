"""The reasons of a resource on its expected course."""

from collections.abc import Mapping
from typing import Final

from llm_operator.api.explanations.explanation import Explanation, normal

EXPLANATIONS: Final[Mapping[str, Explanation]] = {
    "Available": normal("All replicas of the stable revision are ready."),
    "Stopped": normal("replicas is 0, so nothing runs.", "Set replicas to start it."),
    "UpToDate": normal("No change of revision is under way."),
    "NotStalled": normal("Nothing keeps the resource from going on."),
    "NoConflict": normal("Every object and field is the operator's own."),
    "Repaired": normal(
        "An object was deleted or changed by someone else, and has been put right.",
        "Change the LLMDeployment instead of the objects that it owns.",
    ),
    "ReplicasHeld": normal(
        "A manifest lowered replicas while autoscaling is on; the total falls step by step.",
        "Leave spec.replicas out of manifests of resources with autoscaling.",
    ),
}
