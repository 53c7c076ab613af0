"""What keeps a pod's volumes away: its claims, and what the kubelet says about mounts."""

import re
from collections.abc import Iterable
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.diagnosis.evidence import Claim, Evidence, Happening
from llm_operator.diagnosis.finding import Finding, found

_MOUNT_EVENTS: Final = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
_SANDBOX_EVENTS: Final = frozenset({"FailedCreatePodSandBox", "NetworkNotReady"})
_CLAIM_EVENTS: Final = frozenset({"ProvisioningFailed", "FailedBinding"})

_SECRET: Final = re.compile(
    r"secrets? \"[^\"]+\"[^:]*not found|(?:key|keys)\b.{0,80} in Secret |"
    r"references non-existent secret key",
    re.IGNORECASE,
)
_CONFIG_MAP: Final = re.compile(
    r"configmaps? \"[^\"]+\"[^:]*not found|(?:key|keys)\b.{0,80} in ConfigMap |"
    r"references non-existent config key",
    re.IGNORECASE,
)
_MOUNT_HEAD: Final = re.compile(
    r"^(?:MountVolume|AttachVolume|MapVolume)\.\w+ failed for volume \"(?P<volume>[^\"]*)\" ?: ?"
)
_TIMED_OUT: Final = "timed out waiting for the condition"
_NO_HANDLER: Final = re.compile(r"no runtime for|RuntimeHandler .* not supported", re.IGNORECASE)
_SANDBOX_HEAD: Final = re.compile(
    r"^Failed to create pod sandbox: (?:rpc error: code = \w+ desc = )?"
)
_ONE_USER: Final = ("multi-attach error", "access mode", "accessmode")


def explain_claims(names: Iterable[str], evidence: Evidence) -> Finding | None:
    """Say which of the claims of a pod has no volume, and why; None if that is not known."""
    for name in names:
        claim = evidence.claims.get(name)
        finding = _explain_claim(claim, evidence.events_of(claim.uid)) if claim else None
        if finding is not None:
            return finding
    return None


def pending_claims(names: Iterable[str], evidence: Evidence) -> tuple[str, ...]:
    """Return those of the claims that are known to wait for a volume."""
    claims = (evidence.claims.get(name) for name in names)
    return tuple(claim.name for claim in claims if claim and claim.phase == "Pending")


def _explain_claim(claim: Claim, events: tuple[Happening, ...]) -> Finding | None:
    subject = f'PersistentVolumeClaim "{claim.name}"'
    if not claim.exists:
        return found(Reason.VOLUME_CLAIM_MISSING, f"{subject} does not exist")
    if claim.is_going:
        return found(Reason.VOLUME_NOT_BOUND, f"{subject} is being deleted")
    if claim.phase == "Lost":
        return found(Reason.VOLUME_NOT_BOUND, f"{subject} has lost its volume")
    told = [event.note for event in events if event.reason in _CLAIM_EVENTS]
    if claim.phase != "Pending" or not told:
        return None
    return found(_claim_reason(told[-1]), f"{subject}: {told[-1]}")


def _claim_reason(note: str) -> Reason:
    lowered = note.lower()
    if "storageclass" in lowered and "not found" in lowered:
        return Reason.STORAGE_CLASS_MISSING
    if "no storage class is set" in lowered:
        return Reason.STORAGE_CLASS_MISSING
    if any(words in lowered for words in _ONE_USER):
        return Reason.ACCESS_MODE_REFUSED
    return Reason.VOLUME_NOT_BOUND


def explain_creating(events: tuple[Happening, ...]) -> Finding | None:
    """Say why the containers of a pod that has a node are not even made, by its last events."""
    mounts = [event.note for event in events if event.reason in _MOUNT_EVENTS]
    # "timed out waiting" only repeats that there was an error before it.
    telling = [note for note in mounts if _TIMED_OUT not in note] or mounts
    if telling:
        return _explain_mount(telling[-1])
    sandboxes = [event.note for event in events if event.reason in _SANDBOX_EVENTS]
    return _explain_sandbox(sandboxes[-1]) if sandboxes else None


def _explain_mount(note: str) -> Finding:
    head = _MOUNT_HEAD.match(note)
    cause = note[head.end() :] if head else note
    where = f'Volume "{head["volume"]}": ' if head else ""
    if _TIMED_OUT in note:
        return found(Reason.PODS_NOT_READY, "The volumes are not mounted yet")
    reason = missing_object(note)
    if reason is None and any(words in note.lower() for words in _ONE_USER):
        reason = Reason.ACCESS_MODE_REFUSED
    return found(reason or Reason.VOLUME_MOUNT_FAILED, where + cause)


def missing_object(message: str) -> Reason | None:
    """Tell by the kubelet's words whether a Secret or a ConfigMap is missing."""
    if _CONFIG_MAP.search(message):
        return Reason.CONFIG_MAP_MISSING
    return Reason.SECRET_MISSING if _SECRET.search(message) else None


def _explain_sandbox(note: str) -> Finding:
    cause = _SANDBOX_HEAD.sub("", note)
    reason = Reason.RUNTIME_CLASS_MISSING if _NO_HANDLER.search(note) else Reason.SANDBOX_FAILED
    return found(reason, cause)
