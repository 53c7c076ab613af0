"""What people and accidents do to a resource, at any point of a run.

Commands name the revision of the spec. Faults last until the event that repairs them. ``Restart``
and ``Outage`` concern the operator and are the explorer's, as they cut a pass or skip time;
``Settings`` has as many ways to happen as the setting has editions.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from llm_operator.api.command import CommandVerb
from tests.models.rollouts import cluster as world
from tests.models.rollouts.cluster import NEW, NEXT, NOBODY, OLD, Cluster
from tests.models.rollouts.situation import Order, Situation


class Event(StrEnum):
    """The events that are tried at every point."""

    EDIT = "edit"
    REVERT = "revert"
    PROMOTE = "promote"
    PROMOTE_STEP = "promote-step"
    ABORT = "abort"
    RETRY = "retry"
    PAUSE = "pause"
    RESUME = "resume"
    SETTINGS = "settings edited"
    SPEC_PAUSE = "paused in spec"
    SPEC_GO_ON = "not paused in spec"
    SCALE_UP = "scale up"
    SCALE_DOWN = "scale down"
    STOP = "scale to zero"
    LOSE_CANARY = "lose a canary pod"
    LOSE_CANARIES = "lose all canary pods"
    LOSE_STABLE = "lose a stable pod"
    LOSE_STABLES = "lose all stable pods"
    NEVER_READY = "canary never ready"
    CRASH_LOOP = "canary crashes for good"
    STABLE_NEVER_READY = "stable never ready"
    PODS_REPAIRED = "pods repaired"
    METRICS_LOST = "metrics lost"
    METRICS_BACK = "metrics back"
    JUDGED_BAD = "judged bad"
    RESTARTING = "canary restarts again and again"
    UNDECIDED = "never decided"
    JUDGED_GOOD = "judged good"
    COUNTER_RESET = "counter reset"
    LATE_VERDICT = "late verdict"
    TRAFFIC_STUCK = "traffic not applied"
    TRAFFIC_BACK = "traffic applied again"
    RESTART = "restart"
    DELAY = "delay"
    OUTAGE = "operator away"


METRICS: Final = "metrics"
BAD: Final = "bad"
RESTARTS: Final = "restarts"
UNDECIDED: Final = "undecided"
TRAFFIC: Final = "traffic"


def never_ready(revision: int) -> str:
    """Return the fault that keeps pods of a revision from getting ready."""
    return f"never ready {revision}"


def crash_loop(revision: int) -> str:
    """Return the fault that also names a final cause."""
    return f"crash loop {revision}"


def happen(event: Event, situation: Situation) -> Situation | None:
    """Return the situation after an event; None where it changes nothing or cannot be."""
    after = _HAPPENINGS[event](situation)
    return None if after == situation else after


def _edit(situation: Situation) -> Situation:
    return _write_target(situation, NEXT if situation.spec.target == NEW else NEW)


def _revert(situation: Situation) -> Situation:
    return _write_target(situation, OLD)


def _write_target(situation: Situation, target: int) -> Situation:
    """A rejection lasts while the spec has the hash; what the judge saw was the other revision."""
    if target == situation.spec.target:
        return situation
    return situation._replace(
        spec=situation.spec._replace(target=target),
        rejected=NOBODY,
        faults=situation.faults - {BAD, UNDECIDED, RESTARTS},
    )


def _command(verb: CommandVerb) -> Callable[[Situation], Situation]:
    def write(situation: Situation) -> Situation:
        spec = situation.spec
        number = spec.order.number + 1 if spec.order else 1
        return situation._replace(spec=spec._replace(order=Order(verb, spec.target, number)))

    return write


def _paused(*, paused: bool) -> Callable[[Situation], Situation]:
    return lambda situation: situation._replace(spec=situation.spec._replace(paused=paused))


def _scaled(change: int) -> Callable[[Situation], Situation]:
    def write(situation: Situation) -> Situation:
        spec = situation.spec
        total = min(max(spec.total + change, 0), spec.limit)
        return situation._replace(spec=spec._replace(total=total))

    return write


def _stopped(situation: Situation) -> Situation:
    return situation._replace(spec=situation.spec._replace(total=0))


Accident = Callable[[Cluster, int], Cluster]


def _lose(role: Callable[[Situation], int], accident: Accident) -> Callable[[Situation], Situation]:
    def lose(situation: Situation) -> Situation:
        revision = role(situation)
        if revision == NOBODY or situation.cluster.revisions[revision].ready == 0:
            return situation
        return situation._replace(cluster=accident(situation.cluster, revision))

    return lose


def _the_canary(situation: Situation) -> int:
    """The revision beside stable; while baking, the old one."""
    previous = situation.kept.rollout.previous
    if previous is not None:
        return world.NAMES.index(previous)
    target = situation.kept.rollout.target
    canary = world.NAMES.index(target) if target else NOBODY
    return NOBODY if canary == situation.stable else canary


def _the_stable(situation: Situation) -> int:
    return situation.stable


def _stuck(
    role: Callable[[Situation], int], fault: Callable[[int], str]
) -> Callable[[Situation], Situation]:
    def stick(situation: Situation) -> Situation:
        revision = role(situation)
        if revision == NOBODY:
            return situation
        return situation._replace(faults=situation.faults | {fault(revision)})

    return stick


def _crashing(situation: Situation) -> Situation:
    target = situation.spec.target
    crashed = world.crashed(situation.cluster, target)
    return situation._replace(cluster=crashed, faults=situation.faults | {crash_loop(target)})


def _the_target(situation: Situation) -> int:
    return situation.spec.target


def _repaired(situation: Situation) -> Situation:
    kept = frozenset(f for f in situation.faults if not f.startswith(("never", "crash")))
    return situation._replace(faults=kept)


def _broken(*faults: str) -> Callable[[Situation], Situation]:
    return lambda situation: situation._replace(faults=situation.faults | set(faults))


def _mended(*faults: str) -> Callable[[Situation], Situation]:
    return lambda situation: situation._replace(faults=situation.faults - set(faults))


def _once(what: Event) -> Callable[[Situation], Situation]:
    return lambda situation: situation._replace(once=what.value)


def _not_here(situation: Situation) -> Situation:
    return situation


_HAPPENINGS: Final[Mapping[Event, Callable[[Situation], Situation]]] = {
    Event.EDIT: _edit,
    Event.REVERT: _revert,
    Event.PROMOTE: _command(CommandVerb.PROMOTE),
    Event.PROMOTE_STEP: _command(CommandVerb.PROMOTE_STEP),
    Event.ABORT: _command(CommandVerb.ABORT),
    Event.RETRY: _command(CommandVerb.RETRY),
    Event.PAUSE: _command(CommandVerb.PAUSE),
    Event.RESUME: _command(CommandVerb.RESUME),
    Event.SETTINGS: _not_here,
    Event.SPEC_PAUSE: _paused(paused=True),
    Event.SPEC_GO_ON: _paused(paused=False),
    Event.SCALE_UP: _scaled(1),
    Event.SCALE_DOWN: _scaled(-1),
    Event.STOP: _stopped,
    Event.LOSE_CANARY: _lose(_the_canary, world.evicted),
    Event.LOSE_CANARIES: _lose(_the_canary, world.crashed),
    Event.LOSE_STABLE: _lose(_the_stable, world.evicted),
    Event.LOSE_STABLES: _lose(_the_stable, world.crashed),
    Event.NEVER_READY: _stuck(_the_target, never_ready),
    Event.CRASH_LOOP: _crashing,
    Event.STABLE_NEVER_READY: _stuck(_the_stable, never_ready),
    Event.PODS_REPAIRED: _repaired,
    Event.METRICS_LOST: _broken(METRICS),
    Event.METRICS_BACK: _mended(METRICS),
    Event.JUDGED_BAD: _broken(BAD),
    Event.RESTARTING: _broken(RESTARTS),
    Event.UNDECIDED: _broken(UNDECIDED),
    Event.JUDGED_GOOD: _mended(BAD, UNDECIDED, RESTARTS),
    Event.COUNTER_RESET: _once(Event.COUNTER_RESET),
    Event.LATE_VERDICT: _once(Event.LATE_VERDICT),
    Event.TRAFFIC_STUCK: _broken(TRAFFIC),
    Event.TRAFFIC_BACK: _mended(TRAFFIC),
    Event.RESTART: _not_here,
    Event.DELAY: _not_here,
    Event.OUTAGE: _not_here,
}
