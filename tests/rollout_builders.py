"""Builders for tests of the rollout machine: a rollout of four pods that stands in some phase."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

from llm_operator.api.command import Command, CommandVerb
from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import OnFailure, Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.api.traffic import Provider
from llm_operator.rollout.machine import advance
from llm_operator.rollout.state import (
    AppliedTraffic,
    Cause,
    Decision,
    Frozen,
    Intent,
    Judgement,
    Policy,
    Rollout,
    Step,
    VerdictOutcome,
    World,
)
from tests.builders import NOW

OLD, NEW, NEXT = "bbbbbbbb", "cccccccc", "dddddddd"
TOTAL = 4
DEADLINE = timedelta(seconds=1800)
BAKE = timedelta(seconds=300)
POLICY = Policy(
    strategy=Strategy.CANARY,
    steps=(Step(25), Step(50), Step(75), Step(100)),
    max_extra_replicas=1,
    min_serving_percent=100,
    provider=Provider.GATEWAY_API,
    on_failure=OnFailure.ROLLBACK,
    bake=BAKE,
    inconclusive=timedelta(seconds=1800),
    progress_deadline=DEADLINE,
)
FROZEN = Frozen(Strategy.CANARY, 1, 100, Provider.GATEWAY_API)


def ago(seconds: int) -> datetime:
    """Return a moment before now."""
    return NOW - timedelta(seconds=seconds)


def later(seconds: int) -> datetime:
    """Return a moment after now."""
    return NOW + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Pods:
    """The pods of one revision; its Deployment asks for those that do not end."""

    ready: int = 0
    starting: int = 0
    ending: int = 0

    @property
    def live(self) -> int:
        """Pods that its Deployment counts."""
        return self.ready + self.starting


def a_world(**pods: Pods) -> World:
    """Return what is observed of ``old``, ``new`` and ``next``, with no share asked."""
    names = {"old": OLD, "new": NEW, "next": NEXT}
    by_hash = {names[name]: one for name, one in pods.items()}
    return World(
        ready={hash_: one.ready for hash_, one in by_hash.items()},
        starting={hash_: one.starting for hash_, one in by_hash.items()},
        existing={hash_: one.live + one.ending for hash_, one in by_hash.items()},
        replicas={hash_: one.live for hash_, one in by_hash.items()},
    )


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a rollout stands; its methods return another one, ``look`` takes the next pass."""

    rollout: Rollout
    stable: str | None = OLD
    world: World = field(default_factory=World)
    intent: Intent = field(default_factory=lambda: Intent(NEW, TOTAL, POLICY))
    judgement: Judgement | None = None
    now: datetime = NOW

    def but(self, **changes: Any) -> Self:
        """Return the scene with some fields of the rollout changed."""
        return replace(self, rollout=replace(self.rollout, **changes))

    def with_policy(self, **changes: Any) -> Self:
        """Return the scene with another policy in the spec."""
        policy = replace(self.intent.policy, **changes)
        return replace(self, intent=replace(self.intent, policy=policy))

    def asking(self, target: str = NEW, total: int = TOTAL) -> Self:
        """Return the scene with another revision or total in the spec."""
        return replace(self, intent=replace(self.intent, target=target, total=total))

    def told(self, verb: CommandVerb, revision: str = NEW, nonce: str = "n1") -> Self:
        """Return the scene with a command."""
        return replace(self, intent=replace(self.intent, command=Command(verb, revision, nonce)))

    def seeing(self, **pods: Pods) -> Self:
        """Return the scene with other pods; traffic and causes stay."""
        seen = a_world(**pods)
        return replace(self, world=replace(seen, traffic=self.world.traffic))

    def hearing(self, outcome: VerdictOutcome, reason: Reason = Reason.LIMITS_KEPT) -> Self:
        """Return the scene with a verdict about the window that is open."""
        window = self.rollout.window_started_at or self.now
        missing = reason is Reason.METRICS_MISSING
        return replace(self, judgement=Judgement(window, outcome, reason, "", is_missing=missing))

    def with_cause(self, hash_: str, reason: Reason, *, final: bool) -> Self:
        """Return the scene with pods of a revision that do not get ready."""
        causes = {hash_: Cause(reason, reason.meaning, is_final=final)}
        return replace(self, world=replace(self.world, causes=causes))

    def unapplied(self, seconds: int = 0) -> Self:
        """Return the scene with a share that the cluster has not had for so long."""
        traffic = AppliedTraffic(None, is_applied=False, problem="the route is not accepted")
        scene = replace(self, world=replace(self.world, traffic=traffic))
        return scene.but(unapplied_since=self.now - timedelta(seconds=seconds))

    def after(self, seconds: float) -> Self:
        """Return the scene as much later."""
        return replace(self, now=self.now + timedelta(seconds=seconds))

    def look(self) -> Decision:
        """Take one pass."""
        return advance(self.rollout, self.stable, self.intent, self.world, self.judgement, self.now)

    def passed(self) -> Self:
        """Return the scene after one pass, with the share applied and pods as they were."""
        decision = self.look()
        weight = AppliedTraffic(decision.rollout.weight_percent)
        return replace(
            self,
            rollout=decision.rollout,
            stable=decision.stable,
            intent=replace(self.intent, command=None),
            world=replace(self.world, traffic=weight),
        )


