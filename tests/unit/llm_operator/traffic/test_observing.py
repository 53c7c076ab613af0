"""What is read off the cluster: the share it is set to, and whether proxies have it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator import kinds
from llm_operator.api.traffic import Provider
from llm_operator.traffic import providers
from llm_operator.traffic.asked import Asked
from tests.builders import a_pod
from tests.models.traffic import ENVIRONMENT, IDENTITY, TrafficModel, a_slice

OLD, NEW = "bbbbbbbb", "cccccccc"
RATIO, GATEWAY = Provider.REPLICA_RATIO, Provider.GATEWAY_API


def a_split(provider: Provider, weight_percent: int) -> tuple[TrafficModel, Asked]:
    """Return a model at rest in a step, and what was asked of it."""
    model = TrafficModel(provider)
    model.run_pods(OLD, 2)
    model.run_pods(NEW, 1)
    model.settle(model.asked(OLD, NEW, 0))
    asked = model.asked(OLD, NEW, weight_percent)
    model.settle(asked)
    return model, asked


def edit_condition(model: TrafficModel, type_: str, **change: Any) -> None:
    """Change a condition that the first Gateway set on the route."""
    route = model.route()
    assert route is not None
    conditions = route["status"]["parents"][0]["conditions"]
    next(c for c in conditions if c["type"] == type_).update(change)


@pytest.mark.parametrize("provider", [RATIO, GATEWAY])
@given(weight_percent=st.integers(0, 100))
def test_what_is_asked_is_what_is_read(provider: Provider, weight_percent: int) -> None:
    """Once at rest, every weight reads as it was asked, and as applied."""
    model, asked = a_split(provider, weight_percent)

    seen = model.observe(asked)

    assert (seen.weight_percent, seen.is_applied, seen.problem) == (weight_percent, True, "")
    assert model.objection(asked) == ""


@pytest.mark.parametrize("provider", [RATIO, GATEWAY])
@given(live=st.integers(0, 100), asked_percent=st.integers(0, 100))
def test_a_weight_that_is_not_written_yet_does_not_read_as_asked(
    provider: Provider, live: int, asked_percent: int
) -> None:
    """Before the write the old share is read; with pods as the measure, as near as they tell."""
    model, _ = a_split(provider, live)
    asked = model.asked(OLD, NEW, asked_percent)

    seen = model.observe(asked).weight_percent

    if provider is GATEWAY:
        assert seen == live
    elif live in (0, 100) or asked_percent in (0, 100):
        assert seen == (live if live in (0, 100) else 33)
    else:
        assert seen == asked_percent, "between the ends every weight is the same selector"


@pytest.mark.parametrize("provider", [RATIO, GATEWAY])
def test_endpoints_that_lag_are_not_applied(provider: Provider) -> None:
    """A pod that is ready and not shown, or shown and gone, says that proxies are behind."""
    model, asked = a_split(provider, 50)
    model.run_pods(NEW, 2)
    assert not model.observe(asked).is_applied
    assert "EndpointSlices" in model.observe(asked).problem

    model.run_all()
    assert model.observe(asked).is_applied

    model.run_pods(OLD, 1)
    assert not model.observe(asked).is_applied


def test_terminating_pods_do_not_count() -> None:
    """A pod that ends may still be shown, or not any more: neither is waited for."""
    model, asked = a_split(RATIO, 50)
    leaving = a_pod(OLD, "leaving")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    for shown in ((), ("leaving",)):
        observation = model.observation()
        scene = type(observation)(
            resource=observation.resource,
            children=observation.children,
            pods=(*observation.pods, leaving),
            endpoint_slices=(a_slice(IDENTITY.name, *model.slices[IDENTITY.name], *shown),),
        )
        assert providers.observe(scene, ENVIRONMENT, asked).is_applied, shown


REFUSALS: dict[str, tuple[str, dict[str, Any], str]] = {
    "refused": (
        "Accepted",
        {"status": "False", "reason": "NotAllowedByListeners", "message": "namespace"},
        "refuses",
    ),
    "a Service it cannot find": (
        "ResolvedRefs",
        {"status": "False", "reason": "BackendNotFound", "message": "chat-canary"},
        "BackendNotFound: chat-canary",
    ),
    "an older generation": ("Accepted", {"observedGeneration": 1}, "has not taken up"),
    "older references": ("ResolvedRefs", {"observedGeneration": 1}, "has not taken up"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_gateway_that_does_not_carry_the_route_is_named(case: str) -> None:
    """Accepted and ResolvedRefs, both true, both for this generation; else the Gateway is named."""
    type_, change, words = REFUSALS[case]
    model, asked = a_split(GATEWAY, 50)
    edit_condition(model, type_, **change)

    seen = model.observe(asked)

    lags = "taken up" in words
    assert bool(model.objection(asked)) != lags, "what is only late is nothing to tell people"
    assert not seen.is_applied
    assert 'Gateway "infra/public"' in seen.problem
    assert words in seen.problem
    assert seen.weight_percent == 50, "the share is what the route says, whoever carries it"


def test_a_gateway_that_is_missing_is_named() -> None:
    """Nobody answers for a Gateway that does not exist."""
    model, asked = a_split(GATEWAY, 50)
    route = model.route()
    assert route is not None
    del route["status"]

    assert "does it exist" in model.observe(asked).problem
    assert "infra/public" in model.objection(asked)


def test_every_gateway_must_carry_the_route() -> None:
    """One of two parents that lacks an answer is enough not to be applied, and is the one named."""
    model, asked = a_split(GATEWAY, 50)
    route = model.route()
    assert route is not None
    route["spec"]["parentRefs"].append({"name": "second", "sectionName": "https"})

    seen = model.observe(asked)

    assert not seen.is_applied
    assert '"default/second"' in seen.problem


def test_a_listener_that_answers_for_another_does_not_count() -> None:
    """The answer for one listener of a Gateway is none for another listener of it."""
    model, asked = a_split(GATEWAY, 50)
    route = model.route()
    assert route is not None
    route["status"]["parents"][0]["parentRef"] = {
        **route["status"]["parents"][0]["parentRef"],
        "sectionName": "http",
    }

    assert not model.observe(asked).is_applied


@pytest.mark.parametrize("provider", [RATIO, GATEWAY])
def test_nothing_there_is_unknown(provider: Provider) -> None:
    """Before the first write no share is known, and what is missing is said."""
    model = TrafficModel(provider)

    seen = model.observe(model.asked(None, NEW, 100))

    assert seen.weight_percent is None
    assert not seen.is_applied
    assert "does not exist yet" in seen.problem


def test_a_cluster_without_routes_says_so() -> None:
    """GatewayAPI on a cluster without its kinds cannot be applied, and says what is missing."""
    bare = type(ENVIRONMENT)("llm-server:1", 1)
    model = TrafficModel(GATEWAY, bare)
    model.run_pods(NEW, 1)
    asked = model.asked(None, NEW, 100)
    model.settle(asked)

    seen = model.observe(asked)

    assert not seen.is_applied
    assert "HTTPRoute" in seen.problem
    assert (kinds.HTTP_ROUTE, IDENTITY.name) not in model.children
    assert seen.weight_percent == 100, "inside the cluster the Service has it all"


@pytest.mark.parametrize("provider", [RATIO, GATEWAY])
def test_a_selector_that_somebody_changed_is_unknown(provider: Provider) -> None:
    """A selector with one key more selects nothing that is known here."""
    model, asked = a_split(provider, 0)
    model.children[kinds.SERVICE, IDENTITY.name]["spec"]["selector"]["zone"] = "a"

    seen = model.observe(asked)

    assert seen.weight_percent is None
    assert not seen.is_applied
    assert seen.problem


@pytest.mark.parametrize("provider", [RATIO, GATEWAY])
@given(weight_percent=st.integers(0, 100), split=st.integers(0, 100))
def test_applied_has_no_problem_and_the_rest_has_one(
    provider: Provider, weight_percent: int, split: int
) -> None:
    """``problem`` is empty exactly when the share is known and applied."""
    model, _ = a_split(provider, weight_percent)
    for asked in (
        model.asked(OLD, NEW, split),
        model.asked(NEW, NEW, split),
        model.asked(OLD, None, 0),
        model.asked(None, NEW, 100),
    ):
        seen = model.observe(asked)
        assert seen.is_applied == (not seen.problem)
        assert seen.weight_percent is not None or not seen.is_applied
