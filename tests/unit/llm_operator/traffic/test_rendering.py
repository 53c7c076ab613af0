"""What is rendered for traffic, and who is chosen to split it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator import kinds
from llm_operator.api.rollout import Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.api.traffic import Provider
from llm_operator.desired.identity import Identity
from llm_operator.desired.objects import HotSpec, render_disruption_budget
from llm_operator.rollout.state import Frozen, Rollout
from llm_operator.traffic import providers
from llm_operator.traffic.asked import Asked
from llm_operator.world import asked_traffic
from tests.models.traffic import ENVIRONMENT, GATEWAY, HOT, IDENTITY, TrafficModel

OLD, NEW = "bbbbbbbb", "cccccccc"
BARE = type(ENVIRONMENT)("llm-server:1", 1)
some_asked = st.builds(
    Asked,
    stable=st.sampled_from([None, OLD, NEW]),
    canary=st.just(NEW),
    weight_percent=st.integers(0, 100),
    provider=st.sampled_from([Provider.REPLICA_RATIO, Provider.GATEWAY_API]),
)


def a_route(hot: HotSpec = HOT, environment: Any = ENVIRONMENT) -> dict[str, Any]:
    """Return the route of a resource that splits 10 to 90."""
    model = TrafficModel(Provider.GATEWAY_API, environment)
    model.run_pods(OLD, 1)
    model.run_pods(NEW, 1)
    asked = model.asked(OLD, NEW, 10)
    for _ in range(3):
        model.pass_once(asked, hot)
        model.run_all()
    route = model.route()
    assert route is not None
    return route


@pytest.mark.parametrize(
    ("wanted", "gateway", "environment", "chosen"),
    [
        (Provider.AUTO, GATEWAY, ENVIRONMENT, Provider.GATEWAY_API),
        (Provider.AUTO, GATEWAY, BARE, Provider.REPLICA_RATIO),
        (Provider.AUTO, None, ENVIRONMENT, Provider.REPLICA_RATIO),
        (Provider.REPLICA_RATIO, GATEWAY, ENVIRONMENT, Provider.REPLICA_RATIO),
        (Provider.GATEWAY_API, GATEWAY, BARE, Provider.GATEWAY_API),
    ],
)
def test_auto_takes_the_gateway_where_it_can(
    wanted: Provider, gateway: dict[str, Any] | None, environment: Any, chosen: Provider
) -> None:
    """Auto is the Gateway API with a Gateway named and the kind there; the rest is as asked."""
    assert providers.resolve(wanted, gateway, environment) is chosen


FROZEN = Frozen(Strategy.CANARY, 1, 100, Provider.GATEWAY_API)


@pytest.mark.parametrize("phase", RolloutPhase)
def test_a_canary_is_one_while_its_rollout_runs(phase: RolloutPhase) -> None:
    """At rest the last target has no share, and no Service of its own, whatever it was left at."""
    rollout = Rollout(phase=phase, target=NEW, weight_percent=40, frozen=FROZEN)

    asked = asked_traffic(rollout, OLD, NEW, Provider.REPLICA_RATIO)

    if phase in (RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK):
        assert (asked.canary, asked.hashes) == (None, (OLD,))
        assert asked.provider is Provider.REPLICA_RATIO
    else:
        assert asked == Asked(OLD, NEW, 40, Provider.GATEWAY_API), "the provider is frozen"


def test_the_first_revision_has_everything_from_the_start() -> None:
    """Before there is a stable revision the target is the one that traffic is for."""
    for phase in (RolloutPhase.STABLE, RolloutPhase.PREPARING):
        asked = asked_traffic(Rollout(phase=phase, target=NEW), None, NEW, Provider.REPLICA_RATIO)
        assert (asked.base, asked.hashes) == (NEW, (NEW,))


@given(asked=some_asked)
def test_traffic_is_taken_by_those_with_a_share(asked: Asked) -> None:
    """The hashes of PDB and ``status.selector``: one at the ends, both in between, never none."""
    if asked.stable == OLD and 0 < asked.weight_percent < 100:
        assert asked.hashes == (OLD, NEW)
    elif asked.stable == OLD and asked.weight_percent == 0:
        assert asked.hashes == (OLD,)
    else:
        assert asked.hashes == (NEW,)


def test_the_budget_covers_the_revisions_with_traffic() -> None:
    """Pods that load neither count nor block; two revisions with shares are one budget."""
    spec = render_disruption_budget(IDENTITY, (NEW, OLD))["spec"]

    assert spec["selector"]["matchExpressions"] == [
        {"key": kinds.REVISION_LABEL, "operator": "In", "values": [OLD, NEW]}
    ]
    assert spec["selector"]["matchLabels"][kinds.INSTANCE_LABEL] == IDENTITY.name


def test_the_selector_in_status_names_the_same_revisions() -> None:
    """An autoscaler counts the pods that take traffic, and no others."""
    text = IDENTITY.serving_selector((NEW, OLD))

    assert text.endswith(f"{kinds.REVISION_LABEL} in ({OLD},{NEW})")


def test_the_longest_names_fit() -> None:
    """A Service's name has 63 characters at most."""
    longest = Identity("default", "a" * 37, "uid")

    assert len(longest.canary_name) <= 63