RUNNING = Rollout(
    target=NEW,
    started_at=ago(600),
    frozen=FROZEN,
    held_total=TOTAL,
    stable_was_ready=True,
    applied_at=ago(120),
    step_started_at=ago(130),
    ready_peak=2,
)
"""What every rollout under way has; the second of four steps is reached, 50 % are applied."""

_AT_HALF = replace(
    RUNNING,
    phase=RolloutPhase.STEP,
    step=1,
    step_weight_percent=50,
    weight_percent=50,
    window_started_at=ago(30),
    clock_started_at=ago(30),
)


def _scene(rollout: Rollout, stable: str | None = OLD, **pods: Pods) -> Scene:
    seen = a_world(**pods)
    traffic = AppliedTraffic(rollout.weight_percent)
    return Scene(rollout, stable, replace(seen, traffic=traffic))


def at_rest(pods: int = TOTAL) -> Scene:
    """Return the old revision at rest, with the spec still asking for it."""
    rollout = Rollout(target=OLD, stable_was_ready=True)
    return _scene(rollout, old=Pods(pods)).asking(OLD, pods)


def first(new: Pods) -> Scene:
    """Return the first revision of all, in preparation."""
    rollout = replace(
        RUNNING,
        phase=RolloutPhase.PREPARING,
        frozen=replace(FROZEN, replaces_directly=True),
        held_total=None,
        weight_percent=100,
        stable_was_ready=False,
        ready_peak=0,
    )
    return _scene(rollout, None, new=new)


def preparing(new: Pods = Pods(starting=1)) -> Scene:
    """Return a rollout whose first pod is not ready."""
    rollout = replace(RUNNING, phase=RolloutPhase.PREPARING, ready_peak=0, deadline_at=later(600))
    return _scene(rollout, old=Pods(TOTAL), new=new)


def stepping() -> Scene:
    """Return the second step: two pods of the canary, three of stable, 50 % for 30 s."""
    return _scene(_AT_HALF, old=Pods(3), new=Pods(2))


def paused(by: Reason = Reason.PAUSED_BY_STEP) -> Scene:
    """Return the pause after the second step."""
    rollout = replace(
        _AT_HALF,
        phase=RolloutPhase.PAUSED,
        cause=by,
        paused_by=by,
        elapsed_seconds=30,
        clock_started_at=None,
    )
    return _scene(rollout, old=Pods(3), new=Pods(2))


def holding() -> Scene:
    """Return the second step without metrics."""
    rollout = replace(
        _AT_HALF,
        phase=RolloutPhase.HOLDING,
        cause=Reason.METRICS_MISSING,
        return_to=RolloutPhase.STEP,
        holding_deadline_at=later(900),
    )
    scene = _scene(rollout, old=Pods(3), new=Pods(2))
    return scene.hearing(VerdictOutcome.INCONCLUSIVE, Reason.METRICS_MISSING)


def promoting() -> Scene:
    """Return the way from 75 to 100 %: the fourth pod of the canary is not ready."""
    rollout = replace(
        _AT_HALF,
        phase=RolloutPhase.PROMOTING,
        step=3,
        step_weight_percent=100,
        weight_percent=75,
        deadline_at=later(600),
        ready_peak=3,
    )
    return _scene(rollout, old=Pods(1), new=Pods(3, starting=1))


def baking() -> Scene:
    """Return the new revision as the stable one for 30 s, with a pod of the old one kept."""
    rollout = replace(
        RUNNING,
        phase=RolloutPhase.BAKING,
        previous=OLD,
        weight_percent=100,
        step_started_at=ago(30),
        window_started_at=ago(30),
    )
    return _scene(rollout, NEW, old=Pods(1), new=Pods(TOTAL))


def rolling_back(cause: Reason = Reason.ABORTED) -> Scene:
    """Return a rollback whose last stable pod is not ready; traffic has moved."""
    is_failure = cause not in (Reason.SUPERSEDED, Reason.REVERTED)
    rollout = replace(
        RUNNING,
        phase=RolloutPhase.ROLLING_BACK,
        cause=cause,
        rejected=(NEW,) if is_failure else (),
        deadline_at=later(600),
        ready_peak=3,
    )
    return _scene(rollout, old=Pods(3, starting=1), new=Pods(1))


def rolled_back() -> Scene:
    """Return what an aborted rollout leaves, with the spec unchanged."""
    rollout = Rollout(
        phase=RolloutPhase.ROLLED_BACK,
        target=NEW,
        cause=Reason.ABORTED,
        rejected=(NEW,),
        stable_was_ready=True,
        started_at=ago(600),
    )
    return _scene(rollout, old=Pods(TOTAL))


def reasons(decision: Decision) -> set[Reason]:
    """Return what a pass is worth events for."""
    return {note.reason for note in decision.notes}
