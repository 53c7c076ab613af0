"""What a change will do, before anything is applied. Pure.

The operator's own functions read the spec, choose the revision and play the rollout; what is added
here is only the summing up. So what is foretold is what the operator would decide, as long as
pods get ready and verdicts are passes: pods that fail are not foreseen.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from kubectl_llm.changes import Change, compare, plain_spec
from kubectl_llm.client import Belongings
from kubectl_llm.exits import ExitCode
from kubectl_llm.failures import Refusal
from kubectl_llm.stages import Stage, StepShare, peak_accelerators, stages_of, step_shares
from kubectl_llm.stored import asked_spec
from llm_operator import children, kinds, recovery
from llm_operator.api.reasons import Reason
from llm_operator.api.resource import LLMDeployment, SpecInvalid
from llm_operator.api.status import RolloutPhase
from llm_operator.api.traffic import Provider
from llm_operator.ask import Ask, read_ask, wrong_in
from llm_operator.desired.pod import CURRENT_RENDERER
from llm_operator.desired.revision import Revision, choose_target
from llm_operator.observation import Environment, Observation, count_pods
from llm_operator.rollout.forecast import Forecast, Outset, forecast
from llm_operator.rollout.state import AppliedTraffic, Intent
from llm_operator.rollout.total import decide_total
from llm_operator.status import Memory

UNBORN: Final = "unborn"
"""Stands for the UID of a resource that does not exist yet."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A resource as it would be, and what there is of it now."""

    namespace: str
    name: str
    live: Mapping[str, Any] | None
    spec: Any
    """The spec after the manifest was applied, as the API server would store it."""
    belongings: Belongings
    optional_kinds: frozenset[kinds.ResourceKind]


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """What is foretold."""

    changes: tuple[Change, ...]
    """Empty for a resource that does not exist yet."""
    is_new: bool
    target: Revision
    """What the spec will mean; of a revision that is not kept only the spec is known."""
    is_kept: bool
    stable: str | None
    """Hash that serves now."""
    starts_rollout: bool
    ask: Ask
    total: int
    stages: tuple[Stage, ...]
    shares: tuple[StepShare, ...]
    """The steps with the shares that can be reached; empty where no rollout by steps begins."""
    created: int
    removed: int
    pods_now: int
    peak_pods: int
    peak_accelerators: Mapping[str, int]
    """The most of each device that pods hold at one time, by resource name."""
    obstacle: str
    """Why nothing is rolled out, or why it does not end by itself; empty if neither."""


def make_plan(proposal: Proposal, now: datetime) -> ChangePlan:
    """Foretell what the operator will do with the proposal.

    Raises:
        Refusal: the spec is not valid; the sentence names the field and what is allowed.
    """
    resource = _parse(proposal)
    environment = Environment("", CURRENT_RENDERER, proposal.optional_kinds)
    observation = _observe(proposal)
    memory = recovery.recover(observation)
    ask = read_ask(resource, environment)
    known = children.known_revisions(observation)
    default = (environment.renderer, environment.default_image)
    target = choose_target(ask.revisioned, known, memory.stable, default)
    total = decide_total(ask.asked, memory.desired_replicas, memory.floor, now=now)
    world = replace(count_pods(observation), traffic=AppliedTraffic(memory.rollout.weight_percent))
    foreseen = forecast(
        Outset(memory.rollout, memory.stable, world),
        Intent(target.hash, total.value, ask.policy),
        now,
    )
    revisions = {revision.hash: revision for revision in (*known, target)}
    live = asked_spec(proposal.live) if proposal.live is not None else {}
    return ChangePlan(
        changes=compare(live, plain_spec(resource.spec)) if proposal.live is not None else (),
        is_new=proposal.live is None,
        target=target,
        is_kept=target in known,
        stable=memory.stable,
        starts_rollout=_starts(foreseen, target.hash),
        ask=ask,
        total=total.value,
        stages=stages_of(foreseen.moments, target.hash),
        shares=step_shares(foreseen.moments, target.hash, ask.policy),
        created=_count(moment.created for moment in foreseen.moments),
        removed=_count(moment.removed for moment in foreseen.moments),
        pods_now=sum(world.existing.values()),
        peak_pods=max(
            (sum(pods.values()) for pods in _existing(world.existing, foreseen)), default=0
        ),
        peak_accelerators=peak_accelerators(_existing(world.existing, foreseen), revisions),
        obstacle=_obstacle(foreseen, target, memory, ask),
    )


def _parse(proposal: Proposal) -> LLMDeployment:
    """Read the resource as it will be, with the rules that the operator adds."""
    live = proposal.live or {}
    metadata = {
        "uid": UNBORN,
        **dict(live.get("metadata") or {}),
        "namespace": proposal.namespace,
        "name": proposal.name,
    }
    try:
        resource = LLMDeployment.parse({"metadata": metadata, "spec": proposal.spec})
    except SpecInvalid as error:
        raise Refusal(f"Not valid: {error}.", ExitCode.INVALID) from error
    wrong = wrong_in(resource)
    if wrong:
        sentences = "; ".join(finding.message for finding in wrong)
        raise Refusal(f"Not valid: {sentences}.", ExitCode.INVALID)
    return resource


def _observe(proposal: Proposal) -> Observation:
    metadata = {"namespace": proposal.namespace, "name": proposal.name, "uid": UNBORN}
    belongings = proposal.belongings
    objects = {
        kinds.CONTROLLER_REVISION: belongings.revisions,
        kinds.DEPLOYMENT: belongings.deployments,
    }
    return Observation(
        resource=proposal.live or {"metadata": metadata},
        children={
            (kind, str(obj["metadata"]["name"])): obj
            for kind, found in objects.items()
            for obj in found
        },
        pods=belongings.pods,
        endpoint_slices=(),
    )


def _starts(foreseen: Forecast, target: str) -> bool:
    return any(
        moment.rollout.target == target and moment.rollout.phase is RolloutPhase.PREPARING
        for moment in foreseen.moments
    )


def _existing(now: Mapping[str, int], foreseen: Forecast) -> list[Mapping[str, int]]:
    return [now, *(moment.existing for moment in foreseen.moments)]


def _count(counts: Iterable[Mapping[str, int]]) -> int:
    return sum(Counter[str](dict(part)).total() for part in counts)


def _obstacle(foreseen: Forecast, target: Revision, memory: Memory, ask: Ask) -> str:
    if foreseen.refusal is not None:
        return f"{foreseen.refusal.reason}: {foreseen.refusal.message}"
    if foreseen.stable == target.hash:
        return ""
    rollout = foreseen.rollout
    if rollout.phase is RolloutPhase.ROLLED_BACK:
        return (
            f"Revision {target.hash} was rejected ({memory.rollout.cause}) and is not tried again"
            " by itself: `kubectl llm retry`, or change the spec"
        )
    by_somebody = rollout.paused_by in (Reason.PAUSED_BY_COMMAND, Reason.PAUSED_BY_FAILURE)
    if by_somebody and not ask.policy.paused:
        return (
            f"The rollout to revision {rollout.target} is paused ({rollout.paused_by}) and goes on"
            " by `kubectl llm resume`, `promote` or `abort`"
        )
    return "spec.rollout.paused is true: no rollout begins or goes on"


def gateway_splits(plan: ChangePlan) -> bool:
    """Whether weights are exact, instead of following from the number of pods."""
    return plan.ask.policy.provider is Provider.GATEWAY_API
