"""Traffic changes hands without a gap, however late anything becomes known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.traffic import Provider
from llm_operator.traffic.asked import Asked
from tests.models.traffic import IDENTITY, SERVICES, TrafficModel

OLD, NEW, NEXT = "bbbbbbbb", "cccccccc", "dddddddd"
PROVIDERS = (Provider.REPLICA_RATIO, Provider.GATEWAY_API)
weights = st.integers(min_value=1, max_value=99)
turns = st.lists(st.sampled_from(["pass", "proxy", *SERVICES]), min_size=0, max_size=12)
"""Who acts next while a move is under way: operator, proxy, or the endpoint controller."""


def assert_served(model: TrafficModel, by: set[str]) -> None:
    """Fail if the proxy sends anything to nobody, or to a revision that may not have traffic."""
    shares = model.shares()
    assert set(shares) <= by, f"{shares} while only {by} may serve; {model.children}"
    assert shares, "no request is answered"
    missing = model.named_by_proxy() - model.services()
    assert not missing, f"the proxy still knows {missing}"


def act(model: TrafficModel, asked: Asked, who: str) -> None:
    """Let one of the actors take its turn."""
    match who:
        case "pass":
            model.pass_once(asked)
        case "proxy":
            model.run_proxy()
        case _:
            model.run_endpoints(who)


def move(model: TrafficModel, asked: Asked, order: list[str], by: set[str]) -> None:
    """Go over to what is asked in some order of turns, watching, then let everything settle."""
    for who in order:
        act(model, asked, who)
        assert_served(model, by)
    for _ in range(10):
        for who in (*SERVICES, *["proxy"] * (len(model.backlog) + len(SERVICES))):
            act(model, asked, who)
            assert_served(model, by)
        if not model.pass_once(asked):
            return
    raise AssertionError(f"{asked} does not come to rest")


def at_rest(provider: Provider, old: int = 2) -> TrafficModel:
    """Return a model in which the old revision is stable and serves."""
    model = TrafficModel(provider)
    model.run_pods(OLD, old)
    model.settle(model.asked(OLD, None, 0))
    return model


def in_step(provider: Provider, weight_percent: int) -> TrafficModel:
    """Return a model in a step of a canary; 100 is the last."""
    model = at_rest(provider)
    model.settle(model.asked(OLD, NEW, 0))
    model.run_pods(NEW, 2)
    model.run_all()
    model.settle(model.asked(OLD, NEW, weight_percent))
    return model


def promoted(provider: Provider) -> TrafficModel:
    """Return a model that bakes."""
    model = in_step(provider, 100)
    model.settle(model.asked(NEW, NEW, 100))
    return model


@pytest.mark.parametrize("provider", PROVIDERS)
@given(first=st.integers(0, 99), second=st.integers(0, 100), order=turns)
def test_a_step_serves_throughout(
    provider: Provider, first: int, second: int, order: list[str]
) -> None:
    """From any weight to any other, each request finds a pod of stable or of the canary."""
    model = in_step(provider, first)
    asked = model.asked(OLD, NEW, second)

    move(model, asked, order, {OLD, NEW})

    assert model.observe(asked).weight_percent == second
    assert model.observe(asked).is_applied


@pytest.mark.parametrize("provider", PROVIDERS)
@given(order=turns)
def test_a_first_step_follows_the_readiness_of_the_canary(
    provider: Provider, order: list[str]
) -> None:
    """A canary that is ready only now gets its share when its Service shows it, not before."""
    model = at_rest(provider)
    model.settle(model.asked(OLD, NEW, 0))
    model.run_pods(NEW, 1)

    move(model, model.asked(OLD, NEW, 10), order, {OLD, NEW})


@pytest.mark.parametrize("provider", PROVIDERS)
@given(handover=turns, leaving=turns)
def test_promotion_serves_throughout(
    provider: Provider, handover: list[str], leaving: list[str]
) -> None:
    """The pointer moves, then baking ends: all of it is the new revision's, all the time."""
    model = in_step(provider, 100)

    move(model, model.asked(NEW, NEW, 100), handover, {NEW})
    model.run_pods(OLD, 0)
    model.run_all()
    move(model, model.asked(NEW, None, 0), leaving, {NEW})

    assert set(model.slices) == {IDENTITY.name}


@pytest.mark.parametrize("provider", PROVIDERS)
@given(handover=turns, back=turns)
def test_a_promotion_is_taken_back_without_a_gap(
    provider: Provider, handover: list[str], back: list[str]
) -> None:
    """Even amid the handover: the kept pods of the old revision take everything again."""
    model = in_step(provider, 100)
    for who in handover:
        act(model, model.asked(NEW, NEW, 100), who)
    asked = model.asked(OLD, NEW, 0)

    move(model, asked, back, {OLD, NEW})

    assert model.shares() == {OLD: 1.0}
    assert model.observe(asked).weight_percent == 0


