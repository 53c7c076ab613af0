"""Rules that read the scheduler's message: the nearest miss is the reason."""

from datetime import timedelta

import pytest

from llm_operator.api.reasons import Reason
from llm_operator.diagnosis import NOTHING
from tests.builders import NOW
from tests.diagnosis_builders import (
    a_claim,
    a_deployment,
    a_node,
    a_pod,
    an_event,
    an_unbound_pod,
    evidence,
    found_in,
)

NODES = "0/3 nodes are available: "
PREEMPTION = " no new claims to deallocate, preemption: 0/3 nodes are available: 3 No victims."
TAINTED = NODES + "1 node(s) had untolerated taint(s)."

MESSAGES = [
    (NODES + "3 Insufficient cpu.", Reason.INSUFFICIENT_CPU),
    (NODES + "3 Insufficient memory.", Reason.INSUFFICIENT_MEMORY),
    (NODES + "1 Insufficient cpu, 2 Insufficient memory.", Reason.INSUFFICIENT_MEMORY),
    (
        NODES + "1 Insufficient memory, 2 Insufficient nvidia.com/gpu.",
        Reason.INSUFFICIENT_ACCELERATOR,
    ),
    (NODES + "3 Insufficient hugepages-2Mi.", Reason.UNSCHEDULABLE),
    (NODES + "3 Too many pods.", Reason.UNSCHEDULABLE),
    (
        NODES + "1 node(s) had untolerated taint(s), 2 Insufficient cpu.",
        Reason.INSUFFICIENT_CPU,
    ),
    (
        NODES + "1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node "
        "affinity/selector.",
        Reason.NO_MATCHING_NODE,
    ),
    (TAINTED, Reason.TAINT_NOT_TOLERATED),
    (NODES + "3 node(s) were unschedulable.", Reason.NODE_UNAVAILABLE),
    (
        NODES + "1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
        Reason.NODE_UNAVAILABLE,
    ),
    (
        NODES + "1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }.",
        Reason.NODE_PRESSURE,
    ),
    (NODES + "1 node(s) had untolerated taint {gpu: yes}.", Reason.TAINT_NOT_TOLERATED),
    (
        NODES + "3 node(s) didn't match pod anti-affinity rules, 1 Insufficient memory.",
        Reason.UNSCHEDULABLE,
    ),
    (
        NODES + "3 node(s) didn't match pod topology spread constraints.",
        Reason.UNSCHEDULABLE,
    ),
    (NODES + 'persistentvolumeclaim "models" not found.', Reason.VOLUME_CLAIM_MISSING),
    (NODES + 'persistentvolumeclaim "models" is being deleted.', Reason.VOLUME_NOT_BOUND),
    (NODES + "pod has unbound immediate PersistentVolumeClaims.", Reason.VOLUME_NOT_BOUND),
    (
        NODES + "3 node(s) didn't find available persistent volumes to bind.",
        Reason.VOLUME_NOT_BOUND,
    ),
    (NODES + "3 node(s) didn't match PersistentVolume's node affinity.", Reason.VOLUME_NOT_BOUND),
    (
        NODES + "3 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access "
        "mode already in-use by another pod.",
        Reason.ACCESS_MODE_REFUSED,
    ),
    ("Scheduling is blocked due to non-empty scheduling gates", Reason.UNSCHEDULABLE),
    ("", Reason.UNSCHEDULABLE),
]


@pytest.mark.parametrize(("message", "reason"), MESSAGES)
def test_what_the_nearest_node_lacks_is_the_reason(message: str, reason: Reason) -> None:
    """A node that passed more filters needs less to take the pod."""
    assert found_in(an_unbound_pod(message)).reason is reason
    assert found_in(an_unbound_pod(message + PREEMPTION)).reason is reason


def test_a_pod_without_a_node_waits() -> None:
    """A node may come free or be added: a rollout waits until its deadline."""
    assert not any(found_in(an_unbound_pod(message)).is_final for message, _ in MESSAGES)


def test_how_many_nodes_there_are_is_no_news() -> None:
    """Nodes come and go under an autoscaler; the message stays until the cause changes."""
    few = NODES + "1 Insufficient cpu, 2 node(s) had untolerated taint(s)." + PREEMPTION
    many = "0/9 nodes are available: 2 node(s) had untolerated taint(s), 7 Insufficient cpu."

    told = {found_in(an_unbound_pod(message)).message for message in (few, many)}

    assert told == {"No node takes the pod: Insufficient cpu; node(s) had untolerated taint(s)"}


def test_taints_are_named_from_the_nodes() -> None:
    """The scheduler of 1.36 does not say which taint; the nodes do."""
    nodes = {"node-1": a_node("dedicated"), "node-2": a_node()}

    finding = found_in(an_unbound_pod(TAINTED), evidence(nodes=nodes))

    assert finding.reason is Reason.TAINT_NOT_TOLERATED
    assert finding.message.endswith(": dedicated:NoSchedule")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("not-ready", Reason.NODE_UNAVAILABLE),
        ("unreachable", Reason.NODE_UNAVAILABLE),
        ("memory-pressure", Reason.NODE_PRESSURE),
        ("disk-pressure", Reason.NODE_PRESSURE),
    ],
)
def test_nodes_that_are_unwell_are_told_from_nodes_that_are_kept(key: str, reason: Reason) -> None:
    """Kubernetes marks unwell nodes with taints of its own, which no one should tolerate."""
    nodes = {"node-1": a_node(f"node.kubernetes.io/{key}")}

    assert found_in(an_unbound_pod(TAINTED), evidence(nodes=nodes)).reason is reason


