"""What a spec asks for, read once per pass into the shapes that the decisions take; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from llm_operator.api.v1alpha1 import LLMDeployment, revisioned_part
from llm_operator.api.validate import Violation, validate
from llm_operator.desired import pod
from llm_operator.desired.objects import HotSpec
from llm_operator.diagnosis import Finding
from llm_operator.rollout.machine import Strategy
from llm_operator.rollout.total import Asked, Bounds, held_through_scale


@dataclass(frozen=True, slots=True)
class Ask:
    """A spec that can be carried out."""

    revisioned: Mapping[str, Any]
    hot: HotSpec
    asked: Asked
    strategy: Strategy
    progress_deadline: timedelta
    revision_history_limit: int


def read_ask(resource: Mapping[str, Any]) -> Ask:
    """Return what the resource asks for; raises ``SpecInvalid`` for what cannot be parsed."""
    deployment = LLMDeployment.parse(resource)
    spec = deployment.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    autoscaling, rollout = spec.get("autoscaling"), spec["rollout"]
    monitor = spec.get("monitoring", {}).get("serviceMonitor", {})
    bounds = Bounds(autoscaling["minReplicas"], autoscaling["maxReplicas"]) if autoscaling else None
    managed_fields = resource["metadata"].get("managedFields", ())
    return Ask(
        revisioned=revisioned_part(deployment.spec),
        hot=HotSpec(spec["service"], autoscaling, monitor if monitor.get("enabled") else None),
        asked=Asked(spec["replicas"], bounds, held_through_scale(managed_fields)),
        strategy=Strategy(rollout["strategy"]),
        progress_deadline=timedelta(seconds=rollout["progressDeadlineSeconds"]),
        revision_history_limit=rollout["revisionHistoryLimit"],
    )


def refusals_of(resource: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return what only the operator can see to be wrong in a spec, each as a finding."""
    deployment = LLMDeployment.parse(resource)
    return tuple(_finding(violation) for violation in validate(deployment))


def _finding(violation: Violation) -> Finding:
    message = f"{violation.field}: {violation.message}; allowed: {violation.allowed}"
    return Finding(violation.reason, message)


def notes_on(revisioned: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a reader should know about settings that are allowed but have a price."""
    timeout = revisioned.get("server", {}).get("requestTimeoutSeconds", 300)
    drain = pod.drain_seconds(revisioned)
    if drain >= timeout:
        return ()
    return (f"drainSeconds {drain} is below requestTimeoutSeconds {timeout}: streams may be cut",)
