"""Where a run may end: nothing more happens by itself, and somebody must be content with that."""

from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import OnFailure
from llm_operator.api.status import RolloutPhase
from tests.models.rollouts import events
from tests.models.rollouts.cluster import NOBODY, Route
from tests.models.rollouts.events import Event
from tests.models.rollouts.situation import Setting, Situation

BAD: Final = frozenset(
    {
        Event.ABORT,
        Event.NEVER_READY,
        Event.CRASH_LOOP,
        Event.STABLE_NEVER_READY,
        Event.METRICS_LOST,
        Event.JUDGED_BAD,
        Event.RESTARTING,
        Event.UNDECIDED,
        Event.TRAFFIC_STUCK,
        Event.DELAY,
        Event.OUTAGE,
    }
)
"""Events after which a rollout may be rolled back; after all others it ends promoted."""


def wrong_end(
    setting: Setting, situation: Situation, refusal: Reason | None, *, is_bad: bool
) -> str:
    """Return why a run may not end here; empty if it may."""
    phase = situation.kept.rollout.phase
    editions = (setting, *setting.edits)
    setting = setting.edition(situation.spec.edition)
    match phase:
        case RolloutPhase.STABLE:
            return _wrong_stable(setting, situation, refusal) or _wrong_pods(situation)
        case RolloutPhase.ROLLED_BACK:
            return _wrong_rolled_back(situation, is_bad=is_bad) or _wrong_pods(situation)
        case RolloutPhase.PAUSED:
            return _wrong_paused(editions, situation, is_bad=is_bad)
        case RolloutPhase.ROLLING_BACK:
            return _wrong_wait(situation)
        case RolloutPhase.PREPARING if situation.stable == NOBODY:
            tries = is_stuck(situation, situation.spec.target)
            return "" if tries else "stuck in Preparing the first revision"
        case _:
            return f"stuck in {phase}"


def _wrong_stable(setting: Setting, situation: Situation, refusal: Reason | None) -> str:
    spec = situation.spec
    if spec.target == situation.stable:
        return f"refused for {refusal}, but it serves" if refusal else ""
    if spec.paused:
        return "" if refusal is Reason.PAUSED_BY_SPEC else f"paused in spec, said: {refusal}"
    if spec.total and setting.refuses(spec.total):
        return "" if refusal is Reason.NO_ROOM_FOR_ROLLOUT else f"no room, said: {refusal}"
    return f"Stable at {situation.stable}, but the spec has {spec.target}"


def _wrong_rolled_back(situation: Situation, *, is_bad: bool) -> str:
    spec = situation.spec
    if spec.target == situation.stable:
        return "RolledBack although the spec is stable's"
    if situation.rejected != spec.target and not spec.paused:
        return "RolledBack although the spec's revision was not rejected"
    return "" if is_bad else "RolledBack although nothing went wrong"


def _wrong_pods(situation: Situation) -> str:
    stable = situation.stable
    if situation.cluster.route != Route(stable):
        return f"traffic goes to {situation.cluster.route}"
    if any(p.existing for r, p in enumerate(situation.cluster.revisions) if r != stable):
        return "pods of another revision are left"
    pods = situation.cluster.revisions[stable]
    serving = pods.live if is_stuck(situation, stable) else pods.ready
    return (
        "" if serving == situation.spec.total else f"{pods} for a total of {situation.spec.total}"
    )


def _wrong_wait(situation: Situation) -> str:
    """Going back may wait for a stable pod as long as only the canary can serve (I13)."""
    stable, rollout = situation.stable, situation.kept.rollout
    pods = situation.cluster.revisions
    waits = pods[stable].ready == 0 and is_stuck(situation, stable)
    serves = rollout.weight_percent > 0 and sum(p.ready for p in pods) > 0
    return "" if waits and serves else "stuck in RollingBack"


def is_stuck(situation: Situation, revision: int) -> bool:
    """Whether pods of a revision cannot get ready."""
    faults = {events.never_ready(revision), events.crash_loop(revision)}
    return bool(faults & situation.faults)


def _wrong_paused(editions: tuple[Setting, ...], situation: Situation, *, is_bad: bool) -> str:
    """A pause that has begun is not ended by an edit of the settings that it came from."""
    rollout = situation.kept.rollout
    match rollout.cause:
        case Reason.PAUSED_BY_SPEC:
            return "" if situation.spec.paused else "paused by a spec that does not say so"
        case Reason.PAUSED_BY_COMMAND:
            return "" if rollout.commands else "paused by a command that nobody gave"
        case Reason.PAUSED_BY_STEP:
            pauses = any(_pauses_without_end(setting) for setting in editions)
            return "" if pauses else f"step {rollout.step} pauses without end"
        case None:
            return "paused without a reason"
        case _:
            if not is_bad:
                return f"paused by {rollout.cause} although nothing went wrong"
            pauses = any(setting.on_failure is OnFailure.PAUSE for setting in editions)
            return "" if pauses else f"paused by {rollout.cause} with onFailure Rollback"


def _pauses_without_end(setting: Setting) -> bool:
    return any(step.pause is not None and step.pause.seconds is None for step in setting.steps)


def is_promoted(situation: Situation) -> bool:
    """Whether the spec's revision serves, alone."""
    at_target = situation.stable == situation.spec.target
    return at_target and situation.kept.rollout.phase is RolloutPhase.STABLE
