from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import OnFailure, Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.api.traffic import Provider
from llm_operator.rollout.forecast import Forecast, Outset, forecast
from llm_operator.rollout.sizes import extra_pods, has_no_room
from llm_operator.rollout.state import Frozen, Intent, Pause, Policy, Rollout, Step, World
from tests.builders import NOW

OLD, NEW = "bbbbbbbb", "cccccccc"


def policy(
    strategy: Strategy = Strategy.CANARY,
    steps: tuple[Step, ...] = (Step(10), Step(50), Step(100)),
    extra: int = 1,
    min_serving: int = 100,
    *,
    paused: bool = False,
) -> Policy:
    """Return what a spec says about rollouts; a bake of 300 s."""
    return Policy(
        strategy=strategy,
        steps=steps,
        max_extra_replicas=extra,
        min_serving_percent=min_serving,
        provider=Provider.REPLICA_RATIO,
        on_failure=OnFailure.ROLLBACK,
        bake=timedelta(seconds=300),
        inconclusive=timedelta(seconds=1800),
        progress_deadline=timedelta(seconds=1800),
        paused=paused,
    )


def serving(pods: int) -> Outset:
    """Return a resource at rest whose old revision has so many ready pods."""
    world = World(ready={OLD: pods}, existing={OLD: pods}, replicas={OLD: pods})
    return Outset(Rollout(target=OLD, stable_was_ready=True), OLD, world)


def created(foreseen: Forecast) -> Counter[str]:
    """Return the pods that are created, by revision."""
    return _sum([moment.created for moment in foreseen.moments])


def removed(foreseen: Forecast) -> Counter[str]:
    """Return the pods that are removed, by revision."""
    return _sum([moment.removed for moment in foreseen.moments])


def _sum(counts: list[Mapping[str, int]]) -> Counter[str]:
    total = Counter[str]()
    for count in counts:
        total.update(count)
    return total


@given(
    strategy=st.sampled_from(Strategy),
    total=st.integers(1, 8),
    extra=st.integers(0, 3),
    min_serving=st.integers(0, 100),
    weights=st.sets(st.integers(1, 100), min_size=1, max_size=5),
)
def test_a_good_rollout_replaces_each_pod_once_and_takes_no_more_room_than_allowed(
    strategy: Strategy, total: int, extra: int, min_serving: int, weights: set[int]
) -> None:
    """T pods come, T go, never more than T + E at a time; where there is no room, none do."""
    asked = policy(strategy, tuple(Step(w) for w in sorted(weights)), extra, min_serving)
    frozen = Frozen(strategy, extra, min_serving, Provider.REPLICA_RATIO)

    foreseen = forecast(serving(total), Intent(NEW, total, asked), NOW)

    if has_no_room(frozen, total):
        assert foreseen.refusal is not None
        assert foreseen.refusal.reason is Reason.NO_ROOM_FOR_ROLLOUT
        assert (foreseen.moments, foreseen.stable) == ((), OLD)
        return
    assert (foreseen.rollout.phase, foreseen.stable) == (RolloutPhase.STABLE, NEW)
    assert created(foreseen) == Counter({NEW: total})
    assert removed(foreseen) == Counter({OLD: total})
    room = total + extra_pods(frozen, total)
    assert max(sum(moment.existing.values()) for moment in foreseen.moments) <= room


def test_the_least_time_is_what_the_policy_asks_for() -> None:
    """Three steps of a minute and a bake of five take eight minutes and little more."""
    foreseen = forecast(serving(5), Intent(NEW, 5, policy()), NOW)

    assert timedelta(minutes=8) <= foreseen.moments[-1].elapsed < timedelta(minutes=9.5)


def test_a_pause_without_an_end_is_passed_by_command_and_says_so() -> None:
    """The moment that waits for ``promote-step`` is marked; the rest is foreseen all the same."""
    steps = (Step(10, pause=Pause()), Step(100))

    foreseen = forecast(serving(3), Intent(NEW, 3, policy(steps=steps)), NOW)

    waits = [moment.rollout.step for moment in foreseen.moments if moment.needs_command]
    assert waits == [0]
    assert foreseen.stable == NEW


def test_a_paused_spec_begins_nothing() -> None:
    """With spec.rollout.paused the old revision serves on, and no pod is created."""
    foreseen = forecast(serving(3), Intent(NEW, 3, policy(paused=True)), NOW)

    assert (foreseen.moments, foreseen.stable) == ((), OLD)


def test_a_rollout_that_the_spec_pauses_stays_where_a_step_paused_it() -> None:
    """No command goes past ``spec.rollout.paused``, so none is foretold, once or for ever."""
    steps = (Step(10, pause=Pause()), Step(100))
    begun = forecast(serving(3), Intent(NEW, 3, policy(steps=steps)), NOW)
    at_pause = next(m for m in begun.moments if m.rollout.phase is RolloutPhase.PAUSED)
    world = World(ready=at_pause.ready, existing=at_pause.existing, replicas=at_pause.existing)
    paused = Outset(at_pause.rollout, OLD, world)

    foreseen = forecast(paused, Intent(NEW, 3, policy(steps=steps, paused=True)), NOW)

    assert not foreseen.is_complete
    assert len(foreseen.moments) <= 1
    assert not any(moment.needs_command for moment in foreseen.moments)


def test_the_first_revision_is_created_at_once() -> None:
    """Without a stable revision there is nothing to step through."""
    foreseen = forecast(Outset(Rollout(), None, World()), Intent(NEW, 3, policy()), NOW)

    assert created(foreseen) == Counter({NEW: 3})
    assert removed(foreseen) == Counter()
    assert (foreseen.rollout.phase, foreseen.stable) == (RolloutPhase.STABLE, NEW)


def test_another_total_is_foreseen_as_well() -> None:
    """Scaling needs no rollout: what is missing is created, what is too much goes."""
    grown = forecast(serving(2), Intent(OLD, 5, policy()), NOW)
    shrunk = forecast(serving(5), Intent(OLD, 2, policy()), NOW)

    assert (created(grown), removed(grown)) == (Counter({OLD: 3}), Counter())
    assert (created(shrunk), removed(shrunk)) == (Counter(), Counter({OLD: 3}))
