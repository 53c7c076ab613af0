"""One pass of the operator over the model: observe, decide, persist, move traffic, resize.

A pass is a list of actions in the order in which the operator carries them out. Every one of them
can be the last before a crash; the next pass then starts from what is persisted and observed.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from llm_operator.api.command import Command
from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase
from llm_operator.api.traffic import Provider
from llm_operator.rollout.state import (
    AppliedTraffic,
    Cause,
    Decision,
    Intent,
    Judgement,
    Rollout,
    VerdictOutcome,
    World,
)
from llm_operator.status import recall, rollout_json
from tests.models.rollouts import events
from tests.models.rollouts.cluster import ABSENT, BY_RATIO, NAMES, NOBODY, Cluster, Route
from tests.models.rollouts.events import Event
from tests.models.rollouts.situation import (
    INTERVAL_SECONDS,
    NOW,
    Order,
    Persisted,
    Setting,
    Shelf,
    Situation,
)

Machine = Callable[[Rollout, str | None, Intent, World, Judgement | None, datetime], Decision]

AT_REST = (RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK)


class Kind(StrEnum):
    """What an action writes."""

    PERSIST = "persist"
    ROUTE = "route"
    SIZE = "size"


class Action(NamedTuple):
    """One write."""

    kind: Kind
    kept: Persisted | None = None
    stable: int = NOBODY
    route: Route | None = None
    revision: int = NOBODY
    replicas: int = ABSENT

    def __str__(self) -> str:
        match self.kind:
            case Kind.PERSIST:
                return f"persist {self.kept.rollout.phase if self.kept else None}"
            case Kind.ROUTE:
                return f"route {self.route}"
            case Kind.SIZE:
                return f"size of {self.revision}: {self.replicas}"


class Pass(NamedTuple):
    """What one pass decided and does."""

    actions: tuple[Action, ...]
    wake_seconds: int | None
    notes: tuple[Reason, ...]
    refusal: Reason | None


class Operator:
    """Passes over situations of one setting. Remembers equal questions, as decisions are pure."""

    def __init__(self, setting: Setting, machine: Machine, shelf: Shelf) -> None:
        self.setting = setting
        self.shelf = shelf
        self.decided = 0
        self._machine = machine
        self._passes: dict[_Question, Pass] = {}

    def run_pass(self, situation: Situation) -> Pass:
        """Decide, and return what is to be written."""
        question = _question(situation)
        known = self._passes.get(question)
        if known is None:
            known = self._passes[question] = self._run(situation)
        return known

    def decide(self, situation: Situation) -> Decision:
        """Ask the machine."""
        self.decided += 1
        return self._machine(
            situation.kept.rollout,
            name_of(situation.stable),
            self._intent(situation),
            observe(situation),
            judge(situation),
            NOW,
        )

    def _run(self, situation: Situation) -> Pass:
        decision = self.decide(situation)
        kept = self.shelf.keep(decision.rollout)
        stable = number_of(decision.stable)
        actions: list[Action] = []
        if (kept, stable) != (situation.kept, situation.stable):
            actions.append(Action(Kind.PERSIST, kept=kept, stable=stable))
        route = self._route(situation, kept.rollout, stable)
        if route is not None and route != situation.cluster.route:
            actions.append(Action(Kind.ROUTE, route=route))
        actions.extend(_resizes(situation.cluster, decision))
        wake = decision.wake_at
        seconds = None if wake is None else -(-(wake - NOW) // timedelta(seconds=1))
        refusal = decision.refusal.reason if decision.refusal else None
        notes = tuple(note.reason for note in decision.notes)
        return Pass(tuple(actions), seconds, notes, refusal)

    def _intent(self, situation: Situation) -> Intent:
        spec = situation.spec
        return Intent(
            target=NAMES[spec.target],
            total=spec.total,
            policy=self.setting.edition(spec.edition).policy(paused=spec.paused),
            command=_command(spec.order),
        )

    def _route(self, situation: Situation, rollout: Rollout, stable: int) -> Route | None:
        """Return the route for what the machine asks of traffic."""
        canary = NOBODY if rollout.phase in AT_REST else number_of(rollout.target)
        if stable == NOBODY:
            return None if canary == NOBODY else Route(canary)
        if canary in (NOBODY, stable) or rollout.weight_percent == 0:
            return Route(stable)
        if rollout.weight_percent == 100:
            return Route(canary)
        begun_with = self.setting.edition(situation.begun_with)
        exact = begun_with.provider is Provider.GATEWAY_API
        return Route(stable, canary, rollout.weight_percent if exact else BY_RATIO)


_Question = tuple[object, ...]


def _question(situation: Situation) -> _Question:
    """Return all of a situation that a pass can see."""
    kept, stable, cluster, spec, faults, once = situation[:6]
    order = spec.order
    is_answered = order is None or f"nonce-{order.number}" in kept.rollout.commands
    return (
        kept,
        stable,
        cluster.revisions,
        cluster.route,
        cluster.is_applied,
        spec[:3],
        spec.edition,
        situation.begun_with,
        None if is_answered else order,
        faults,
        once,
    )


def name_of(revision: int) -> str | None:
    """Return a revision's hash."""
    return None if revision == NOBODY else NAMES[revision]


