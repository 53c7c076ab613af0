"""Rollouts behind a real Gateway: exact shares, whole streams, pinned requests, named refusals."""

from dataclasses import dataclass

import pytest

from e2e import gateway
from e2e.cluster import gateway as addon
from e2e.gateway import behind, bound_points, count_shares, until_paused_at
from e2e.rollouts import NEW, STEP_MILLISECONDS, quick, served, step
from e2e.story import Cluster, Namespace
from e2e.traffic.harness import Load, start
from llm_operator import kinds
from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase

# Whoever is first compiles Traefik: six minutes, once per machine.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600, func_only=True)]

NEWER = "--simulated-prefill-tokens-per-second=50000"
ENDED_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of it is enough: at which weights, by how many requests, with how long streams."""

    name: str
    weights: tuple[int, ...]
    requests: int
    stream_seconds: int

    @property
    def load(self) -> Load:
        """Traffic with streams that last so long, and a little longer."""
        tokens = (self.stream_seconds + 2) * 1000 // STEP_MILLISECONDS
        return Load(1, 1, 2, long_tokens=tokens)


SAMPLE = Extent("sample", (10, 50), 600, 15)
WHOLE = Extent("whole", (10, 25, 50), 1500, 60)
EXTENTS = (SAMPLE, pytest.param(WHOLE, marks=pytest.mark.long))


@pytest.fixture(scope="module")
def gated(cluster: Cluster, module_namespace: Namespace) -> Namespace:
    """A namespace of a cluster with a Gateway, which the operator knows of."""
    addon.install(cluster.backend)
    return module_namespace


@pytest.mark.parametrize("extent", EXTENTS, ids=lambda extent: str(extent.name))
def test_shares_are_the_weights_and_no_stream_is_cut(gated: Namespace, extent: Extent) -> None:
    """Through every step to the end of the bake: exact shares, pins, and long streams."""
    name = f"shared-{extent.name}"
    stops = (step(weight, 1, pause={}) for weight in extent.weights)
    resource = behind(gated, name, *stops, step(100, 1))
    before = resource.stable
    traffic = gateway.send(gated, name, extent.load)
    inside = start(gated, name, Load(1, 1, 0, fresh_connections=True))
    for each in (traffic, inside):
        each.until_answered(within_seconds=60)

    resource.edit_args(NEW)
    canary = resource.until_target_is_not(before)
    for weight_percent in extent.weights:
        until_paused_at(resource, weight_percent)
        shares = count_shares(gated, name, extent.requests)
        assert not shares.failed, shares
        assert set(shares.answered) == {before, canary}
        off = shares.percent(canary) - weight_percent
        assert abs(off) <= bound_points(extent.requests, weight_percent), shares
        for revision in (before, canary):
            pinned = count_shares(gated, name, 20, revision=revision)
            assert pinned.answered == {revision: 20}, "the header does not pin"
        resource.tell("promote-step")
    resource.until_promoted(canary)
    resource.until_alone(canary, within_seconds=ENDED_SECONDS + 2 * extent.stream_seconds)

    traffic.stop()
    inside.stop()
    report = traffic.report()
    report.assert_undisturbed(at_least=100)
    assert report.long_streams(at_least_seconds=extent.stream_seconds), "no stream ran that long"
    inside.report().assert_undisturbed(at_least=100)
    assert gated.get(kinds.SERVICE, f"{name}-canary") is None, "the canary's Service is left"


def test_an_abort_gives_everything_back_to_stable(gated: Namespace) -> None:
    """The route moves first: no request of anybody is lost, and stable keeps its pods."""
    resource = behind(gated, "aborted", step(50, pause={}), step(100))
    before, pods = resource.stable, resource.pods(resource.stable)
    traffic = gateway.send(gated, "aborted", Load(2, 2, 1, long_tokens=150))
    traffic.until_answered(within_seconds=60)
    resource.edit_args(NEWER)
    canary = resource.until_target_is_not(before)
    until_paused_at(resource, 50)

    resource.tell("abort")
    resource.until(RolloutPhase.ROLLED_BACK)
    resource.until_alone(before, within_seconds=ENDED_SECONDS)

    assert count_shares(gated, "aborted", 50).answered == {before: 50}
    assert resource.pods(before) == pods
    traffic.stop()
    report = traffic.report()
    report.assert_undisturbed(at_least=50)
    assert report.answered_by(canary)


def test_a_gateway_that_does_not_exist_is_named(gated: Namespace) -> None:
    """Nothing moves to a route that nobody carries; named, and cured by naming another Gateway."""
    resource = behind(gated, "lost", step(50), step(100), gateway_name="nowhere")
    before = resource.stable
    resource.edit_args(NEW)
    canary = resource.until_target_is_not(before)

    def is_named() -> bool:
        rollout = gated.status("lost").get("rollout", {})
        return (
            rollout.get("reason") == Reason.TRAFFIC_NOT_APPLIED
            and f"{addon.NAMESPACE}/nowhere" in resource.condition("Progressing").message
        )

    gated.until("Progressing names the Gateway", is_named, within_seconds=90)
    assert resource.stable == before

    resource.edit(traffic=gateway.traffic(gated, "lost"))
    resource.until_promoted(canary)
    assert count_shares(gated, "lost", 50).answered == {canary: 50}


def test_a_listener_that_refuses_the_route_is_named(gated: Namespace) -> None:
    """Its words are in the status of a resource at rest, too; inside the cluster all is served."""
    refused = gateway.traffic(gated, "refused")
    refused["gateway"]["parentRefs"][0]["sectionName"] = "no-such-listener"
    manifest = served("refused", quick())
    manifest["spec"]["traffic"] = refused
    gated.apply(manifest)

    def is_named() -> bool:
        message = gated.condition("refused", "Ready").message
        return f"{addon.NAMESPACE}/{addon.GATEWAY}" in message and "refuses" in message

    gated.until("Ready names the Gateway that refuses", is_named, within_seconds=60)
    gated.until(
        "it serves all the same",
        lambda: gated.condition("refused", "Ready").status == "True",
        within_seconds=60,
    )
