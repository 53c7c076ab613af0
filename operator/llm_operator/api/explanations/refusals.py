"""The reasons of a spec, an object or a field that stands in the way."""

from collections.abc import Mapping
from typing import Final

from llm_operator.api.explanations.explanation import Explanation, warning

EXPLANATIONS: Final[Mapping[str, Explanation]] = {
    "SpecInvalid": warning(
        "The spec breaks a rule; the message names the field and what is allowed.",
        "Correct the field that the message names.",
    ),
    "OwnedFlag": warning(
        "server.args or server.env sets what the operator sets itself.",
        "Remove it and use the field that the message names.",
    ),
    "OwnedName": warning(
        "podTemplate uses a name, mount path, label or annotation that the operator renders.",
        "Choose another one.",
    ),
    "ForeignObject": warning(
        "An object of a name that the resource needs belongs to someone else.",
        "Remove or rename the object that the message names, or rename the LLMDeployment.",
    ),
    "ForeignField": warning(
        "Another manager set a field in the pod template of a Deployment of the resource.",
        "Remove the field, and set it in podTemplate if it is wanted.",
    ),
    "ProgressDeadlineExceeded": warning(
        "The new revision was not ready within rollout.progressDeadlineSeconds.",
        "Read status.pods, correct the spec and apply it; the stable revision serves meanwhile.",
    ),
    "ServiceMonitorMissing": warning(
        "monitoring.serviceMonitor is enabled, but the cluster does not know that kind.",
        "Install the Prometheus operator's CRDs, or disable monitoring.serviceMonitor.",
    ),
}
