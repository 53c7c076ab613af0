"""The closed lists that a resource's status speaks in: conditions, phases, reasons.

Every reason of a condition, of an entry of ``status.pods`` and of an event is a member of
``Reason``, with its meaning and the next step for the person who reads it; ``docs/reasons.md``
is generated from here. Choosing among them is not done here: status and conditions do.
"""

from enum import StrEnum
from typing import Final, Self

from llm_server.contract import StartupFailure


class _Described(StrEnum):
    """A string with its meaning, which ends in the generated documentation."""

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


class ConditionType(_Described):
    """The types of ``status.conditions``, all of them always present."""

    READY = "Ready", "The stable revision serves what was asked, with all replicas."
    PROGRESSING = "Progressing", "A revision is being prepared, moved to, or drained."
    STALLED = "Stalled", "The resource gets no further without a change by someone."
    CONFLICT = "Conflict", "An object or a field that the resource needs belongs to someone else."


class Phase(_Described):
    """``status.phase``, a summary for people; the first that applies, in this order."""

    INVALID = (
        "Invalid",
        "The spec breaks a rule that only the operator can see; nothing is changed.",
    )
    STALLED = "Stalled", "The last change was rejected, or no pod can start without a change."
    STOPPED = "Stopped", "replicas is 0: nothing runs, and that is what was asked."
    PROGRESSING = "Progressing", "Another revision takes over; the stable one serves meanwhile."
    PENDING = "Pending", "The first revision is starting; nothing serves yet."
    DEGRADED = "Degraded", "The stable revision has fewer ready pods than asked."
    READY = "Ready", "The stable revision serves with all replicas."


class EventType(StrEnum):
    """The two types of an event."""

    NORMAL = "Normal"
    WARNING = "Warning"


_NORMAL: Final = EventType.NORMAL
_WARNING: Final = EventType.WARNING
_NOTHING: Final = "Nothing to do."


