"""Rules that decide what is worth asking the API server: nothing, while all is well."""

from datetime import timedelta

import pytest

from llm_operator.diagnosis import Inquiry, inquire
from tests.builders import NOW
from tests.diagnosis_builders import (
    NODE,
    Json,
    a_container,
    a_deployment,
    a_pod,
    a_ready_pod,
    an_unbound_pod,
    crashed,
    ended,
    running,
    stamp,
    waiting,
)

UID = "uid-chat-one-x"


def asked(pod: Json, deployment: Json | None = None) -> Inquiry:
    """Return what is asked because of one pod."""
    return inquire([pod], [deployment or a_deployment()], NOW)


@pytest.mark.parametrize(
    "pods",
    [
        [],
        [a_ready_pod()],
        [a_pod(containerStatuses=[waiting("ErrImagePull", "not found")])],
        [a_pod(containerStatuses=[crashed(139)])],
        [a_pod(containerStatuses=[crashed(1, "boom")])],
        [an_unbound_pod("0/1 nodes are available: 1 Insufficient cpu.")],
        [a_pod(phase="Failed", reason="Evicted")],
    ],
)
def test_nothing_is_asked_when_pods_are_ready_or_say_it_themselves(pods: list[Json]) -> None:
    """A steady state, good or bad, costs no read."""
    assert inquire(pods, [a_deployment()], NOW) == Inquiry()


def test_a_new_pod_is_given_time() -> None:
    """Most pods need none of this; the question comes up a few seconds later."""
    made = NOW - timedelta(seconds=2)

    inquiry = asked(a_pod(made_at=made))

    assert inquiry.is_empty
    assert inquiry.due_at == made + timedelta(seconds=5)


def test_a_server_that_starts_is_given_more_time() -> None:
    """Loading is no trouble."""
    inquiry = asked(a_pod(containerStatuses=[running(seconds=12)]))

    assert inquiry.is_empty
    assert inquiry.due_at == NOW + timedelta(seconds=3)


@pytest.mark.parametrize(
    "status",
    [
        waiting("ContainerCreating"),
        waiting("ImagePullBackOff", "Back-off pulling image"),
        waiting("CreateContainerError", ""),
        running(seconds=25),
        running(seconds=6, started=True),
        crashed(137),
        crashed(0, reason="Completed"),
        a_container(ended(143)),
    ],
)
def test_a_pod_that_does_not_say_why_is_asked_about(status: Json) -> None:
    """Its events and its node may."""
    inquiry = asked(a_pod(containerStatuses=[status]))

    assert inquiry.pods == (UID,)
    assert inquiry.nodes == (NODE,)
    assert inquiry.surveys == ()


def test_claims_are_asked_about_before_a_container_runs() -> None:
    """A volume that was mounted is no question any more."""
    deployment = a_deployment(claims=("models", "cache"))
    unbound = an_unbound_pod("0/1 nodes are available: pod has unbound immediate Claims.")
    unbound["status"]["conditions"][0]["message"] += " PersistentVolumeClaims"

    assert asked(a_pod(), deployment).claims == ("models", "cache")
    assert asked(unbound, deployment).claims == ("models", "cache")
    assert asked(a_pod(containerStatuses=[running()]), deployment).claims == ()


def test_nodes_are_asked_about_where_the_scheduler_names_no_taint() -> None:
    """Those that the pod selects: their taints tell whether they are unwell or kept."""
    tainted = an_unbound_pod("0/1 nodes are available: 1 node(s) had untolerated taint(s).")

    inquiry = asked(tainted, a_deployment(nodeSelector={"pool": "gpu", "zone": "a"}))

    assert asked(tainted).surveys == ("",)
    assert inquiry.surveys == ("pool=gpu,zone=a",)
    assert inquiry.nodes == ()


def test_a_pod_that_nobody_schedules_is_looked_at_again() -> None:
    """It gives no news, and there is nothing to read about it; only time tells."""
    made = NOW - timedelta(seconds=6)
    pod = a_pod(made_at=made, conditions=[], containerStatuses=[])
    del pod["spec"]["nodeName"]

    inquiry = asked(pod)

    assert inquiry.is_empty
    assert inquiry.due_at == made + timedelta(seconds=10)


def test_few_pods_stand_for_many() -> None:
    """A thousand pods that wait for the same reason are asked about three times."""
    pods = [a_pod(f"chat-one-{n:04}") for n in range(1000)]

    inquiry = inquire(pods, [a_deployment()], NOW)

    assert inquiry.pods == tuple(f"uid-chat-one-{n:04}" for n in range(3))


def test_a_pod_that_ends_is_looked_at_when_it_should_be_gone() -> None:
    """Nothing else would wake the operator then: a stuck pod gives no news."""
    pod = a_pod(containerStatuses=[running()])
    pod["metadata"]["deletionTimestamp"] = stamp(NOW + timedelta(seconds=30))

    inquiry = asked(pod)

    assert inquiry.is_empty
    assert inquiry.due_at == NOW + timedelta(seconds=51)


def test_a_pod_that_should_be_gone_leads_to_its_node() -> None:
    """A dead node is why most pods do not end."""
    pod = a_pod(containerStatuses=[running()])
    pod["metadata"]["deletionTimestamp"] = stamp(NOW - timedelta(seconds=60))

    assert asked(pod).nodes == (NODE,)
