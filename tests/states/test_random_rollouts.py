"""Beyond what can be walked through: more pods, more events, steps of any kind."""

from collections.abc import Iterator

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_operator.api.rollout import OnFailure, Strategy
from llm_operator.api.traffic import Provider
from llm_operator.rollout.machine import advance
from llm_operator.rollout.state import Pause, Step
from tests.models.rollouts.events import Event
from tests.models.rollouts.moves import Pace
from tests.models.rollouts.run import Run
from tests.models.rollouts.situation import AGES, Setting, Shelf

_PAUSES = st.one_of(st.none(), st.builds(Pause, st.one_of(st.none(), st.just(20))))
_WEIGHTS = st.lists(st.integers(1, 100), min_size=1, max_size=6, unique=True).map(sorted)


@st.composite
def _steps(draw: st.DrawFn) -> tuple[Step, ...]:
    return tuple(
        Step(weight, draw(st.sampled_from((0, 10, 30))), draw(_PAUSES)) for weight in draw(_WEIGHTS)
    )


_SETTINGS = st.builds(
    Setting,
    total=st.integers(1, 9),
    extra=st.integers(0, 4),
    serving_percent=st.integers(0, 100),
    strategy=st.sampled_from(list(Strategy)),
    steps=_steps(),
    provider=st.sampled_from([Provider.REPLICA_RATIO, Provider.GATEWAY_API]),
    on_failure=st.sampled_from(list(OnFailure)),
)

_EVENTS = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(list(Event)), st.integers(0, 9)), max_size=8
)
"""(moves before it, event, which of its kinds)."""


_CHOICES = st.lists(st.integers(0, 9), max_size=400)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(setting=_SETTINGS, events=_EVENTS, choices=_CHOICES)
def test_rules_hold_and_runs_end_well_whatever_happens(
    setting: Setting, events: list[tuple[int, Event, int]], choices: list[int]
) -> None:
    """Any events at any point of any rollout break no rule, and the run ends where it may."""
    run = Run(setting, advance).edit()
    turns = iter(choices)
    for moves, event, kind in events:
        _go_on(run, moves, turns)
        run.happen(event, kind)
    _go_on(run, 30, turns)
    run.check_end()
    assert not run.broken, run.broken


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(setting=_SETTINGS, events=_EVENTS, choices=_CHOICES)
def test_what_the_model_forgets_makes_no_difference(
    setting: Setting, events: list[tuple[int, Event, int]], choices: list[int]
) -> None:
    """Runs that remember the exact age of everything go the same way as those of the walks."""
    exact = Shelf(dict.fromkeys(AGES, 10**6))
    runs = (Run(setting, advance).edit(), Run(setting, advance, exact).edit())
    turns = tuple(iter(choices) for _ in runs)
    for moves, event, kind in events:
        for run, choice in zip(runs, turns, strict=True):
            _go_on(run, moves, choice)
            run.happen(event, kind)
        assert _seen(runs[0]) == _seen(runs[1])
    assert _seen(runs[0].settle()) == _seen(runs[1].settle())


def _seen(run: Run) -> tuple[object, ...]:
    situation = run.situation
    return run.phase, run.elapsed, situation.stable, situation.cluster, situation.rejected


def _go_on(run: Run, moves: int, turns: Iterator[int]) -> None:
    for _ in range(moves):
        options = run.options(Pace.ANY)
        if not options:
            return
        run.take(options[next(turns, 0) % len(options)])
