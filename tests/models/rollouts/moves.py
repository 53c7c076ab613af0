"""What can happen next: the operator's pass, the cluster's own steps, time, and the events."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from llm_operator.api.command import CommandVerb
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.state import Rollout
from tests.models.rollouts import cluster as world
from tests.models.rollouts import events
from tests.models.rollouts.cluster import NAMES, NOBODY, Cluster
from tests.models.rollouts.events import Event
from tests.models.rollouts.operator import AT_REST, Action, Kind, Operator, Pass
from tests.models.rollouts.situation import (
    AWAY_SECONDS,
    INTERVAL_SECONDS,
    NOW,
    Order,
    Situation,
)

ODD_SECONDS: Final = 35
"""A delay where nobody waits for anything: longer than every grace period."""


class Pace(StrEnum):
    """In which order things happen that could happen in any order."""

    ANY = "any"
    """All orders, and the operator may be late."""
    READY_FIRST = "ready first"
    """The operator at once, then what the cluster does, terminating pods last."""
    GONE_FIRST = "gone first"
    """The operator at once, then what the cluster does, terminating pods first, traffic last."""


class Move(NamedTuple):
    """One thing that can happen next."""

    label: str
    after: Situation
    done: Pass | None = None
    """The pass, if the operator moved."""
    seconds: int = 0
    """The time that passes."""


def moves(operator: Operator, situation: Situation, pace: Pace) -> list[Move]:
    """Return what can happen next if no event does; nothing at an end."""
    done = operator.run_pass(situation)
    following = finish(situation, done)
    passes = [Move("pass", following, done)] if following != situation else []
    if passes and pace is not Pace.ANY:
        return passes
    steps = [Move(label, situation._replace(cluster=c)) for label, c in _steps(situation, pace)]
    if steps:
        return passes + (steps if pace is Pace.ANY else steps[:1])
    if passes:
        return passes
    seconds = seconds_to_wait(situation, done)
    if seconds is None:
        return []
    return [Move(f"{seconds} s", later(operator, situation, seconds), seconds=seconds)]


def seconds_to_wait(situation: Situation, done: Pass) -> int | None:
    """Return the time until the operator looks again; None when only news would wake it."""
    started_at = situation.kept.rollout.window_started_at
    times = [] if done.wake_seconds is None else [done.wake_seconds]
    if started_at is not None:
        age = int((NOW - started_at).total_seconds())
        times += [INTERVAL_SECONDS - age] if age < INTERVAL_SECONDS else []
    return min(times, default=None)


def later(operator: Operator, situation: Situation, seconds: int) -> Situation:
    """Return the situation when nothing but time has passed."""
    return situation._replace(
        kept=operator.shelf.later(situation.kept, seconds),
        cluster=situation.cluster.after(seconds),
    )


# The operator's pass


def finish(situation: Situation, done: Pass) -> Situation:
    """Carry out a whole pass."""
    return cut(situation, done, len(done.actions))


def cut(situation: Situation, done: Pass, length: int) -> Situation:
    """Carry out the first actions of a pass."""
    after = situation._replace(total=held_total(situation))
    for action in done.actions[:length]:
        after = carry_out(after, action)
    return _forgotten(after._replace(once=""))


def _forgotten(situation: Situation) -> Situation:
    """Leave out of a command what no longer matters once it has been answered."""
    order = situation.spec.order
    if order is None or is_new_order(situation):
        return situation
    answered = Order(CommandVerb.PAUSE, NOBODY, order.number)
    return situation._replace(spec=situation.spec._replace(order=answered))


def held_total(situation: Situation) -> int:
    """Return T: what is asked for, and during a rollout never less than before."""
    asked = situation.spec.total
    if asked == 0 or situation.kept.rollout.phase in AT_REST:
        return asked
    return max(situation.total, asked)


def carry_out(situation: Situation, action: Action) -> Situation:
    """Return the situation after one action."""
    match action.kind:
        case Kind.PERSIST:
            return _persisted(situation, action)
        case Kind.ROUTE:
            assert action.route is not None
            return situation._replace(cluster=situation.cluster.with_route(action.route))
        case Kind.SIZE:
            resized = situation.cluster.resized(action.revision, action.replicas)
            return situation._replace(cluster=resized)


def _persisted(situation: Situation, action: Action) -> Situation:
    assert action.kept is not None
    before, after = situation.kept.rollout, action.kept.rollout
    begins = after.phase is RolloutPhase.PREPARING and (
        before.phase in AT_REST or before.target != after.target
    )
    return situation._replace(
        kept=action.kept,
        stable=action.stable,
        total=situation.spec.total if begins or after.phase in AT_REST else situation.total,
        begun_with=situation.spec.edition if begins else situation.begun_with,
        rejected=_rejected(situation, action.kept.rollout),
    )


def _rejected(situation: Situation, after: Rollout) -> int:
    """Return the rejected revision by the rules of the page, whatever the machine keeps."""
    before, target = situation.kept.rollout, situation.spec.target
    if after.phase is RolloutPhase.ROLLED_BACK:
        if before.phase is after.phase:
            return situation.rejected
        return target if after.target == NAMES[target] else NOBODY
    order = situation.spec.order
    if before.phase is RolloutPhase.ROLLED_BACK and order is not None and is_new_order(situation):
        retries = order.verb is CommandVerb.RETRY and order.revision == target
        return NOBODY if retries else situation.rejected
    return situation.rejected


def is_new_order(situation: Situation) -> bool:
    """Whether the command on the resource has not been answered yet."""
    order = situation.spec.order
    return order is not None and f"nonce-{order.number}" not in situation.kept.rollout.commands


# The cluster


def _steps(situation: Situation, pace: Pace) -> Iterator[tuple[str, Cluster]]:
    """Yield the cluster's own steps, in the order that the pace prefers."""
    kinds = (_syncs, _applies, _readies, _departures)
    if pace is Pace.GONE_FIRST:
        kinds = (_syncs, _departures, _readies, _applies)
    for kind in kinds:
        yield from kind(situation)


