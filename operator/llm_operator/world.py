"""What the rollout machine is shown of the cluster, and what it asked of the traffic; pure."""

from collections.abc import Iterable
from dataclasses import replace

from llm_operator.api.reasons import Reason
from llm_operator.api.traffic import Provider
from llm_operator.diagnosis import Finding, cause_by_revision
from llm_operator.observation import Environment, Observation, count_pods
from llm_operator.rollout.position import AT_REST
from llm_operator.rollout.state import Cause, Rollout, World
from llm_operator.traffic import providers
from llm_operator.traffic.asked import Asked


def asked_traffic(rollout: Rollout, stable: str | None, target: str, provider: Provider) -> Asked:
    """Return what a state of the machine asks of the traffic.

    ``target`` stands in before anything was started; ``provider`` counts while no rollout runs.
    """
    at_rest = rollout.phase in AT_REST
    frozen = None if at_rest else rollout.frozen
    canary = rollout.target or target
    return Asked(
        stable=stable,
        canary=None if at_rest and stable is not None else canary,
        weight_percent=rollout.weight_percent,
        provider=frozen.provider if frozen is not None else provider,
    )


def observe_world(
    observation: Observation,
    environment: Environment,
    asked: Asked,
    findings: Iterable[Finding],
) -> World:
    """Return the pods, why they do not get ready, and the traffic in terms of what was asked."""
    findings = tuple(findings)
    return replace(
        count_pods(observation),
        causes={
            revision: Cause(finding.reason, _said(finding), finding.is_final)
            for revision, finding in cause_by_revision(findings).items()
        },
        traffic=providers.observe(observation, environment, asked),
        stuck=tuple(_said(f) for f in findings if f.reason is Reason.STUCK_TERMINATING),
    )


def _said(finding: Finding) -> str:
    return f"Pod {finding.pod}: {finding.message}" if finding.pod else finding.message
