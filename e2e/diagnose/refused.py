"""Faults of pods that are refused or find no node."""

from e2e.diagnose import fake_nodes
from e2e.diagnose.fault import Admission, Batch, Fault, Pieces
from e2e.manifests import Manifest, claim
from llm_operator.api.reasons import Reason


def _fault(
    name: str, expected: Reason, word: str, pieces: Pieces, *beside: Manifest, sample: bool = False
) -> Fault:
    resource = pieces.resource(name)
    return Fault(name, Batch.REFUSED, expected, word, resource, beside, in_sample=sample)


def _refused(name: str, admission: Admission, expected: Reason, word: str) -> Fault:
    resource = Pieces().resource(name)
    return Fault(name, Batch.REFUSED, expected, word, resource, admission=admission)


def _on_pool(pool: str) -> Pieces:
    return Pieces(pod={"nodeSelector": {fake_nodes.POOL_LABEL: pool}})


def _requests(**amounts: str) -> Pieces:
    return Pieces(more={"resources": {"requests": amounts}})


def _claim(name: str, **spec: object) -> Manifest:
    manifest = claim(name)
    manifest["spec"] |= spec
    return manifest


def _cached(name: str, **more: object) -> Pieces:
    cache = {"persistentVolumeClaim": {"claimName": name}}
    return Pieces(model={"cache": cache}, more=dict(more))


FAULTS = (
    _fault("cpu", Reason.INSUFFICIENT_CPU, "cpu", _requests(cpu="900"), sample=True),
    _fault("memory", Reason.INSUFFICIENT_MEMORY, "memory", _requests(memory="9000Gi")),
    _fault(
        "accelerator",
        Reason.INSUFFICIENT_ACCELERATOR,
        "nvidia.com/gpu",
        Pieces(more={"accelerator": {"resourceName": "nvidia.com/gpu", "count": 1}}),
    ),
    _fault("selector", Reason.NO_MATCHING_NODE, "selector", _on_pool("nowhere")),
    _fault("taint", Reason.TAINT_NOT_TOLERATED, "dedicated", _on_pool("tainted")),
    _fault("cordon", Reason.NODE_UNAVAILABLE, "unschedulable", _on_pool("cordoned")),
    _fault("node-not-ready", Reason.NODE_UNAVAILABLE, "not-ready", _on_pool("dead")),
    _fault("node-pressure", Reason.NODE_PRESSURE, "disk-pressure", _on_pool("full")),
    _fault(
        "scheduler",
        Reason.SCHEDULER_MISSING,
        "nobody",
        Pieces(pod={"schedulerName": "nobody"}),
    ),
    _refused("quota", Admission.QUOTA, Reason.QUOTA_EXCEEDED, "no-pods"),
    _refused("limit-range", Admission.LIMITS, Reason.LIMIT_RANGE_VIOLATED, "maximum memory"),
    _refused("policy", Admission.POLICY, Reason.ADMISSION_DENIED, "no pods on Sundays"),
    _refused("webhook", Admission.WEBHOOK, Reason.ADMISSION_DENIED, "webhook"),
    _fault(
        "service-account",
        Reason.SERVICE_ACCOUNT_MISSING,
        "nobody",
        Pieces(pod={"serviceAccountName": "nobody"}),
        sample=True,
    ),
    _fault(
        "priority-class",
        Reason.PRIORITY_CLASS_MISSING,
        "most-urgent",
        Pieces(pod={"priorityClassName": "most-urgent"}),
    ),
    _fault(
        "runtime-class",
        Reason.RUNTIME_CLASS_MISSING,
        "no-such-runtime",
        Pieces(pod={"runtimeClassName": "no-such-runtime"}),
    ),
    _fault(
        "claim-missing",
        Reason.VOLUME_CLAIM_MISSING,
        "absent",
        Pieces(source="pvc://absent/model"),
        sample=True,
    ),
    _fault(
        "storage-class",
        Reason.STORAGE_CLASS_MISSING,
        "no-such-class",
        _cached("unclassed"),
        _claim("unclassed", storageClassName="no-such-class"),
        sample=True,
    ),
    _fault(
        "no-storage-class",
        Reason.STORAGE_CLASS_MISSING,
        "no storage class",
        _cached("classless"),
        _claim("classless", storageClassName=""),
    ),
    _fault(
        "volume-gone",
        Reason.VOLUME_NOT_BOUND,
        "orphan",
        _cached("orphan"),
        _claim("orphan", storageClassName="", volumeName="no-such-volume"),
    ),
)