Steps = Iterator[tuple[str, Cluster]]


def _syncs(situation: Situation) -> Steps:
    for revision, pods in enumerate(situation.cluster.revisions):
        if pods.live != max(pods.replicas, 0):
            yield f"sync {revision}", world.synced(situation.cluster, revision)


def _applies(situation: Situation) -> Steps:
    if not situation.cluster.is_applied and events.TRAFFIC not in situation.faults:
        yield "traffic applied", world.applied(situation.cluster)


def _readies(situation: Situation) -> Steps:
    for revision, pods in reversed(list(enumerate(situation.cluster.revisions))):
        faults = {events.never_ready(revision), events.crash_loop(revision)}
        if pods.starting and not situation.faults & faults:
            yield f"ready {revision}", world.got_ready(situation.cluster, revision)


def _departures(situation: Situation) -> Steps:
    for revision, pods in enumerate(situation.cluster.revisions):
        if pods.leaving:
            yield f"gone {revision}", world.gone(situation.cluster, revision)


def rest(situation: Situation) -> Situation:
    """Let the cluster do all it can without the operator."""
    while True:
        step = next(_steps(situation, Pace.READY_FIRST), None)
        if step is None:
            return situation
        situation = situation._replace(cluster=step[1])


# Events


def happenings(operator: Operator, situation: Situation) -> Iterator[tuple[Event, Situation]]:
    """Yield every event that changes something here."""
    for event in Event:
        ways = _WAYS.get(event)
        if ways is not None:
            yield from ((event, after) for after in ways(operator, situation))
            continue
        after = events.happen(event, situation)
        if after is not None:
            yield event, after


def _edits(operator: Operator, situation: Situation) -> Iterator[Situation]:
    """Every other edition of the setting."""
    spec = situation.spec
    for number in range(1 + len(operator.setting.edits)):
        if number != spec.edition:
            yield situation._replace(spec=spec._replace(edition=number))


def _restarts(operator: Operator, situation: Situation) -> Iterator[Situation]:
    """A crash after each action, with and without the cluster going on meanwhile."""
    done = operator.run_pass(situation)
    for length in range(1, len(done.actions)):
        cut_short = cut(situation, done, length)
        yield cut_short
        yield rest(cut_short)


def _delays(operator: Operator, situation: Situation) -> Iterator[Situation]:
    """Time goes on although the cluster has something to do."""
    done = operator.run_pass(situation)
    if finish(situation, done) != situation:
        return
    seconds = seconds_to_wait(situation, done)
    if next(_steps(situation, Pace.ANY), None) is not None or seconds is None:
        yield later(operator, situation, seconds or ODD_SECONDS)


def _outages(operator: Operator, situation: Situation) -> Iterator[Situation]:
    """The cluster goes on for a long time without the operator."""
    yield later(operator, rest(situation), AWAY_SECONDS)


_WAYS: Final[dict[Event, Callable[[Operator, Situation], Iterator[Situation]]]] = {
    Event.SETTINGS: _edits,
    Event.RESTART: _restarts,
    Event.DELAY: _delays,
    Event.OUTAGE: _outages,
}
