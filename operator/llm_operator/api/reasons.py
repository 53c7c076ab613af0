"""The closed lists that a resource's status speaks in: conditions, phases, reasons.

Every reason of a condition, of an entry of ``status.pods`` and of an event is a member of
``Reason``; ``explanations`` has the meaning and the next step of each, and ``docs/reasons.md`` is
generated from both. Choosing among them is not done here: status and conditions do.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Self

from llm_operator.api.explanations import (
    expected,
    judgements,
    placement,
    pods,
    refusals,
    rollouts,
)
from llm_operator.api.explanations.explanation import EventType, Explanation, Finality
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
    PROGRESSING = "Progressing", "A rollout or a rollback is under way, or paused."
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


_EXPLANATIONS: Final[Mapping[str, Explanation]] = {
    **expected.EXPLANATIONS,
    **rollouts.EXPLANATIONS,
    **judgements.EXPLANATIONS,
    **refusals.EXPLANATIONS,
    **placement.EXPLANATIONS,
    **pods.EXPLANATIONS,
}


class Reason(StrEnum):
    """Every reason that a condition, an entry of ``status.pods`` or an event may carry."""

    # The expected course.
    AVAILABLE = "Available"
    STOPPED = "Stopped"
    UP_TO_DATE = "UpToDate"
    NOT_STALLED = "NotStalled"
    NO_CONFLICT = "NoConflict"
    REPAIRED = "Repaired"
    REPLICAS_HELD = "ReplicasHeld"

    # The states of a rollout, and what moves it.
    ROLLOUT_PREPARING = "RolloutPreparing"
    ROLLOUT_STEPPING = "RolloutStepping"
    ROLLOUT_PAUSED = "RolloutPaused"
    ROLLOUT_HOLDING = "RolloutHolding"
    ROLLOUT_PROMOTING = "RolloutPromoting"
    ROLLOUT_BAKING = "RolloutBaking"
    ROLLOUT_ROLLING_BACK = "RolloutRollingBack"
    ROLLED_BACK = "RolledBack"
    PROMOTED = "Promoted"
    STEP_REACHED = "StepReached"
    NO_ROOM_FOR_ROLLOUT = "NoRoomForRollout"
    SUPERSEDED = "Superseded"
    REVERTED = "Reverted"
    ABORTED = "Aborted"
    PAUSED_BY_SPEC = "PausedBySpec"
    PAUSED_BY_STEP = "PausedByStep"
    PAUSED_BY_COMMAND = "PausedByCommand"
    PAUSED_BY_FAILURE = "PausedByFailure"
    COMMAND_EXECUTED = "CommandExecuted"
    STALE_COMMAND = "StaleCommand"
    COMMAND_INVALID = "CommandInvalid"
    STABLE_NOT_READY = "StableNotReady"

    # What a judgement says.
    LIMITS_KEPT = "LimitsKept"
    NO_TRAFFIC = "NoTraffic"
    TOO_FEW_REQUESTS = "TooFewRequests"
    INCONCLUSIVE_TOO_LONG = "InconclusiveTooLong"
    METRICS_MISSING = "MetricsMissing"
    TRAFFIC_NOT_APPLIED = "TrafficNotApplied"
    CANARY_LOST = "CanaryLost"
    ERRORS_TOO_HIGH = "ErrorsTooHigh"
    FIRST_TOKEN_TOO_SLOW = "FirstTokenTooSlow"  # noqa: S105 - a word, no password
    INTER_TOKEN_TOO_SLOW = "InterTokenTooSlow"  # noqa: S105 - a word, no password
    GUARD_EXCEEDED = "GuardExceeded"
    CANARY_RESTARTING = "CanaryRestarting"
    NO_PROGRESS = "NoProgress"

    # A change that was refused or is wanting something.
    SPEC_INVALID = "SpecInvalid"
    OWNED_FLAG = "OwnedFlag"
    OWNED_NAME = "OwnedName"
    FOREIGN_OBJECT = "ForeignObject"
    FOREIGN_FIELD = "ForeignField"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    SERVICE_MONITOR_MISSING = "ServiceMonitorMissing"

    # What keeps pods from being ready.
    PODS_NOT_READY = "PodsNotReady"
    # There is no pod: it was refused.
    QUOTA_EXCEEDED = "QuotaExceeded"
    LIMIT_RANGE_VIOLATED = "LimitRangeViolated"
    POD_SECURITY_VIOLATED = "PodSecurityViolated"
    ADMISSION_DENIED = "AdmissionDenied"
    SERVICE_ACCOUNT_MISSING = "ServiceAccountMissing"
    PRIORITY_CLASS_MISSING = "PriorityClassMissing"
    RUNTIME_CLASS_MISSING = "RuntimeClassMissing"
    # There is no node for it, or its node fails.
    UNSCHEDULABLE = "Unschedulable"
    SCHEDULER_MISSING = "SchedulerMissing"
    INSUFFICIENT_ACCELERATOR = "InsufficientAccelerator"
    INSUFFICIENT_MEMORY = "InsufficientMemory"
    INSUFFICIENT_CPU = "InsufficientCPU"
    NO_MATCHING_NODE = "NoMatchingNode"
    TAINT_NOT_TOLERATED = "TaintNotTolerated"
    NODE_UNAVAILABLE = "NodeUnavailable"
    NODE_PRESSURE = "NodePressure"
    REJECTED_BY_NODE = "RejectedByNode"
    EVICTED = "Evicted"
    STUCK_TERMINATING = "StuckTerminating"
    # Its volumes are not there.
    VOLUME_CLAIM_MISSING = "VolumeClaimMissing"
    STORAGE_CLASS_MISSING = "StorageClassMissing"
    ACCESS_MODE_REFUSED = "AccessModeRefused"
    VOLUME_NOT_BOUND = "VolumeNotBound"
    VOLUME_MOUNT_FAILED = "VolumeMountFailed"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a word, no password
    CONFIG_MAP_MISSING = "ConfigMapMissing"
    # Its container does not start.
    IMAGE_NOT_FOUND = "ImageNotFound"
    IMAGE_UNAUTHORIZED = "ImageUnauthorized"
    IMAGE_NAME_INVALID = "ImageNameInvalid"
    IMAGE_PLATFORM_MISMATCH = "ImagePlatformMismatch"
    REGISTRY_UNAVAILABLE = "RegistryUnavailable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    SANDBOX_FAILED = "SandboxFailed"
    CONTAINER_START_FAILED = "ContainerStartFailed"
    # The server ends or does not answer.
    CRASH_LOOPING = "CrashLooping"
    NATIVE_CRASH = "NativeCrash"
    KILLED = "Killed"
    OUT_OF_MEMORY = "OutOfMemory"
    LIVENESS_PROBE_FAILED = "LivenessProbeFailed"
    STARTUP_PROBE_FAILED = "StartupProbeFailed"
    READINESS_PROBE_FAILED = "ReadinessProbeFailed"
    # The server says it itself.
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_UNAUTHORIZED = "ModelUnauthorized"
    MODEL_SOURCE_UNAVAILABLE = "ModelSourceUnavailable"
    MODEL_UNSUPPORTED = "ModelUnsupported"
    INVALID_SERVER_SETTINGS = "InvalidServerSettings"
    NO_DEVICE = "NoDevice"
    DISK_FULL = "DiskFull"
    UNKNOWN = "Unknown"

    @property
    def event_type(self) -> EventType:
        """Whether an event of this reason is a warning."""
        return _EXPLANATIONS[self.value].event_type

    @property
    def meaning(self) -> str:
        """What is so."""
        return _EXPLANATIONS[self.value].meaning

    @property
    def next_step(self) -> str:
        """What the reader can do."""
        return _EXPLANATIONS[self.value].next_step

    @property
    def finality(self) -> Finality:
        """Whether a rollout ends by it, where it is what keeps its pods from being ready."""
        return _EXPLANATIONS[self.value].finality


_RENAMED: Final = {
    StartupFailure.INVALID_SETTINGS: Reason.INVALID_SERVER_SETTINGS,
    StartupFailure.INTERNAL: Reason.CRASH_LOOPING,
}
STARTUP_REASONS: Final = {
    failure: _RENAMED.get(failure) or Reason(failure.value) for failure in StartupFailure
}
"""The reason that the server itself gave in its termination log, as the status says it."""