@pytest.mark.parametrize("provider", PROVIDERS)
@given(order=turns, later=turns)
def test_a_failed_promotion_serves_until_an_old_pod_is_ready(
    provider: Provider, order: list[str], later: list[str]
) -> None:
    """With none of the old pods left the failed revision goes on: its errors beat no answer."""
    model = promoted(provider)
    model.run_pods(OLD, 0)
    model.run_all()

    move(model, model.asked(OLD, NEW, 100), order, {NEW})
    model.run_pods(OLD, 1)
    move(model, model.asked(OLD, NEW, 0), later, {OLD, NEW})

    assert model.shares() == {OLD: 1.0}


@pytest.mark.parametrize("provider", PROVIDERS)
@given(handover=turns, order=turns)
def test_the_next_canary_waits_for_the_traffic_of_the_last(
    provider: Provider, handover: list[str], order: list[str]
) -> None:
    """An edit amid the handover of a promotion: the Service is not emptied under its share."""
    model = in_step(provider, 100)
    for who in ("pass", *handover):
        act(model, model.asked(NEW, NEW, 100), who)
        assert_served(model, {NEW})

    move(model, model.asked(NEW, NEXT, 0), order, {NEW})
    assert model.observe(model.asked(NEW, NEXT, 0)).is_applied


@given(handover=turns, order=turns, weight_percent=st.integers(0, 100))
def test_a_share_of_another_canary_starts_from_nothing(
    handover: list[str], order: list[str], weight_percent: int
) -> None:
    """A share that the last canary still has is no share of the next one."""
    model = in_step(Provider.GATEWAY_API, 100)
    model.run_pods(NEXT, 1)
    for who in ("pass", *handover):
        act(model, model.asked(NEW, NEW, 100), who)
    asked = model.asked(NEW, NEXT, weight_percent)

    move(model, asked, order, {NEW, NEXT})

    assert model.observe(asked).weight_percent == weight_percent
    assert model.shares().get(NEXT, 0) == pytest.approx(weight_percent / 100)


@pytest.mark.parametrize("provider", PROVIDERS)
@given(weight_percent=weights, order=turns)
def test_a_lost_status_of_traffic_comes_to_rest(
    provider: Provider, weight_percent: int, order: list[str]
) -> None:
    """A rollout forgotten amid a step leaves stable with everything, and no other Service."""
    model = in_step(provider, weight_percent)

    move(model, model.asked(OLD, None, 0), order, {OLD, NEW})

    assert model.shares() == {OLD: 1.0}
    assert model.settle(model.asked(OLD, None, 0)) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
@given(order=turns)
def test_without_pods_of_stable_everything_is_the_canarys(
    provider: Provider, order: list[str]
) -> None:
    """Recreate: stable is gone first, and from the first ready pod on the canary serves."""
    model = at_rest(provider)
    model.run_pods(OLD, 0)
    model.run_all()
    model.settle(model.asked(OLD, NEW, 0))
    model.run_pods(NEW, 2)
    model.run_all()
    asked = model.asked(OLD, NEW, 100)
    model.settle(asked)

    assert model.shares() == {NEW: 1.0}
    assert model.observe(asked).weight_percent == 100
    assert model.slices[IDENTITY.name], "clients inside the cluster find the canary"
    move(model, model.asked(NEW, NEW, 100), order, {NEW})


def test_the_gateway_pins_what_the_header_asks_for() -> None:
    """At any weight a request that names a live revision goes there; others are split."""
    steps: list[tuple[int, str, dict[str, float]]] = [
        (0, NEW, {NEW: 1.0}),
        (30, NEW, {NEW: 1.0}),
        (30, OLD, {OLD: 1.0}),
        (100, OLD, {OLD: 1.0}),
        (30, NEXT, {OLD: 0.7, NEW: 0.3}),
    ]
    for weight_percent, hash_, wanted in steps:
        model = in_step(Provider.GATEWAY_API, weight_percent)
        assert model.pinned(hash_) == pytest.approx(wanted), weight_percent


@given(weight_percent=st.integers(0, 100))
def test_the_gateway_splits_exactly(weight_percent: int) -> None:
    """The canary's share of requests is its weight, whatever the number of pods."""
    model = in_step(Provider.GATEWAY_API, weight_percent)
    model.run_pods(OLD, 5)
    model.run_all()

    assert model.shares().get(NEW, 0) == pytest.approx(weight_percent / 100)