class Reason(StrEnum):
    """Every reason that a condition, an entry of ``status.pods`` or an event may carry."""

    meaning: str
    next_step: str
    event_type: EventType

    def __new__(
        cls, value: str, event_type: EventType = _WARNING, meaning: str = "", next_step: str = ""
    ) -> Self:
        """Attach the rest to the string that the API carries; ``Reason("Available")`` looks up."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.event_type = event_type
        member.meaning = meaning
        member.next_step = next_step
        return member

    # The expected course.
    AVAILABLE = "Available", _NORMAL, "All replicas of the stable revision are ready.", _NOTHING
    STOPPED = "Stopped", _NORMAL, "replicas is 0, so nothing runs.", "Set replicas to start it."
    UP_TO_DATE = "UpToDate", _NORMAL, "No change of revision is under way.", _NOTHING
    NOT_STALLED = "NotStalled", _NORMAL, "Nothing keeps the resource from going on.", _NOTHING
    NO_CONFLICT = "NoConflict", _NORMAL, "Every object and field is the operator's own.", _NOTHING
    ROLLOUT_CLEARING = (
        "RolloutClearing",
        _NORMAL,
        "Pods of a superseded revision must be gone before the next one starts.",
        "Wait; a draining pod keeps its accelerator until its streams end.",
    )
    ROLLOUT_PREPARING = (
        "RolloutPreparing",
        _NORMAL,
        "Pods of the new revision are starting.",
        "Wait; status.pods says what pods that are not ready wait for.",
    )
    ROLLOUT_MOVING = (
        "RolloutMoving",
        _NORMAL,
        "The Service selects the new revision; proxies are learning it.",
        "Wait; this takes seconds.",
    )
    ROLLOUT_DRAINING = (
        "RolloutDraining",
        _NORMAL,
        "Pods of the old revision finish their requests.",
        "Wait, at most for the drain time of the old revision.",
    )
    TRAFFIC_MOVED = "TrafficMoved", _NORMAL, "The Service sends to the new revision.", _NOTHING
    REPAIRED = (
        "Repaired",
        _NORMAL,
        "An object was deleted or changed by someone else, and has been put right.",
        "Change the LLMDeployment instead of the objects that it owns.",
    )
    REPLICAS_HELD = (
        "ReplicasHeld",
        _NORMAL,
        "A manifest lowered replicas while autoscaling is on; the total falls step by step.",
        "Leave spec.replicas out of manifests of resources with autoscaling.",
    )

    # A change that was refused or is wanting something.
    SPEC_INVALID = (
        "SpecInvalid",
        _WARNING,
        "The spec breaks a rule; the message names the field and what is allowed.",
        "Correct the field that the message names.",
    )
    OWNED_FLAG = (
        "OwnedFlag",
        _WARNING,
        "server.args or server.env sets what the operator sets itself.",
        "Remove it and use the field that the message names.",
    )
    OWNED_NAME = (
        "OwnedName",
        _WARNING,
        "podTemplate uses a name, mount path, label or annotation that the operator renders.",
        "Choose another one.",
    )
    FOREIGN_OBJECT = (
        "ForeignObject",
        _WARNING,
        "An object of a name that the resource needs belongs to someone else.",
        "Remove or rename the object that the message names, or rename the LLMDeployment.",
    )
    FOREIGN_FIELD = (
        "ForeignField",
        _WARNING,
        "Another manager set a field in the pod template of a Deployment of the resource.",
        "Remove the field, and set it in podTemplate if it is wanted.",
    )
    PROGRESS_DEADLINE_EXCEEDED = (
        "ProgressDeadlineExceeded",
        _WARNING,
        "The new revision was not ready within rollout.progressDeadlineSeconds.",
        "Read status.pods, correct the spec and apply it; the stable revision serves meanwhile.",
    )
    SERVICE_MONITOR_MISSING = (
        "ServiceMonitorMissing",
        _WARNING,
        "monitoring.serviceMonitor is enabled, but the cluster does not know that kind.",
        "Install the Prometheus operator's CRDs, or disable monitoring.serviceMonitor.",
    )

    # What keeps pods from being ready.
    PODS_NOT_READY = (
        "PodsNotReady",
        _WARNING,
        "Fewer pods are ready than asked, and nothing is known to be wrong with the others.",
        "Wait; status.pods and the log of the pod say how far it is.",
    )
    IMAGE_PULL_FAILED = (
        "ImagePullFailed",
        _WARNING,
        "The kubelet cannot pull the image.",
        "Correct server.image, or add podTemplate.spec.imagePullSecrets.",
    )
    UNSCHEDULABLE = (
        "Unschedulable",
        _WARNING,
        "No node takes the pod: selectors, affinity, taints or CPU do not fit.",
        "Compare podTemplate.spec and resources.requests with `kubectl describe nodes`.",
    )
    INSUFFICIENT_ACCELERATOR = (
        "InsufficientAccelerator",
        _WARNING,
        "No node has a free accelerator of accelerator.resourceName.",
        "Add nodes, free one, or use rollout.strategy Recreate, which needs no second one.",
    )
    INSUFFICIENT_MEMORY = (
        "InsufficientMemory",
        _WARNING,
        "No node has as much free memory as resources asks for.",
        "Lower resources.requests.memory, or add a node that has it.",
    )
    VOLUME_NOT_BOUND = (
        "VolumeNotBound",
        _WARNING,
        "A PersistentVolumeClaim is missing or not bound, or cannot be mounted.",
        "Look at it with `kubectl describe pvc`.",
    )
    QUOTA_EXCEEDED = (
        "QuotaExceeded",
        _WARNING,
        "A quota or an admission policy of the namespace refuses the pods.",
        "Look at `kubectl describe quota` and at the policy that the message names.",
    )
    SECRET_MISSING = (
        "SecretMissing",
        _WARNING,
        "A Secret, or a key of it, that the pod needs does not exist.",
        "Create the Secret that the message names in the resource's namespace.",
    )
    CONFIG_MAP_MISSING = (
        "ConfigMapMissing",
        _WARNING,
        "A ConfigMap, or a key of it, that the pod needs does not exist.",
        "Create the ConfigMap that the message names in the resource's namespace.",
    )
    CRASH_LOOPING = (
        "CrashLooping",
        _WARNING,
        "The server exits again and again, without saying why in a form that is known.",
        "Read the log of its last run: `kubectl logs --previous` of the pod.",
    )
    OUT_OF_MEMORY = (
        "OutOfMemory",
        _WARNING,
        "The server needs more memory than the container or the device has.",
        "Raise resources.limits.memory, or lower maxModelLen or batching.maxBatchSize.",
    )
    MODEL_NOT_FOUND = (
        "ModelNotFound",
        _WARNING,
        "model.source names no model, file or revision that exists.",
        "Correct model.source; a private repository needs model.credentialsSecretRef.",
    )
    MODEL_UNAUTHORIZED = (
        "ModelUnauthorized",
        _WARNING,
        "The source refuses the token, or asks for one.",
        "Put a token with access to the model into the Secret of model.credentialsSecretRef.",
    )
    MODEL_SOURCE_UNAVAILABLE = (
        "ModelSourceUnavailable",
        _WARNING,
        "The source cannot be reached, or fails.",
        "Check the network, the proxy and HF_ENDPOINT in server.env; it is tried again.",
    )
    MODEL_UNSUPPORTED = (
        "ModelUnsupported",
        _WARNING,
        "The files of the model are of no kind that the server can run.",
        "Choose a causal language model in the Hugging Face layout.",
    )
    INVALID_SERVER_SETTINGS = (
        "InvalidServerSettings",
        _WARNING,
        "The server refuses a flag or a variable.",
        "Correct server.args or server.env as the message says.",
    )
    NO_DEVICE = (
        "NoDevice",
        _WARNING,
        "The server was given an accelerator, but sees none that works.",
        "Check driver and device plugin of the node, and that server.image is a CUDA build.",
    )
    DISK_FULL = (
        "DiskFull",
        _WARNING,
        "The model does not fit on the cache volume.",
        "Give model.cache more room.",
    )
    UNKNOWN = (
        "Unknown",
        _WARNING,
        "The pod fails for a reason that is not known here.",
        "Read the message, and `kubectl describe pod` of the pod.",
    )


_RENAMED: Final = {
    StartupFailure.INVALID_SETTINGS: Reason.INVALID_SERVER_SETTINGS,
    StartupFailure.INTERNAL: Reason.CRASH_LOOPING,
}
STARTUP_REASONS: Final = {
    failure: _RENAMED.get(failure) or Reason(failure.value) for failure in StartupFailure
}
"""The reason that the server itself gave in its termination log, as the status says it."""