def number_of(name: str | None) -> int:
    """Return the number of a revision's hash."""
    return NOBODY if name is None else NAMES.index(name)


def _command(order: Order | None) -> Command | None:
    if order is None:
        return None
    return Command(order.verb, NAMES[order.revision], f"nonce-{order.number}")


def _resizes(cluster: Cluster, decision: Decision) -> Iterator[Action]:
    """Return the writes to Deployments, first those that create pods."""
    wanted = {revision: decision.sizes.get(name, ABSENT) for revision, name in enumerate(NAMES)}
    changed = [
        Action(Kind.SIZE, revision=revision, replicas=replicas)
        for revision, replicas in wanted.items()
        if replicas != cluster.revisions[revision].replicas
    ]
    grows = [a for a in changed if a.replicas > cluster.revisions[a.revision].replicas]
    yield from grows
    yield from (a for a in changed if a not in grows)


def observe(situation: Situation) -> World:
    """Return what the machine is shown of the cluster."""
    pods = dict(zip(NAMES, situation.cluster.revisions, strict=True))
    return World(
        ready={name: p.ready for name, p in pods.items() if p.ready},
        existing={name: p.existing for name, p in pods.items() if p.existing},
        replicas={name: p.replicas for name, p in pods.items() if p.replicas != ABSENT},
        starting={name: p.starting for name, p in pods.items() if p.starting},
        traffic=_observe_traffic(situation),
        causes=dict(_causes(situation)),
    )


def _causes(situation: Situation) -> Iterator[tuple[str, Cause]]:
    for revision, pods in enumerate(situation.cluster.revisions):
        if pods.starting == 0:
            continue
        if events.crash_loop(revision) in situation.faults:
            yield NAMES[revision], Cause(Reason.CRASH_LOOPING, "exit code 1", is_final=True)
        elif events.never_ready(revision) in situation.faults:
            yield NAMES[revision], Cause(Reason.UNSCHEDULABLE, "no node", is_final=False)


def _observe_traffic(situation: Situation) -> AppliedTraffic:
    """Read the canary's share off the route, as the providers do."""
    route = situation.cluster.route
    rollout = situation.kept.rollout
    canary = NOBODY if rollout.phase in AT_REST else number_of(rollout.target)
    base = canary if situation.stable == NOBODY else situation.stable
    splits = NOBODY not in (situation.stable, canary) and situation.stable != canary
    weight: int | None = None
    if route == Route(base):
        weight = 0 if splits else rollout.weight_percent
    elif route == Route(canary):
        weight = 100
    elif route is not None and splits and (route.stable, route.canary) == (base, canary):
        weight = _split_weight(situation, route)
    is_applied = situation.cluster.is_applied and weight is not None
    return AppliedTraffic(weight, is_applied=is_applied, problem="" if is_applied else "lags")


def _split_weight(situation: Situation, route: Route) -> int:
    if route.weight != BY_RATIO:
        return route.weight
    asked = situation.kept.rollout.weight_percent
    if 0 < asked < 100:
        return asked
    stable, canary = (situation.cluster.revisions[r].ready for r in (route.stable, route.canary))
    return min(max(100 * canary // max(stable + canary, 1), 1), 99)


def judge(situation: Situation) -> Judgement | None:
    """Return what the judge says of the window that is open."""
    started_at = situation.kept.rollout.window_started_at
    if events.RESTARTS in situation.faults:
        return _judgement(None, VerdictOutcome.FAIL, Reason.CANARY_RESTARTING)
    if situation.once == Event.LATE_VERDICT:
        late = (started_at or NOW) - timedelta(seconds=7)
        return _judgement(late, VerdictOutcome.FAIL, Reason.ERRORS_TOO_HIGH)
    return None if started_at is None else _judge_window(situation, started_at)


def _judge_window(situation: Situation, started_at: datetime) -> Judgement:
    if events.METRICS in situation.faults:
        return _judgement(started_at, VerdictOutcome.INCONCLUSIVE, Reason.METRICS_MISSING)
    if events.BAD in situation.faults:
        return _judgement(started_at, VerdictOutcome.FAIL, Reason.ERRORS_TOO_HIGH)
    is_early = NOW - started_at < timedelta(seconds=INTERVAL_SECONDS)
    if is_early or events.UNDECIDED in situation.faults or situation.once == Event.COUNTER_RESET:
        return _judgement(started_at, VerdictOutcome.INCONCLUSIVE, Reason.TOO_FEW_REQUESTS)
    return _judgement(started_at, VerdictOutcome.PASS, Reason.LIMITS_KEPT)


def _judgement(started_at: datetime | None, outcome: VerdictOutcome, reason: Reason) -> Judgement:
    return Judgement(
        window_started_at=started_at,
        outcome=outcome,
        reason=reason,
        message="",
        is_missing=reason is Reason.METRICS_MISSING,
        measured=outcome is VerdictOutcome.PASS,
    )


def from_status(rollout: Rollout) -> Rollout:
    """Write a rollout into the status and read it back, as two processes would."""
    return recall({"observedGeneration": 1, "rollout": rollout_json(rollout)}).rollout
