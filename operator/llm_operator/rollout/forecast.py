"""What a rollout will do if all goes well: the machine itself, played in a kind world. Pure.

In a kind world Deployments follow at once, pods get ready, what ends is gone a moment later, every
share is applied and every verdict is a Pass. Nothing but a pod that comes or goes, and the time
that the machine names, brings the next pass: its own writes are no news to an operator. Pods take
no time there, so the time that is counted is the least that the policy itself asks for. A pause
without an end is ended by ``promote-step``. How many pods are created and removed does not depend
on how long each of them takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from llm_operator.api.command import Command, CommandVerb
from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.machine import advance
from llm_operator.rollout.state import (
    AppliedTraffic,
    Decision,
    Intent,
    Judgement,
    Note,
    Rollout,
    VerdictOutcome,
    World,
)

PASSES_LIMIT: Final = 100_000
"""More than any rollout of the largest total takes."""

_TICK: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Outset:
    """Where the forecast begins."""

    rollout: Rollout
    stable: str | None
    world: World


@dataclass(frozen=True, slots=True)
class Moment:
    """One pass that changed something: what it asked for, and the pods once that is done."""

    elapsed: timedelta
    """Since the outset, as far as the policy's own times make it."""
    rollout: Rollout
    """The machine's state, as the status would have it."""
    stable: str | None
    ready: Mapping[str, int]
    existing: Mapping[str, int]
    """Pods that hold an accelerator, those that end included, by revision hash."""
    created: Mapping[str, int]
    removed: Mapping[str, int]
    needs_command: bool = False
    """Whether somebody must say ``promote-step`` for it to go on from here."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The moments up to the end, and how it ends."""

    moments: tuple[Moment, ...]
    rollout: Rollout
    """The machine's state at the end."""
    stable: str | None
    refusal: Note | None = None
    """Why nothing is rolled out at all."""
    is_complete: bool = True
    """False where it stays at a pause that the spec asks for."""


def forecast(outset: Outset, intent: Intent, now: datetime) -> Forecast:
    """Play the machine from ``outset`` until nothing more happens by itself."""
    run = _Run(outset, replace(intent, command=None), now)
    for _ in range(PASSES_LIMIT):
        if not run.advance_once():
            break
    return run.result()


@dataclass(slots=True)
class _Pods:
    """Pods of one revision."""

    ready: int = 0
    starting: int = 0
    ending: int = 0

    @property
    def live(self) -> int:
        """Pods that its Deployment counts."""
        return self.ready + self.starting

    def resize(self, replicas: int) -> tuple[int, int]:
        """Follow the Deployment's size, unready pods first; return (created, removed)."""
        created, removed = max(0, replicas - self.live), max(0, self.live - replicas)
        unready = min(self.starting, removed)
        self.starting += created - unready
        self.ready -= removed - unready
        self.ending += removed
        return created, removed

    def settle(self) -> bool:
        """Let starting pods be ready and ending ones be gone; return whether there were any."""
        moved = bool(self.starting or self.ending)
        self.ready, self.starting, self.ending = self.live, 0, 0
        return moved


