"""The rollout part of the spec: how one revision replaces another."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Final

from pydantic import Field

from llm_operator.api.analysis import Analysis
from llm_operator.api.autoscaling import REPLICAS_MAX
from llm_operator.api.schema import ATOMIC, ApiModel, Flag, Rule

STEPS_MAX: Final = 20

_DAY_SECONDS: Final = 86_400
_WEEK_SECONDS: Final = 7 * _DAY_SECONDS


class Strategy(StrEnum):
    """How the old revision makes way for the new one."""

    CANARY = "Canary"
    BLUE_GREEN = "BlueGreen"
    ROLLING = "Rolling"
    RECREATE = "Recreate"


class OnFailure(StrEnum):
    """What a failed judgement leads to."""

    ROLLBACK = "Rollback"
    PAUSE = "Pause"


class Pause(ApiModel):
    """A stop after a step. Without seconds it lasts until the command promote-step or resume."""

    empty_is_meant = True

    seconds: Annotated[int, Field(strict=True, ge=1, le=_WEEK_SECONDS)] | None = None
    """How long it lasts, in seconds. Absent: until the command promote-step or resume."""


class Step(ApiModel):
    """One share of the traffic and how long it is kept at least."""

    weight_percent: Annotated[int, Field(strict=True, ge=1, le=100)]
    """Share of the traffic that the new revision gets, in percent."""
    min_seconds: Annotated[int, Field(strict=True, ge=0, le=_DAY_SECONDS)] = 60
    """How long the share is kept at least, in seconds from when it is applied."""
    pause: Pause | None = None
    """A stop after the step. Absent: the next one follows."""


DEFAULT_STEPS: Final = tuple(Step(weight_percent=percent) for percent in (10, 25, 50, 100))


def _rise(steps: Sequence[Step]) -> bool:
    return all(one.weight_percent < next_.weight_percent for one, next_ in pairwise(steps))


_WEIGHTS_RISE: Final = Rule(
    "steps",
    "each weightPercent must be greater than the one before it",
    f"!has(self.steps) || {list(range(STEPS_MAX - 1))}.all(i, i + 1 >= self.steps.size()"
    " || self.steps[i].weightPercent < self.steps[i + 1].weightPercent)",
    lambda self: _rise(self.steps),
)


class RolloutSettings(ApiModel):
    """How a change of revision goes.

    A rollout that is under way keeps the strategy, maxExtraReplicas and minServingPercent that it
    began with; a change of the other fields counts at once.
    """

    rules = (_WEIGHTS_RISE,)

    strategy: Strategy = Strategy.CANARY
    """Canary: step by step, each judged. BlueGreen: the new revision starts at full size beside
    the old one, then all traffic moves; needs twice the accelerators. Rolling: pod by pod, without
    judgement. Recreate: the old revision goes first; nothing serves between."""
    paused: Flag = False
    """Keeps steps from going on and rollouts from beginning; never a rollback."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=STEPS_MAX), ATOMIC] = (
        DEFAULT_STEPS
    )
    """The steps of a Canary, by rising weight; the other strategies have their own. Absent: 10, 25,
    50 and 100 percent, 60 seconds each."""
    max_extra_replicas: Annotated[int, Field(strict=True, ge=0, le=REPLICAS_MAX)] = 1
    """Pods that a rollout may add to replicas. 0 shifts in place, which needs a minServingPercent
    below 100. BlueGreen adds as many as there are."""
    min_serving_percent: Annotated[int, Field(strict=True, ge=0, le=100)] = 100
    """Ready pods that take traffic and that no step goes below, in percent of replicas."""
    on_failure: OnFailure = OnFailure.ROLLBACK
    """What a failed judgement leads to: Rollback goes back to the stable revision, Pause stays as
    it is and waits for a command."""
    bake_seconds: Annotated[int, Field(strict=True, ge=0, le=_DAY_SECONDS)] = 300
    """How long the old revision is kept after the new one took all traffic, to go back to."""
    inconclusive_seconds: Annotated[int, Field(strict=True, ge=1, le=_WEEK_SECONDS)] = 1800
    """How long a step may go without a verdict before onFailure, in seconds."""
    progress_deadline_seconds: Annotated[int, Field(strict=True, ge=1, le=_DAY_SECONDS)] = 1800
    """How long the next pod of a new revision may take to be ready, in seconds."""
    revision_history_limit: Annotated[int, Field(strict=True, ge=0, le=100)] = 10
    """How many revisions that are no longer in use are kept."""
    analysis: Analysis = Analysis()
    """What a new revision is judged by."""
