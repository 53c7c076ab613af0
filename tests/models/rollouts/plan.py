"""Which walks there are: the whole of ``make states``, and the sample that the tests take."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, product
from typing import Final, NamedTuple

from llm_operator.api.rollout import OnFailure, Strategy
from llm_operator.api.traffic import Provider
from llm_operator.rollout.machine import advance
from tests.models.rollouts.explorer import Explorer, Report
from tests.models.rollouts.moves import Pace
from tests.models.rollouts.settings import (
    FOUR_STEPS,
    PAUSING_STEPS,
    SHORT_STEPS,
    canaries,
    editable,
    presets,
    sizes,
)
from tests.models.rollouts.situation import Setting
from tests.models.rollouts.starts import Start

_WAYS: Final = (
    (Provider.REPLICA_RATIO, Pace.READY_FIRST),
    (Provider.GATEWAY_API, Pace.GONE_FIRST),
    (Provider.REPLICA_RATIO, Pace.GONE_FIRST),
    (Provider.GATEWAY_API, Pace.READY_FIRST),
)
"""Taken in turns where walking all of them would only take longer."""


class Walk(NamedTuple):
    """One setting, the order of things, where it begins and how many events may happen."""

    setting: Setting
    pace: Pace
    events: int
    start: Start = Start.EDITED

    def __str__(self) -> str:
        return f"{self.setting}, {self.pace}, {self.start}, {self.events} events"


def whole() -> list[Walk]:
    """Return all walks, the longest first: that keeps every process busy to the end."""
    walks = [_editable(walk) for walk in (*one_event(), *two_events(), *other_starts())]
    return sorted(walks, key=lambda walk: (-walk.events, -walk.setting.total))


def _editable(walk: Walk) -> Walk:
    """Let people also edit the settings that it is about."""
    return walk._replace(setting=editable(walk.setting))


def one_event() -> Iterator[Walk]:
    """One event at any point, in every order of things, of every setting."""
    for setting in (
        *canaries(FOUR_STEPS, OnFailure.ROLLBACK),
        *canaries(PAUSING_STEPS, OnFailure.PAUSE),
        *canaries(SHORT_STEPS, OnFailure.ROLLBACK),
        *presets(),
    ):
        yield Walk(setting, Pace.ANY, 1)


def two_events() -> Iterator[Walk]:
    """Two events at any two points: canaries of every size in every way, the others in turns."""
    for (total, extra, percent), (provider, pace) in product(sizes(), _WAYS):
        canary = Setting(total, extra, percent, Strategy.CANARY, FOUR_STEPS, provider)
        yield Walk(canary, pace, 2)
    for setting, (provider, pace) in zip(_others(), cycle(_WAYS), strict=False):
        yield Walk(replace(setting, provider=provider), pace, 2)


def _others() -> Iterator[Setting]:
    for total, extra, percent in ((1, 1, 100), (2, 0, 50), (2, 2, 100), (3, 1, 100)):
        for strategy in (Strategy.BLUE_GREEN, Strategy.ROLLING, Strategy.RECREATE):
            yield Setting(total, extra, percent, strategy, FOUR_STEPS, Provider.AUTO)
        canary, auto = Strategy.CANARY, Provider.AUTO
        for steps in (PAUSING_STEPS, SHORT_STEPS):
            yield Setting(total, extra, percent, canary, steps, auto)
        yield Setting(total, extra, percent, canary, FOUR_STEPS, auto, OnFailure.PAUSE)


def other_starts() -> Iterator[Walk]:
    """Two events from the first revision on, and after stable was lost."""
    ways = cycle(_WAYS)
    for start in (Start.FIRST, Start.LOST):
        for strategy, (provider, pace) in zip(Strategy, ways, strict=False):
            for total, extra, percent in ((1, 0, 0), (2, 1, 100), (3, 0, 50)):
                setting = Setting(total, extra, percent, strategy, FOUR_STEPS, provider)
                yield Walk(setting, pace, 2, start)


def sample() -> list[Walk]:
    """Return walks of some seconds each that see every phase, change and event."""
    canary, gateway = Strategy.CANARY, Provider.GATEWAY_API
    pausing = Setting(1, 1, 100, canary, PAUSING_STEPS, gateway, OnFailure.PAUSE)
    walks = [
        Walk(Setting(1, 1, 100, canary, SHORT_STEPS, gateway), Pace.READY_FIRST, 2),
        Walk(pausing, Pace.GONE_FIRST, 2),
        Walk(Setting(3, 1, 100, canary, FOUR_STEPS, Provider.REPLICA_RATIO), Pace.ANY, 1),
        Walk(Setting(3, 0, 50, canary, FOUR_STEPS, gateway), Pace.ANY, 1),
        Walk(Setting(2, 1, 100, Strategy.BLUE_GREEN, FOUR_STEPS, gateway), Pace.ANY, 1),
        Walk(Setting(2, 1, 50, Strategy.ROLLING, FOUR_STEPS, gateway), Pace.ANY, 1),
        Walk(Setting(2, 1, 50, Strategy.RECREATE, FOUR_STEPS, gateway), Pace.ANY, 1),
        Walk(Setting(2, 1, 100, canary, FOUR_STEPS, gateway), Pace.ANY, 1, Start.FIRST),
        Walk(Setting(2, 1, 100, canary, FOUR_STEPS, gateway), Pace.ANY, 1, Start.LOST),
    ]
    return [_editable(walk) for walk in walks]


def take(walk: Walk) -> Report:
    """Walk with the real machine."""
    return Explorer(walk.setting, advance, walk.pace).explore(walk.events, walk.start)