@dataclass(slots=True)
class _Run:
    """The state of one forecast; lives only within a call of ``forecast``."""

    outset: Outset
    intent: Intent
    began: datetime
    rollout: Rollout = field(init=False)
    stable: str | None = field(init=False)
    now: datetime = field(init=False)
    pods: dict[str, _Pods] = field(init=False)
    replicas: dict[str, int] = field(init=False)
    moments: list[Moment] = field(init=False, default_factory=list)
    refusal: Note | None = field(init=False, default=None)
    weight_percent: int | None = field(init=False)
    commands: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        world = self.outset.world
        self.rollout, self.stable, self.now = self.outset.rollout, self.outset.stable, self.began
        self.replicas = dict(world.replicas)
        self.weight_percent = world.traffic.weight_percent
        self.pods = {hash_: _counted(world, hash_) for hash_ in {*world.existing, *world.replicas}}

    def advance_once(self) -> bool:
        """Take one pass and let the world follow; return whether there is more to come."""
        decision = advance(
            self.rollout, self.stable, self.intent, self._world(), self._judgement(), self.now
        )
        self.intent = replace(self.intent, command=None)
        moved = self._obey(decision)
        settled = [pods.settle() for pods in self.pods.values()]
        if moved or any(settled):
            self.now += _TICK
            return True
        return self._wait(decision)

    def _obey(self, decision: Decision) -> bool:
        """Write what the pass decided; return whether a pod came or went, which brings a pass."""
        self.rollout, self.stable = decision.rollout, decision.stable
        self.refusal = decision.refusal
        self.replicas = dict(decision.sizes)
        created, removed = {}, {}
        for hash_ in {*self.pods, *self.replicas}:
            pods = self.pods.setdefault(hash_, _Pods())
            created[hash_], removed[hash_] = pods.resize(self.replicas.get(hash_, 0))
        is_news = self.weight_percent != self.rollout.weight_percent
        self.weight_percent = self.rollout.weight_percent
        if is_news or any(created.values()) or any(removed.values()) or self._has_moved_on():
            self.moments.append(self._moment(_present(created), _present(removed)))
        return any(created.values()) or any(removed.values())

    def _has_moved_on(self) -> bool:
        """Whether phase, step or stable are others than at the last moment."""
        last = self.moments[-1] if self.moments else None
        if last is None:
            return False
        then, now = last.rollout, self.rollout
        return (then.phase, then.step, last.stable) != (now.phase, now.step, self.stable)

    def _moment(self, created: Mapping[str, int], removed: Mapping[str, int]) -> Moment:
        pods = self.pods.items()
        return Moment(
            elapsed=self.now - self.began,
            rollout=self.rollout,
            stable=self.stable,
            ready=_present({hash_: one.live for hash_, one in pods}),
            existing=_present({hash_: one.live + one.ending for hash_, one in pods}),
            created=created,
            removed=removed,
        )

    def _wait(self, decision: Decision) -> bool:
        """Let time pass to the next moment that matters; return whether there is one."""
        if decision.wake_at is not None and decision.wake_at > self.now:
            self.now = decision.wake_at
            return True
        waits = self.rollout.phase is RolloutPhase.PAUSED and not self.intent.policy.paused
        if not waits or self.rollout.cause is not Reason.PAUSED_BY_STEP:
            return False
        self.commands += 1
        nonce = f"forecast-{self.commands}"
        target = self.rollout.target or ""
        command = Command(CommandVerb.PROMOTE_STEP, target, nonce)
        self.intent = replace(self.intent, command=command)
        self.moments.append(replace(self._moment({}, {}), needs_command=True))
        return True

    def _world(self) -> World:
        pods = self.pods.items()
        return World(
            ready=_present({hash_: one.ready for hash_, one in pods}),
            existing=_present({hash_: one.live + one.ending for hash_, one in pods}),
            replicas=self.replicas,
            starting=_present({hash_: one.starting for hash_, one in pods}),
            traffic=AppliedTraffic(self.weight_percent),
        )

    def _judgement(self) -> Judgement | None:
        began = self.rollout.window_started_at
        if began is None:
            return None
        return Judgement(began, VerdictOutcome.PASS, Reason.LIMITS_KEPT, "", measured=True)

    def result(self) -> Forecast:
        """Return what was foreseen."""
        at_rest = self.rollout.phase in (RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK)
        return Forecast(tuple(self.moments), self.rollout, self.stable, self.refusal, at_rest)


def _counted(world: World, hash_: str) -> _Pods:
    ready, starting = world.ready.get(hash_, 0), world.starting.get(hash_, 0)
    ending = max(0, world.existing.get(hash_, 0) - ready - starting)
    return _Pods(ready, starting, ending)


def _present(counts: Mapping[str, int]) -> dict[str, int]:
    return {hash_: count for hash_, count in counts.items() if count}
