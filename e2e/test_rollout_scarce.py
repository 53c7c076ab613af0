"""Changes where every accelerator is in use: in place, pod by pod, or refused with what to do.

The accelerators are fake: the node offers them, nothing checks that they exist.
"""

from collections.abc import Iterator

import pytest

from e2e.manifests import Manifest
from e2e.rollouts import NEW, Rolled, noted, quick, served, step, wait_for_all
from e2e.story import Cluster, Namespace
from e2e.traffic.harness import Load, start
from llm_operator.api.reasons import Reason
from llm_operator.kinds import ResourceKind

pytestmark = pytest.mark.cluster

FOUR, TWO = "example.com/e2e-four", "example.com/e2e-two"
LOAD = Load(1, 1, 1, long_tokens=100, fresh_connections=True)
EVENTS = ResourceKind("", "v1", "events", "Event")


def in_place(name: str, accelerator: str, replicas: int, min_serving_percent: int) -> Manifest:
    """Return a resource that wants every accelerator there is, and no pod more."""
    rollout = quick(
        step(25),
        step(50),
        step(100),
        maxExtraReplicas=0,
        minServingPercent=min_serving_percent,
    )
    device = {"resourceName": accelerator, "count": 1}
    return served(name, rollout, replicas=replicas, accelerator=device)


@pytest.fixture(scope="module")
def serving(cluster: Cluster, module_namespace: Namespace) -> Iterator[Namespace]:
    """Two resources that serve on all of the accelerators."""
    for resource_name, count in ((FOUR, 4), (TWO, 2)):
        cluster.backend.fake_accelerator(resource_name, count)
    module_namespace.apply(in_place("roomy", FOUR, 4, 75))
    module_namespace.apply(in_place("tight", TWO, 2, 100))
    wait_for_all([Rolled(module_namespace, name) for name in ("roomy", "tight")])
    yield module_namespace
    module_namespace.kubectl("delete", "llmdeployments", "--all", "--wait=false")
    for resource_name in (FOUR, TWO):
        cluster.backend.remove_accelerator(resource_name)


def test_a_canary_without_room_names_the_fields_that_allow_it(serving: Namespace) -> None:
    """No extra pod and all of them serving: refused, stable untouched; fewer serving: promoted."""
    tight = Rolled(serving, "tight")
    stable, pods = tight.stable, tight.pods(tight.stable)

    tight.edit_args(NEW)

    serving.until(
        "the change is refused",
        lambda: tight.condition("Stalled").reason == Reason.NO_ROOM_FOR_ROLLOUT,
        within_seconds=20,
    )
    message = tight.condition("Stalled").message
    assert "maxExtraReplicas" in message
    assert "minServingPercent" in message
    assert tight.condition("Ready").status == "True"
    assert (tight.stable, tight.pods(stable)) == (stable, pods)

    tight.edit(rollout={"minServingPercent": 50})
    tight.until_target_is_not(stable)


def test_a_canary_in_place_is_promoted_and_never_lacks_an_accelerator(serving: Namespace) -> None:
    """Four pods on four accelerators change one by one; nothing is unschedulable, nothing lost."""
    roomy = Rolled(serving, "roomy")
    stable = roomy.stable
    traffic = start(serving, "roomy", LOAD)
    traffic.until_answered(within_seconds=60)

    with noted(serving) as diary:
        roomy.edit_args(NEW)
        canary = roomy.until_target_is_not(stable)
        roomy.until_promoted(canary, within_seconds=240)
    traffic.stop()

    assert diary.together["roomy"] == 4
    told = [event for event in serving.objects(EVENTS) if "Insufficient" in event["message"]]
    assert not told
    traffic.report().assert_undisturbed(at_least=100)


def test_a_refused_change_goes_on_once_it_is_allowed(serving: Namespace) -> None:
    """The change that was refused is promoted with minServingPercent below 100."""
    tight = Rolled(serving, "tight")

    tight.until_promoted(tight.target, within_seconds=120)

    assert tight.condition("Stalled").status == "False"
