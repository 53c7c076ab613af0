"""At rest, ``Stable`` or ``RolledBack``: whether a rollout begins, and of which kind. Pure."""

from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.entering import what_failed
from llm_operator.rollout.position import Case, Position
from llm_operator.rollout.retreat import COMMANDS_KEPT, RESET, with_rejected
from llm_operator.rollout.sizes import extra_pods, has_no_room, serving_floor
from llm_operator.rollout.state import Frozen, Note


def from_rest(position: Position, case: Case) -> Position:
    """Follow the spec: begin a rollout, or take note that there is nothing to do."""
    intent = case.intent
    if is_rejected(position, case):
        return position
    if intent.target == position.stable:
        return settled(position, intent.target)
    if intent.total == 0:
        return stopped(position, case)
    if refusal(position, case) is not None:
        return _waiting(position)
    return begun(position, case)


def _waiting(position: Position) -> Position:
    """Stay with stable; what was rejected before is not what the spec asks for any more."""
    if position.rollout.phase is RolloutPhase.STABLE or position.stable is None:
        return position
    return settled(position, position.stable)


def is_rejected(position: Position, case: Case) -> bool:
    """Whether the spec still has the hash that failed or was aborted."""
    rollout, target = position.rollout, case.intent.target
    return (
        rollout.phase is RolloutPhase.ROLLED_BACK
        and target == rollout.target
        and target in rollout.rejected
    )


def refusal(position: Position, case: Case) -> Note | None:
    """Return why the spec's revision is not rolled out at all, None if it is."""
    intent = case.intent
    if position.rollout.phase not in (RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK):
        return None
    if intent.target == position.stable or is_rejected(position, case):
        return None
    if position.stable is not None and case.policy.paused:
        message = f"Revision {intent.target} waits: spec.rollout.paused is true"
        return Note(Reason.PAUSED_BY_SPEC, message)
    if intent.total == 0:
        return None
    frozen = freeze(position, case)
    if not has_no_room(frozen, intent.total):
        return None
    extra, floor = extra_pods(frozen, intent.total), serving_floor(frozen, intent.total)
    message = (
        f"With spec.rollout.maxExtraReplicas {extra} no pod may be added, and with"
        f" spec.rollout.minServingPercent {frozen.min_serving_percent} none of {intent.total} may"
        f" be missing ({floor} must serve): raise the first or lower the second"
    )
    return Note(Reason.NO_ROOM_FOR_ROLLOUT, message)


def freeze(position: Position, case: Case) -> Frozen:
    """Return what a rollout that begins now keeps of the policy.

    A single pod that may be missing and has no room beside it can only be recreated.
    """
    policy = case.policy
    frozen = Frozen(
        strategy=policy.strategy,
        max_extra_replicas=policy.max_extra_replicas,
        min_serving_percent=policy.min_serving_percent,
        provider=policy.provider,
        replaces_directly=_is_worthless(position, case),
    )
    alone = case.intent.total == 1 and extra_pods(frozen, 1) == 0
    if alone and not has_no_room(frozen, 1):
        return Frozen(
            Strategy.RECREATE,
            policy.max_extra_replicas,
            policy.min_serving_percent,
            policy.provider,
            frozen.replaces_directly,
        )
    return frozen


def _is_worthless(position: Position, case: Case) -> bool:
    """Whether there is no stable revision that serves, or could be hoped to serve again."""
    rollout = position.rollout
    if position.stable is None:
        return True
    if case.stable(position).ready > 0:
        return False
    since = rollout.stable_lost_since
    overdue = since is not None and case.now >= since + case.policy.progress_deadline
    return overdue or not rollout.stable_was_ready


def begun(position: Position, case: Case) -> Position:
    """Begin the rollout to the spec's revision; an earlier rejection of it is forgotten."""
    target, frozen = case.intent.target, freeze(position, case)
    first = position.stable is None
    started = position.but(**RESET).but(
        phase=RolloutPhase.PREPARING,
        target=target,
        started_at=case.now,
        frozen=frozen,
        held_total=None if first else case.intent.total,
        weight_percent=100 if first else 0,
        cause=None,
        message="",
        rejected=tuple(hash_ for hash_ in position.rollout.rejected if hash_ != target),
    )
    return started.noted(Reason.ROLLOUT_PREPARING, _announcement(position, frozen, target))


def _announcement(position: Position, frozen: Frozen, target: str) -> str:
    if position.stable is None:
        return f"Revision {target} is the first"
    how = "replaces" if frozen.replaces_directly else f"({frozen.strategy}) is to replace"
    return f"Revision {target} {how} {position.stable}"


def settled(position: Position, target: str) -> Position:
    """Be at rest with the spec's revision as the stable one."""
    commands = position.rollout.commands[-COMMANDS_KEPT:]
    return position.but(**RESET).but(
        phase=RolloutPhase.STABLE,
        target=target,
        weight_percent=0,
        cause=None,
        message="",
        commands=commands,
        rejected=tuple(hash_ for hash_ in position.rollout.rejected if hash_ != target),
    )


def stopped(position: Position, case: Case) -> Position:
    """Obey a total of 0 at once: nothing runs, so that the pointer simply moves.

    A hash that failed or was aborted does not become stable by it, and none that has to wait.
    """
    rollout, target = position.rollout, case.intent.target
    if rollout.paused_by is Reason.PAUSED_BY_FAILURE:
        position = _given_up(position)
    is_rejected_now = target in position.rollout.rejected and target == rollout.target
    if is_rejected_now and position.stable is not None:
        return position.but(**RESET).but(phase=RolloutPhase.ROLLED_BACK, weight_percent=0)
    if target != position.stable and position.stable is not None and case.policy.paused:
        return settled(position, position.stable)
    moved = settled(position, target).but(
        stable_lost_since=None,
        stable_was_ready=rollout.stable_was_ready and target == position.stable,
    )
    return Position(moved.rollout, target, moved.notes)


def _given_up(position: Position) -> Position:
    """Take a failure that waits for a person as one that nobody has overruled."""
    rollout = position.rollout
    reason, message = what_failed(rollout)
    rejected = with_rejected(rollout.rejected, rollout.target)
    told = f"Revision {rollout.target} is gone: {message}"
    given_up = position.but(cause=reason, message=message, paused_by=None, rejected=rejected)
    return given_up.noted(Reason.ROLLED_BACK, told)


def watched(position: Position, case: Case) -> Position:
    """Note since when the stable revision has had no ready pod, and whether it ever had one."""
    rollout = position.rollout
    ready = case.stable(position).ready > 0
    is_lost = position.stable is not None and not ready and case.intent.total > 0
    since = rollout.stable_lost_since or case.now if is_lost else None
    return position.but(stable_lost_since=since, stable_was_ready=rollout.stable_was_ready or ready)
