"""What a spec asks for, read once per pass into the shapes that the decisions take; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from llm_operator.api.resource import LLMDeployment
from llm_operator.api.revisioned import hot_part, revisioned_part
from llm_operator.api.spec import Strategy
from llm_operator.api.validate import RenderedNames, find_violations
from llm_operator.desired import pod
from llm_operator.desired.objects import HotSpec
from llm_operator.diagnosis import Finding
from llm_operator.ownership import held_through_scale
from llm_operator.rollout.total import Asked, Bounds


@dataclass(frozen=True, slots=True)
class Ask:
    """A spec that can be carried out."""

    revisioned: Mapping[str, Any]
    hot: HotSpec
    asked: Asked
    strategy: Strategy
    progress_deadline: timedelta
    revision_history_limit: int


def read_ask(resource: LLMDeployment) -> Ask:
    """Return what a parsed resource asks for."""
    spec = hot_part(resource.spec)
    autoscaling, rollout = spec.get("autoscaling"), spec["rollout"]
    monitor = spec.get("monitoring", {}).get("serviceMonitor", {})
    bounds = Bounds(autoscaling["minReplicas"], autoscaling["maxReplicas"]) if autoscaling else None
    through_scale = held_through_scale(resource.metadata.managed_fields)
    return Ask(
        revisioned=revisioned_part(resource.spec),
        hot=HotSpec(spec["service"], autoscaling, monitor if monitor.get("enabled") else None),
        asked=Asked(spec["replicas"], bounds, through_scale),
        strategy=resource.spec.rollout.strategy,
        progress_deadline=timedelta(seconds=rollout["progressDeadlineSeconds"]),
        revision_history_limit=rollout["revisionHistoryLimit"],
    )


def wrong_in(resource: LLMDeployment) -> tuple[Finding, ...]:
    """Return what the API server let pass and the operator cannot carry out."""
    rendered = RenderedNames(pod.RENDERED_VOLUMES, pod.RENDERED_MOUNT_PATHS)
    violations = find_violations(resource, rendered)
    return tuple(Finding(violation.reason, str(violation)) for violation in violations)


def notes_on(revisioned: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a reader should know about settings that are allowed but have a price."""
    timeout = pod.request_timeout_seconds(revisioned)
    drain = pod.drain_seconds(revisioned)
    if drain >= timeout:
        return ()
    return (f"drainSeconds {drain} is below requestTimeoutSeconds {timeout}: streams may be cut",)
