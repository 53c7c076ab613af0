"""One point of a run: what is persisted, the cluster, the spec and what is broken.

All times are kept relative to ``NOW``, and what is only displayed is left out, so that runs that
differ in nothing that matters meet again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from llm_operator.api.command import CommandVerb
from llm_operator.api.rollout import OnFailure, Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.api.traffic import Provider
from llm_operator.rollout.state import Policy, Rollout, Step
from tests.models.rollouts.cluster import NOBODY, Cluster

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)

MIN_SECONDS: Final = 10
INTERVAL_SECONDS: Final = 10
PAUSE_SECONDS: Final = 20
BAKE_SECONDS: Final = 40
DEADLINE_SECONDS: Final = 100
INCONCLUSIVE_SECONDS: Final = 80
AWAY_SECONDS: Final = 240
"""How long an operator is away: longer than every duration above."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run is about; people may exchange it for one of its edits."""

    total: int
    extra: int
    serving_percent: int
    strategy: Strategy
    steps: tuple[Step, ...]
    provider: Provider
    on_failure: OnFailure = OnFailure.ROLLBACK
    bake_seconds: int = BAKE_SECONDS
    edits: "tuple[Setting, ...]" = ()
    """What people may make of it, at any time."""

    def edition(self, number: int) -> "Setting":
        """Return the setting as it is at first, number 0, or one of its edits."""
        return self.edits[number - 1] if number else self

    def refuses(self, total: int) -> bool:
        """Whether no rollout of ``total`` pods keeps ``serving_percent`` without an extra pod."""
        gradual = self.strategy in (Strategy.CANARY, Strategy.ROLLING)
        return gradual and self.extra == 0 and self.minimum(total) == total

    def minimum(self, total: int) -> int:
        """Return m: the ready pods in traffic that no action may go below."""
        return -(-total * self.serving_percent // 100)

    def policy(self, *, paused: bool) -> Policy:
        """Return what the spec says of rollouts."""
        return Policy(
            strategy=self.strategy,
            paused=paused,
            steps=self.steps,
            max_extra_replicas=self.extra,
            min_serving_percent=self.serving_percent,
            on_failure=self.on_failure,
            bake=timedelta(seconds=self.bake_seconds),
            inconclusive=timedelta(seconds=INCONCLUSIVE_SECONDS),
            progress_deadline=timedelta(seconds=DEADLINE_SECONDS),
            provider=self.provider,
        )

    def __str__(self) -> str:
        steps = ",".join(_describe(step) for step in self.steps)
        return (
            f"{self.strategy} {self.provider} T{self.total} E{self.extra} "
            f"{self.serving_percent}% [{steps}] {self.on_failure}"
            + "".join(f" | {edit}" for edit in self.edits)
        )


def _describe(step: Step) -> str:
    if step.pause is None:
        return str(step.weight_percent)
    return f"{step.weight_percent}p{step.pause.seconds or ''}"


class Order(NamedTuple):
    """A command on the resource; the number makes its nonce."""

    verb: CommandVerb
    revision: int
    number: int


class Spec(NamedTuple):
    """What people and autoscalers have written."""

    target: int
    total: int
    paused: bool = False
    order: Order | None = None
    limit: int = 3
    """The highest total that anybody asks for."""
    edition: int = 0
    """Which of the setting's editions it has."""


class Persisted:
    """A rollout as status keeps it; equal ones are one object, so that it is its own hash."""

    __slots__ = ("rollout",)

    def __init__(self, rollout: Rollout) -> None:
        self.rollout = rollout


class Situation(NamedTuple):
    """One point of a run."""

    kept: Persisted
    stable: int
    cluster: Cluster
    spec: Spec
    faults: frozenset[str] = frozenset()
    """What is broken until it is repaired (``events``)."""
    once: str = ""
    """What the next pass alone is told about the judgement (``events``)."""
    rejected: int = NOBODY
    """The revision that was rejected, while the spec has it and nobody retries."""
    total: int = 0
    """The held total: the highest total asked for since the rollout began."""
    begun_with: int = 0
    """The edition of the setting that the spec had when the rollout began."""


AGES: Final = {
    "deadline_at": 0,
    "holding_deadline_at": 0,
    "pause_until": 0,
    "applied_at": 30,
    "window_started_at": 30,
    "lost_since": 60,
    "step_started_at": 80,
    "unapplied_since": 90,
    "clock_started_at": 100,
    "stable_lost_since": 120,
}
"""Seconds beyond which the age of a moment makes no difference: all that is ever added to it is
less, and what is over is over."""

_COUNTS_FROM_ITS_START: Final = (RolloutPhase.BAKING, RolloutPhase.ROLLING_BACK)
"""Phases whose durations count from when they began; for the others that is only displayed."""


class Shelf:
    """Rollouts as they are kept: relative to ``NOW`` and each only once."""

    def __init__(self, ages: Mapping[str, int] = AGES) -> None:
        self._oldest = {name: NOW - timedelta(seconds=age) for name, age in ages.items()}
        self._kept: dict[Rollout, Persisted] = {}
        self._known: dict[Rollout, Persisted] = {}
        self._later: dict[tuple[Persisted, int], Persisted] = {}

    def keep(self, rollout: Rollout) -> Persisted:
        """Return the one object for a rollout."""
        known = self._known.get(rollout)
        if known is None:
            known = self._known[rollout] = self._keep(rollout)
        return known

    def _keep(self, rollout: Rollout) -> Persisted:
        changes: dict[str, Any] = {"message": "", "started_at": NOW if rollout.started_at else None}
        for name, oldest in self._oldest.items():
            moment = getattr(rollout, name)
            if moment is not None and moment < oldest:
                changes[name] = oldest
        if rollout.step_started_at is not None and rollout.phase not in _COUNTS_FROM_ITS_START:
            changes["step_started_at"] = NOW
        plain = replace(rollout, **changes)
        return self._kept.setdefault(plain, Persisted(plain))

    def later(self, kept: Persisted, seconds: int) -> Persisted:
        """Return the same rollout when ``seconds`` have passed."""
        key = (kept, seconds)
        if key not in self._later:
            self._later[key] = self.keep(self._aged(kept.rollout, timedelta(seconds=seconds)))
        return self._later[key]

    def _aged(self, rollout: Rollout, time: timedelta) -> Rollout:
        moments = {name: getattr(rollout, name) for name in self._oldest}
        aged = {name: moment - time for name, moment in moments.items() if moment is not None}
        return replace(rollout, **aged)

    def __len__(self) -> int:
        return len(self._kept)
