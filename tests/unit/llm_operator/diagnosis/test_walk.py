"""Rules of the whole walk: which pods are looked at, nodes, ends, and that no input breaks it."""

import itertools
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.reasons import Reason
from llm_operator.diagnosis import NOTHING, diagnose, inquire
from llm_operator.diagnosis.evidence import Evidence, read_claim, read_event, read_node
from tests.builders import NOW
from tests.diagnosis_builders import (
    NODE,
    REVISION,
    Json,
    a_deployment,
    a_node,
    a_pod,
    a_ready_pod,
    an_event,
    an_unbound_pod,
    crashed,
    evidence,
    found_in,
    running,
    stamp,
)


def failed(reason: str, message: str = "", *, seconds_ago: float = 30, name: str = "old") -> Json:
    """Return a pod that ended for good."""
    made = NOW - timedelta(seconds=seconds_ago)
    return a_pod(
        name, made_at=made, phase="Failed", reason=reason, message=message, containerStatuses=[]
    )


def terminating(seconds_overdue: float, **metadata: Any) -> Json:
    """Return a pod that should have ended so long ago."""
    pod = a_pod("leaving", containerStatuses=[running()])
    gone_by = stamp(NOW - timedelta(seconds=seconds_overdue))
    pod["metadata"] |= {"deletionTimestamp": gone_by, **metadata}
    return pod


def test_ready_and_terminating_pods_are_no_trouble() -> None:
    """Only pods that should be ready and are not are diagnosed."""
    assert diagnose([a_ready_pod(), terminating(-30)], [a_deployment()], NOTHING, NOW) == ()


def test_a_pod_says_which_revision_it_is_of() -> None:
    """A rollout asks why the pods of one revision are not ready."""
    assert found_in(a_pod("chat-one-a")).revision == REVISION


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (a_node(ready="False", reason="KubeletNotReady"), "is not ready: KubeletNotReady"),
        (a_node(ready="Unknown", reason="NodeStatusUnknown"), "is not ready: NodeStatusUnknown"),
        (None, "is gone"),
    ],
)
def test_a_dead_node_is_the_cause_whatever_its_pods_last_said(
    node: Json | None, words: str
) -> None:
    """The kubelet of a dead node reports nothing new."""
    pod = a_pod(containerStatuses=[crashed(1)])

    finding = found_in(pod, evidence(nodes={NODE: node}))

    assert finding.reason is Reason.NODE_UNAVAILABLE
    assert finding.message == f'Node "{NODE}" {words}'


def test_a_node_that_is_well_is_no_cause() -> None:
    """The pod's own trouble stands."""
    pod = a_pod(containerStatuses=[crashed(139)])

    assert found_in(pod, evidence(nodes={NODE: a_node()})).reason is Reason.NATIVE_CRASH


ENDS = [
    (
        "Evicted",
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 5Ki. ",
        Reason.EVICTED,
        "The node was low on resource: memory",
    ),
    (
        "Evicted",
        "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
        Reason.EVICTED,
        "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi",
    ),
    (
        "Evicted",
        'Usage of EmptyDir volume "llm-cache" exceeds the limit "1Mi". ',
        Reason.DISK_FULL,
        'Usage of EmptyDir volume "llm-cache" exceeds the limit "1Mi"',
    ),
    (
        "OutOfcpu",
        "Pod was rejected: no resource: cpu, requested: 9, used: 1, capacity: 2",
        Reason.REJECTED_BY_NODE,
        "OutOfcpu: no resource: cpu",
    ),
    (
        "UnexpectedAdmissionError",
        "Pod was rejected: Allocate failed due to no healthy devices present, which is unexpected",
        Reason.REJECTED_BY_NODE,
        "UnexpectedAdmissionError: Allocate failed due to no healthy devices present",
    ),
    ("NodeLost", "gone", Reason.UNKNOWN, "Pods end: NodeLost: gone"),
]


@pytest.mark.parametrize(("reason", "message", "expected", "told"), ENDS)
def test_pods_that_end_for_good_are_told_while_pods_are_missing(
    reason: str, message: str, expected: Reason, told: str
) -> None:
    """The replacement only starts; why the one before it ended is what a person must know."""
    pods = [failed(reason, message), a_pod("new", made_at=NOW)]

    first, second = diagnose(pods, [a_deployment()], NOTHING, NOW)

    assert (first.reason, first.message, first.pod) == (expected, told, "")
    assert second.reason is Reason.PODS_NOT_READY


def test_an_end_is_history_when_all_pods_are_ready() -> None:
    """Finished pods stay in the list for days."""
    pods = [failed("Evicted", "The node was low on resource: memory. "), a_ready_pod()]

    assert diagnose(pods, [a_deployment()], NOTHING, NOW) == ()


def test_an_old_end_does_not_explain_a_new_start() -> None:
    """A pod that was evicted yesterday is not why one is loading today."""
    pods = [failed("Evicted", "The node was low. ", seconds_ago=3600), a_pod("new")]

    assert [f.reason for f in diagnose(pods, [a_deployment()], NOTHING, NOW)] == [
        Reason.PODS_NOT_READY
    ]


def test_many_ends_are_one_finding_without_names() -> None:
    """Each replacement has another name and another count, which would be news every time."""
    pods = [failed("OutOfcpu", "Pod was rejected: no", name=f"old-{n}") for n in range(5)]

    findings = diagnose(pods, [a_deployment()], NOTHING, NOW)

    assert [(f.reason, f.pod) for f in findings] == [(Reason.REJECTED_BY_NODE, "")]


