"""Rules about claims, mounts and sandboxes of pods that have a node but no container."""

import pytest

from llm_operator.api.reasons import Reason
from tests.diagnosis_builders import (
    Json,
    a_claim,
    a_deployment,
    a_pod,
    an_event,
    an_unbound_pod,
    evidence,
    found_in,
    running,
)

SETUP = 'MountVolume.SetUp failed for volume "llm-api-keys" : '
SANDBOX = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to "
UNBOUND = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."

EVENTS = [
    ("FailedMount", SETUP + 'secret "keys" not found', Reason.SECRET_MISSING),
    ("FailedMount", SETUP + "references non-existent secret key: k", Reason.SECRET_MISSING),
    ("FailedMount", SETUP + 'configmap "keys" not found', Reason.CONFIG_MAP_MISSING),
    ("FailedMount", SETUP + 'configmap "secret" not found', Reason.CONFIG_MAP_MISSING),
    ("FailedMount", SETUP + "references non-existent config key: k", Reason.CONFIG_MAP_MISSING),
    (
        "FailedMount",
        SETUP + "kubernetes.io/csi: driver name x not found in the list of registered CSI drivers",
        Reason.VOLUME_MOUNT_FAILED,
    ),
    ("FailedMount", SETUP + "mount failed: exit status 32", Reason.VOLUME_MOUNT_FAILED),
    (
        "FailedAttachVolume",
        'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) other',
        Reason.ACCESS_MODE_REFUSED,
    ),
    ("FailedCreatePodSandBox", SANDBOX + "setup network: no IPs left", Reason.SANDBOX_FAILED),
    (
        "FailedCreatePodSandBox",
        SANDBOX + 'get sandbox runtime: no runtime for "fast" is configured',
        Reason.RUNTIME_CLASS_MISSING,
    ),
    ("Pulling", 'Pulling image "x"', Reason.PODS_NOT_READY),
]


@pytest.mark.parametrize(("event", "note", "reason"), EVENTS)
def test_an_event_says_why_no_container_is_made(event: str, note: str, reason: Reason) -> None:
    """The pod's status says only ContainerCreating."""
    finding = found_in(a_pod(), evidence(an_event(event, note, container="")))

    assert finding.reason is reason
    assert not finding.is_final


def test_a_missing_secret_is_named_with_its_volume() -> None:
    """The message has what a person must create, and where it is used."""
    seen = evidence(an_event("FailedMount", SETUP + 'secret "keys" not found'))

    assert found_in(a_pod(), seen).message == 'Volume "llm-api-keys": secret "keys" not found'


def test_waiting_for_a_mount_is_no_cause_by_itself() -> None:
    """A time-out repeats an error that was before it, or says only that it takes long."""
    late = "Unable to attach or mount volumes: [m]: timed out waiting for the condition"
    missing = an_event("FailedMount", SETUP + 'secret "keys" not found')

    assert (
        found_in(a_pod(), evidence(an_event("FailedMount", late))).reason is Reason.PODS_NOT_READY
    )
    both = evidence(missing, an_event("FailedMount", late))
    assert found_in(a_pod(), both).reason is Reason.SECRET_MISSING


def test_a_mount_that_failed_once_is_over_when_the_container_runs() -> None:
    """Events outlive their cause."""
    seen = evidence(an_event("FailedMount", SETUP + 'secret "keys" not found'))
    loading = a_pod(containerStatuses=[running()])

    assert found_in(loading, seen).reason is Reason.PODS_NOT_READY


def test_a_mount_that_failed_once_is_over_when_the_sandbox_is_ready() -> None:
    """While an image is pulled the container is not made either, but the volumes are there."""
    seen = evidence(an_event("FailedMount", SETUP + 'secret "keys" not found'))
    pulling = a_pod()
    pulling["status"]["conditions"].append({"type": "PodReadyToStartContainers", "status": "True"})

    assert found_in(pulling, seen).reason is Reason.PODS_NOT_READY


CLAIMS = [
    (None, "", Reason.VOLUME_CLAIM_MISSING),
    (a_claim("Lost"), "", Reason.VOLUME_NOT_BOUND),
    (
        a_claim(storageClassName="fast"),
        'storageclass.storage.k8s.io "fast" not found',
        Reason.STORAGE_CLASS_MISSING,
    ),
    (
        a_claim(),
        "no persistent volumes available for this claim and no storage class is set",
        Reason.STORAGE_CLASS_MISSING,
    ),
    (
        a_claim(),
        "NodePath only supports ReadWriteOnce and ReadWriteOncePod access modes",
        Reason.ACCESS_MODE_REFUSED,
    ),
    (a_claim(), "failed to provision volume: quota of the array", Reason.VOLUME_NOT_BOUND),
]


@pytest.mark.parametrize(("claim", "note", "reason"), CLAIMS)
def test_a_claim_says_why_it_has_no_volume(claim: Json | None, note: str, reason: Reason) -> None:
    """Missing, without a StorageClass, of a mode that is not offered, or failed otherwise."""
    told = (an_event("ProvisioningFailed", note),) if note else ()
    seen = evidence(claims={"models": claim}, claim_events={"uid-claim": told})

    finding = found_in(an_unbound_pod(UNBOUND), seen, a_deployment(claims=("models",)))

    assert finding.reason is reason
    assert '"models"' in finding.message


def test_a_claim_that_waits_for_its_first_pod_is_no_trouble() -> None:
    """WaitForFirstConsumer is how most storage is set up."""
    note = "waiting for first consumer to be created before binding"
    seen = evidence(
        claims={"models": a_claim()},
        claim_events={"uid-claim": (an_event("WaitForFirstConsumer", note),)},
    )
    pod = an_unbound_pod("0/1 nodes are available: 1 Insufficient cpu.")

    finding = found_in(pod, seen, a_deployment(claims=("models",)))

    assert finding.reason is Reason.INSUFFICIENT_CPU


def test_a_claim_that_goes_is_named() -> None:
    """A claim that is being deleted takes no new pods."""
    claim = a_claim("Bound")
    claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    seen = evidence(claims={"models": claim})
    pod = an_unbound_pod(
        '0/1 nodes are available: persistentvolumeclaim "models" is being deleted.'
    )

    finding = found_in(pod, seen, a_deployment(claims=("models",)))

    assert finding.reason is Reason.VOLUME_NOT_BOUND
    assert finding.message.endswith("is being deleted")
