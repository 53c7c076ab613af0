"""Where runs begin, each brought there by the machine itself."""

from enum import StrEnum

from llm_operator.rollout.state import Rollout
from tests.models.rollouts import cluster as world
from tests.models.rollouts.cluster import NEW, NOBODY, OLD, Cluster
from tests.models.rollouts.events import never_ready
from tests.models.rollouts.moves import Pace, moves
from tests.models.rollouts.operator import Operator
from tests.models.rollouts.situation import Situation, Spec


class Start(StrEnum):
    """What a run begins with."""

    FIRST = "the first revision"
    """Nothing exists yet."""
    EDITED = "an edit"
    """The first revision serves, and the spec has just got another."""
    LOST = "an edit after a loss"
    """The first revision serves nothing any more, for longer than the deadline."""


def begin(operator: Operator, start: Start, limit: int = 3) -> Situation:
    """Return the situation that runs begin with."""
    nothing = operator.shelf.keep(Rollout())
    spec = Spec(OLD, operator.setting.total, limit=limit)
    situation = Situation(nothing, NOBODY, Cluster(), spec)
    if start is Start.FIRST:
        return situation
    situation = _settled(operator, situation)
    if start is Start.LOST:
        lost = world.crashed(situation.cluster, OLD)
        situation = situation._replace(cluster=lost, faults=frozenset({never_ready(OLD)}))
        situation = _settled(operator, situation)
    return situation._replace(spec=situation.spec._replace(target=NEW))


def _settled(operator: Operator, situation: Situation) -> Situation:
    while following := moves(operator, situation, Pace.READY_FIRST):
        situation = following[0].after
    return situation