def test_a_pod_that_does_not_end_is_told_after_its_grace() -> None:
    """It holds its accelerator, and a rollout may wait for it."""
    assert diagnose([terminating(10)], [], NOTHING, NOW) == ()

    (finding,) = diagnose([terminating(60)], [], NOTHING, NOW)

    assert finding.reason is Reason.STUCK_TERMINATING
    assert not finding.is_final


@pytest.mark.parametrize(
    ("pod", "seen", "words"),
    [
        (terminating(60, finalizers=["example.com/hold"]), NOTHING, "finalizer example.com/hold"),
        (terminating(60), evidence(nodes={NODE: None}), f'Node "{NODE}" is gone'),
        (terminating(60), NOTHING, f'on node "{NODE}"'),
    ],
)
def test_a_pod_that_does_not_end_says_what_holds_it(pod: Json, seen: Evidence, words: str) -> None:
    """A dead node and a finalizer are cured by different people."""
    (finding,) = diagnose([pod], [], seen, NOW)

    assert words in finding.message


def test_the_order_of_pods_in_the_cache_is_no_news() -> None:
    """Equal states give equal findings, in the same order."""
    pods = [a_pod("b"), a_pod("a", containerStatuses=[crashed(1)]), an_unbound_pod("", "c")]

    told = {
        diagnose(order, [a_deployment()], NOTHING, NOW) for order in itertools.permutations(pods)
    }

    assert len(told) == 1


TIMES = st.sampled_from([stamp(NOW), "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "soon", ""])
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | TIMES
FIELDS = """
metadata name uid labels creationTimestamp deletionTimestamp finalizers spec nodeName
replicas template volumes persistentVolumeClaim claimName schedulerName status phase
reason message conditions type lastTransitionTime containerStatuses initContainerStatuses
state waiting running terminated lastState exitCode startedAt finishedAt restartCount
ready started image regarding fieldPath note series eventTime taints effect key
unschedulable
"""
WORDS = """
Failed Evicted Ready PodScheduled False True Unschedulable ReplicaFailure ErrImagePull
CrashLoopBackOff ContainerCreating CreateContainerError OOMKilled StartError Unhealthy
Killing FailedMount ProvisioningFailed
"""
NAMES = st.sampled_from(FIELDS.split())
ANYTHING = st.recursive(
    SCALARS | st.sampled_from(WORDS.split()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=8),
    max_leaves=24,
)
OBJECTS = st.dictionaries(NAMES, ANYTHING, max_size=8)


def nearly(whole: Json) -> st.SearchStrategy[Json]:
    """Objects of the real shape with one part replaced by anything."""
    paths = [path for path in _paths(whole) if path]
    return st.builds(_replaced, st.just(whole), st.sampled_from(paths), ANYTHING)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: dict[Any, Any] = value if isinstance(value, dict) else {}
    if isinstance(value, list):
        inner = dict(enumerate(value))
    return [path, *(found for key, item in inner.items() for found in _paths(item, (*path, key)))]


def _replaced(value: Any, path: tuple[Any, ...], part: Any) -> Any:
    if not path:
        return part
    copy = value.copy()
    copy[path[0]] = _replaced(value[path[0]], path[1:], part)
    return copy


PODS = st.one_of(
    OBJECTS,
    nearly(a_pod(containerStatuses=[crashed(1)])),
    nearly(a_pod(initContainerStatuses=[running()])),
    nearly(an_unbound_pod("0/1 nodes are available: 1 Insufficient cpu.")),
    nearly(terminating(60)),
    nearly(failed("Evicted", "The node was low on resource: memory. ")),
)
EVENTS = OBJECTS | nearly({"reason": "Unhealthy", "note": "x", "regarding": {"fieldPath": "y"}})


@given(
    pods=st.lists(PODS, max_size=3),
    deployments=st.lists(OBJECTS | nearly(a_deployment(claims=("m",))), max_size=2),
    events=st.lists(EVENTS, max_size=3),
    claim=OBJECTS,
    node=OBJECTS | nearly(a_node("dedicated")),
)
def test_no_object_of_any_shape_breaks_a_diagnosis(
    pods: list[Json], deployments: list[Json], events: list[Json], claim: Json, node: Json
) -> None:
    """Whatever the API server returns, a pass goes on and its messages fit into a status."""
    happened = tuple(map(read_event, events))
    seen = Evidence(
        events={"uid-chat-one-x": happened, "": happened},
        claims={"m": read_claim("m", claim)},
        nodes={NODE: read_node(NODE, node)},
    )

    findings = diagnose(pods, deployments, seen, NOW)
    inquire(pods, deployments, NOW)

    assert all(len(finding.message) <= 250 for finding in findings)


@given(st.text(max_size=400))
def test_no_message_of_any_text_breaks_a_diagnosis(text: str) -> None:
    """What the scheduler, the kubelet and the registry write is free text."""
    told = [
        found_in(an_unbound_pod(text)),
        found_in(an_unbound_pod(f"0/1 nodes are available: {text}")),
        found_in(a_pod(containerStatuses=[crashed(1, text)])),
        found_in(a_pod(), evidence(an_event("FailedMount", text))),
    ]

    assert all("\n" not in finding.message for finding in told)
