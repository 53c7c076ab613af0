"""What a resource asks for, read once per pass into the shapes that the decisions take; pure.

``plan`` of the command-line tool reads a manifest through the same functions, so that what it
foretells is what the operator would be asked.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from llm_operator import kinds
from llm_operator.api import rollout as api
from llm_operator.api.analysis import Analysis
from llm_operator.api.command import Command, CommandInvalid, parse_command
from llm_operator.api.resource import LLMDeployment
from llm_operator.api.revisioned import hot_part, revisioned_part
from llm_operator.api.validate import RenderedNames, find_violations
from llm_operator.desired import pod
from llm_operator.desired.objects import HotSpec
from llm_operator.diagnosis import Finding
from llm_operator.observation import Environment
from llm_operator.ownership import held_through_scale
from llm_operator.rollout.state import Pause, Policy, Step
from llm_operator.rollout.total import Asked, Bounds
from llm_operator.traffic import providers

_DIGEST_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class Misread:
    """An annotation that is no command."""

    nonce: str
    """Stands for its text, so that it is remembered like the nonce of a command."""
    message: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A spec that can be carried out, and the command beside it."""

    revisioned: Mapping[str, Any]
    hot: HotSpec
    asked: Asked
    policy: Policy
    analysis: Analysis
    revision_history_limit: int
    command: Command | Misread | None


def read_ask(resource: LLMDeployment, environment: Environment) -> Ask:
    """Return what a parsed resource asks for."""
    spec = hot_part(resource.spec)
    autoscaling = spec.get("autoscaling")
    monitor = spec.get("monitoring", {}).get("serviceMonitor", {})
    gateway = spec.get("traffic", {}).get("gateway")
    bounds = Bounds(autoscaling["minReplicas"], autoscaling["maxReplicas"]) if autoscaling else None
    through_scale = held_through_scale(resource.metadata.managed_fields)
    return Ask(
        revisioned=revisioned_part(resource.spec),
        hot=HotSpec(
            spec["service"], autoscaling, monitor if monitor.get("enabled") else None, gateway
        ),
        asked=Asked(spec["replicas"], bounds, through_scale),
        policy=read_policy(resource, environment),
        analysis=resource.spec.rollout.analysis,
        revision_history_limit=resource.spec.rollout.revision_history_limit,
        command=read_command(resource.metadata.annotations),
    )


def read_policy(resource: LLMDeployment, environment: Environment) -> Policy:
    """Return what a parsed resource says about rollouts."""
    rollout, traffic = resource.spec.rollout, resource.spec.traffic
    gateway = hot_part(resource.spec).get("traffic", {}).get("gateway")
    return Policy(
        strategy=rollout.strategy,
        steps=tuple(map(_read_step, rollout.steps)),
        max_extra_replicas=rollout.max_extra_replicas,
        min_serving_percent=rollout.min_serving_percent,
        provider=providers.resolve(traffic.provider, gateway, environment),
        on_failure=rollout.on_failure,
        bake=timedelta(seconds=rollout.bake_seconds),
        inconclusive=timedelta(seconds=rollout.inconclusive_seconds),
        progress_deadline=timedelta(seconds=rollout.progress_deadline_seconds),
        paused=rollout.paused,
    )


def _read_step(step: api.Step) -> Step:
    pause = Pause(step.pause.seconds) if step.pause is not None else None
    return Step(step.weight_percent, step.min_seconds, pause)


def read_command(annotations: Mapping[str, str]) -> Command | Misread | None:
    """Return the command that is annotated, or what is wrong with it."""
    text = annotations.get(kinds.COMMAND_ANNOTATION)
    if text is None:
        return None
    try:
        return parse_command(text)
    except CommandInvalid as error:
        digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
        return Misread(f"invalid-{digest}", f"{kinds.COMMAND_ANNOTATION}: {error}")


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
