"""Beyond what can be walked through: more pods, more events, steps of any kind."""

import random
from collections.abc import Iterator
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_operator.api.rollout import OnFailure, Strategy
from llm_operator.api.traffic import Provider
from llm_operator.rollout.machine import advance
from llm_operator.rollout.state import Pause, Step
from tests.models.rollouts.events import Event
from tests.models.rollouts.moves import Pace
from tests.models.rollouts.run import Run
from tests.models.rollouts.situation import AGES, BAKE_SECONDS, Setting, Shelf

_PAUSES = st.one_of(st.none(), st.builds(Pause, st.one_of(st.none(), st.just(20))))
_WEIGHTS = st.lists(st.integers(1, 100), min_size=1, max_size=6, unique=True).map(sorted)


@st.composite
def _steps(draw: st.DrawFn) -> tuple[Step, ...]:
    return tuple(
        Step(weight, draw(st.sampled_from((0, 10, 30))), draw(_PAUSES)) for weight in draw(_WEIGHTS)
    )


_PLAIN = st.builds(
    Setting,
    total=st.integers(1, 9),
    extra=st.integers(0, 4),
    serving_percent=st.integers(0, 100),
    strategy=st.sampled_from(list(Strategy)),
    steps=_steps(),
    provider=st.sampled_from([Provider.REPLICA_RATIO, Provider.GATEWAY_API]),
    on_failure=st.sampled_from(list(OnFailure)),
    bake_seconds=st.sampled_from((0, BAKE_SECONDS)),
)
_SETTINGS = st.builds(
    lambda setting, edits: replace(setting, edits=tuple(edits)),
    _PLAIN,
    st.lists(_PLAIN, max_size=3),
)

_SEEDS = st.integers(0, 2**32)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(setting=_SETTINGS, seed=_SEEDS)
def test_rules_hold_and_runs_end_well_whatever_happens(setting: Setting, seed: int) -> None:
    """Any events at any point of any rollout break no rule, and the run ends where it may."""
    run = Run(setting, advance).edit()
    for _ in _live(run, random.Random(seed)):
        pass
    run.check_end()
    assert not run.broken, "\n".join(run.told)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(setting=_SETTINGS, seed=_SEEDS)
def test_what_the_model_forgets_makes_no_difference(setting: Setting, seed: int) -> None:
    """Runs that remember the exact age of everything go the same way as those of the walks."""
    exact = Shelf(dict.fromkeys(AGES, 10**6))
    one, other = Run(setting, advance).edit(), Run(setting, advance, exact).edit()
    lives = _live(one, random.Random(seed)), _live(other, random.Random(seed))
    for _ in zip(*lives, strict=True):
        assert _seen(one) == _seen(other)
    assert _seen(one.settle()) == _seen(other.settle())


def _live(run: Run, chance: random.Random) -> Iterator[None]:
    """Let things happen in any order, with up to nine events among them; yield after each."""
    for event in chance.choices(list(Event), k=chance.randint(1, 9)):
        for _ in range(chance.choice((0, 1, 2, 5, 20, 60))):
            options = run.options(Pace.ANY)
            if options:
                run.take(chance.choice(options))
        run.happen(event, chance.randint(0, 9))
        yield


def _seen(run: Run) -> tuple[object, ...]:
    situation = run.situation
    return run.phase, run.elapsed, situation.stable, situation.cluster, situation.rejected