def test_one_node_that_is_only_kept_makes_it_a_matter_of_tolerations() -> None:
    """While one tainted node is well, tolerating its taint would help."""
    nodes = {"a": a_node("node.kubernetes.io/not-ready"), "b": a_node("dedicated")}

    finding = found_in(an_unbound_pod(TAINTED), evidence(nodes=nodes))

    assert finding.reason is Reason.TAINT_NOT_TOLERATED


MIXED = NODES + (
    "1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node affinity/selector."
)
CORDONED = NODES + (
    "1 node(s) were unschedulable, 2 node(s) didn't match Pod's node affinity/selector."
)


@pytest.mark.parametrize(
    ("message", "taint", "reason"),
    [
        (MIXED, "dedicated", Reason.TAINT_NOT_TOLERATED),
        (MIXED, "node.kubernetes.io/unreachable", Reason.NODE_UNAVAILABLE),
        (MIXED, "node.kubernetes.io/memory-pressure", Reason.NODE_PRESSURE),
        (CORDONED, "node.kubernetes.io/unschedulable", Reason.NODE_UNAVAILABLE),
    ],
)
def test_nodes_that_the_pod_selects_but_that_are_kept_are_the_reason(
    message: str, taint: str, reason: Reason
) -> None:
    """A pool of GPU nodes has label and taint: that the other nodes do not match is no trouble."""
    nodes = {"plain": a_node("control-plane"), "gpu": a_node(taint, pool="gpu")}
    deployment = a_deployment(nodeSelector={"pool": "gpu"})

    assert found_in(an_unbound_pod(message), NOTHING, deployment).reason is Reason.NO_MATCHING_NODE
    finding = found_in(an_unbound_pod(message), evidence(nodes=nodes), deployment)
    assert finding.reason is reason
    assert finding.message.endswith(f": {taint}:NoSchedule")


def test_a_selector_that_no_node_matches_is_the_reason_beside_any_taint() -> None:
    """Tolerating the taint of a node that is not selected would not help."""
    nodes = {"plain": a_node("control-plane"), "gpu": a_node("dedicated", pool="gpu")}
    deployment = a_deployment(nodeSelector={"pool": "tpu"})

    finding = found_in(an_unbound_pod(MIXED), evidence(nodes=nodes), deployment)

    assert finding.reason is Reason.NO_MATCHING_NODE


def test_a_pod_that_no_scheduler_looks_at_is_told_after_a_while() -> None:
    """Without a condition PodScheduled there is no scheduler of the pod's schedulerName."""
    pod = a_pod(conditions=[], containerStatuses=[])
    del pod["spec"]["nodeName"]
    deployment = a_deployment(schedulerName="fair")

    early = found_in(pod, deployment=deployment, at=NOW - timedelta(seconds=55))
    late = found_in(pod, deployment=deployment)

    assert early.reason is Reason.PODS_NOT_READY
    assert late.reason is Reason.SCHEDULER_MISSING
    assert '"fair"' in late.message


def test_a_pending_claim_says_more_than_the_scheduler() -> None:
    """The scheduler sees an unbound claim; the claim's own events say why it is unbound."""
    note = 'storageclass.storage.k8s.io "fast" not found'
    seen = evidence(
        claims={"models": a_claim(storageClassName="fast")},
        claim_events={"uid-claim": (an_event("ProvisioningFailed", note),)},
    )
    pod = an_unbound_pod(NODES + "pod has unbound immediate PersistentVolumeClaims.")

    finding = found_in(pod, seen, a_deployment(claims=("models",)))

    assert finding.reason is Reason.STORAGE_CLASS_MISSING
    assert finding.message == f'PersistentVolumeClaim "models": {note}'


def test_a_claim_that_waits_in_silence_is_named() -> None:
    """A claim for a volume that does not exist gives no event; the scheduler gives no name."""
    seen = evidence(claims={"models": a_claim(), "cache": a_claim("Bound")})
    pod = an_unbound_pod(NODES + "pod has unbound immediate PersistentVolumeClaims.")

    finding = found_in(pod, seen, a_deployment(claims=("cache", "models")))

    assert finding.reason is Reason.VOLUME_NOT_BOUND
    assert finding.message.endswith(': "models"')


def test_a_claim_in_trouble_does_not_hide_a_lack_of_memory() -> None:
    """The scheduler passed the volumes when it reports resources."""
    seen = evidence(
        claims={"models": a_claim()},
        claim_events={"uid-claim": (an_event("ProvisioningFailed", "once"),)},
    )
    pod = an_unbound_pod(NODES + "3 Insufficient memory.")

    finding = found_in(pod, seen, a_deployment(claims=("models",)))

    assert finding.reason is Reason.INSUFFICIENT_MEMORY


def test_a_volume_that_is_still_provisioned_is_told_before_the_scheduler_has_decided() -> None:
    """While a claim waits for its first consumer, the pod has no condition PodScheduled."""
    pod = a_pod(conditions=[], containerStatuses=[])
    del pod["spec"]["nodeName"]
    note = "failed to provision volume: only support ReadWriteOnce access mode"
    seen = evidence(
        claims={"models": a_claim()},
        claim_events={"uid-claim": (an_event("ProvisioningFailed", note),)},
    )

    finding = found_in(pod, seen, a_deployment(claims=("models",)))

    assert finding.reason is Reason.ACCESS_MODE_REFUSED