def test_the_route_stores_as_it_is_rendered() -> None:
    """Atomic lists are compared whole, so nothing in them is left to the API server's defaults."""
    spec = a_route()["spec"]

    assert spec["hostnames"] == GATEWAY["hostnames"]
    for parent in spec["parentRefs"]:
        assert parent["group"] == "gateway.networking.k8s.io"
        assert parent["kind"] == "Gateway"
    for rule in spec["rules"]:
        assert rule["matches"][0]["path"] == {"type": "PathPrefix", "value": "/"}
        for ref in rule["backendRefs"]:
            assert set(ref) == {"group", "kind", "name", "port", "weight"}
        for header in rule["matches"][0].get("headers", ()):
            assert header["type"] == "Exact"


def test_a_time_limit_is_lifted_only_where_every_gateway_can() -> None:
    """``timeouts`` stands in the route if the classes of all its Gateways support it."""
    two = {"parentRefs": [{"name": "public", "namespace": "infra"}, {"name": "inside"}]}
    hot = HotSpec(HOT.service, None, None, two)
    for gateways, lifted in (
        (frozenset[tuple[str, str]](), False),
        (frozenset({("infra", "public")}), False),
        (frozenset({("infra", "public"), ("default", "inside")}), True),
    ):
        environment = type(ENVIRONMENT)(
            "llm-server:1", 1, kinds.OPTIONAL_KINDS, unlimited_gateways=gateways
        )
        rules = a_route(hot, environment)["spec"]["rules"]
        assert all((rule.get("timeouts") == {"request": "0s"}) == lifted for rule in rules)


def test_a_gateway_taken_out_of_the_spec_keeps_the_route_of_a_rollout() -> None:
    """The provider is frozen while a rollout runs, so the route goes on hanging where it hung."""
    model = TrafficModel(Provider.GATEWAY_API)
    model.run_pods(OLD, 1)
    model.run_pods(NEW, 1)
    asked = model.asked(OLD, NEW, 10)
    model.settle(asked)
    hanging = model.route()
    assert hanging is not None

    model.pass_once(asked, HotSpec(HOT.service, None, None, None))

    assert model.route() == hanging


def test_the_canarys_service_is_inside_only() -> None:
    """A LoadBalancer is for the stable address; the canary's is reached through the Gateway."""
    model = TrafficModel(Provider.GATEWAY_API)
    settings = {"type": "LoadBalancer", "port": 8080, "annotations": {"a": "b"}}
    model.pass_once(model.asked(OLD, NEW, 0), HotSpec(settings, None, None, GATEWAY))

    front = model.children[kinds.SERVICE, IDENTITY.name]
    second = model.children[kinds.SERVICE, IDENTITY.canary_name]

    assert front["spec"]["type"] == "LoadBalancer"
    assert front["metadata"]["annotations"] == {"a": "b"}
    assert second["spec"]["type"] == "ClusterIP"
    assert "annotations" not in second["metadata"]
    assert front["spec"]["ports"] == second["spec"]["ports"]


def test_leaving_the_gateway_removes_what_is_its_own() -> None:
    """With another provider the route and the second Service are not wanted any more."""
    model = TrafficModel(Provider.GATEWAY_API)
    model.run_pods(OLD, 1)
    model.settle(model.asked(OLD, None, 0))
    model.provider = Provider.REPLICA_RATIO

    model.settle(model.asked(OLD, None, 0))

    assert set(model.children) == {(kinds.SERVICE, IDENTITY.name)}
