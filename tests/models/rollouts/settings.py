"""The settings that are walked through: totals, extras, minima, strategies, steps, providers."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Final

from llm_operator.api.rollout import OnFailure, Strategy
from llm_operator.api.traffic import Provider
from llm_operator.rollout.state import Pause, Step
from tests.models.rollouts.situation import MIN_SECONDS, PAUSE_SECONDS, Setting

TOTALS: Final = (1, 2, 3)
EXTRAS: Final = (0, 1, 2)
SERVING_PERCENTS: Final = (0, 50, 67, 100)
PROVIDERS: Final = (Provider.REPLICA_RATIO, Provider.GATEWAY_API)


def step(weight_percent: int, pause: Pause | None = None) -> Step:
    """Return a step of a canary."""
    return Step(weight_percent, MIN_SECONDS, pause)


FOUR_STEPS: Final = (step(10), step(34), step(67), step(100))
"""With three pods, each has another number of canary pods."""
PAUSING_STEPS: Final = (step(25, Pause(PAUSE_SECONDS)), step(50, Pause()), step(100))
SHORT_STEPS: Final = (step(50),)
"""The last step is no full one: promotion goes the rest of the way."""


def minima(total: int) -> tuple[int, ...]:
    """Return the percentages that mean different numbers of pods for this total."""
    by_pods = {-(-total * percent // 100): percent for percent in reversed(SERVING_PERCENTS)}
    return tuple(sorted(by_pods.values()))


def sizes() -> Iterator[tuple[int, int, int]]:
    """Yield (total, extra, serving percent), each combination that differs once."""
    for total, extra in product(TOTALS, EXTRAS):
        yield from ((total, extra, percent) for percent in minima(total))


def canaries(steps: tuple[Step, ...], on_failure: OnFailure) -> Iterator[Setting]:
    """Yield a canary of every size with both providers."""
    for (total, extra, percent), provider in product(sizes(), PROVIDERS):
        yield Setting(total, extra, percent, Strategy.CANARY, steps, provider, on_failure)


def presets() -> Iterator[Setting]:
    """Yield the other strategies, which differ by size only as far as they look at it."""
    for provider, total in product(PROVIDERS, TOTALS):
        for strategy in (Strategy.BLUE_GREEN, Strategy.RECREATE):
            yield Setting(total, 1, 100, strategy, FOUR_STEPS, provider)
    for (total, extra, percent), provider in product(sizes(), PROVIDERS):
        yield Setting(total, extra, percent, Strategy.ROLLING, FOUR_STEPS, provider)


_OTHER_STEPS: Final = {
    FOUR_STEPS: PAUSING_STEPS,
    PAUSING_STEPS: SHORT_STEPS,
    SHORT_STEPS: FOUR_STEPS,
}
_OTHER_STRATEGY: Final = {
    Strategy.CANARY: Strategy.RECREATE,
    Strategy.RECREATE: Strategy.ROLLING,
    Strategy.ROLLING: Strategy.BLUE_GREEN,
    Strategy.BLUE_GREEN: Strategy.CANARY,
}


def editable(setting: Setting) -> Setting:
    """Return a setting with two edits: of what is live while it runs, and of what is frozen."""
    pauses = setting.on_failure is OnFailure.PAUSE
    live = replace(
        setting,
        steps=_OTHER_STEPS[setting.steps],
        on_failure=OnFailure.ROLLBACK if pauses else OnFailure.PAUSE,
        bake_seconds=0,
    )
    by_ratio = setting.provider is Provider.REPLICA_RATIO
    frozen = replace(
        setting,
        strategy=_OTHER_STRATEGY[setting.strategy],
        extra=(setting.extra + 2) % len(EXTRAS),
        serving_percent=0 if setting.serving_percent else 100,
        provider=Provider.GATEWAY_API if by_ratio else Provider.REPLICA_RATIO,
    )
    return replace(setting, edits=(live, frozen))
