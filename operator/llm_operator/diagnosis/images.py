"""Why an image cannot be pulled: what can pass told from what cannot."""

import re
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.diagnosis.evidence import Happening
from llm_operator.diagnosis.finding import Finding, found
from llm_operator.diagnosis.pod import Container

_WAITING: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_BY_WAITING: Final = {
    "InvalidImageName": Reason.IMAGE_NAME_INVALID,
    "ErrImageNeverPull": Reason.IMAGE_NOT_FOUND,
    "RegistryUnavailable": Reason.REGISTRY_UNAVAILABLE,
}

_CAUSES: Final = (
    (re.compile(r"no match for platform|exec format error"), Reason.IMAGE_PLATFORM_MISMATCH),
    (re.compile(r"invalid reference format|couldn't parse image"), Reason.IMAGE_NAME_INVALID),
    (re.compile(r"no space left on device"), Reason.NODE_PRESSURE),
    (
        re.compile(
            r"toomanyrequests|too many requests|\b429\b|: 5\d\d\b|\b50[0-4] [a-z]|"
            r"service unavailable|internal server error|bad gateway|"
            r"no such host|name resolution|server misbehaving|lookup .* on .*:|"
            r"x509:|\btls:|http response to https client|"
            r"i/o timeout|deadline exceeded|connection refused|connection reset|no route to host|"
            r"network is unreachable|timeout|\beof\b|proxyconnect"
        ),
        Reason.REGISTRY_UNAVAILABLE,
    ),
    (
        re.compile(
            r"\b401\b|\b403\b|unauthorized|forbidden|access denied|authorization failed|"
            r"authentication required|no basic auth credentials|insufficient_scope"
        ),
        Reason.IMAGE_UNAUTHORIZED,
    ),
    (
        re.compile(r"not found|\b404\b|manifest unknown|name unknown|does not exist"),
        Reason.IMAGE_NOT_FOUND,
    ),
)
_HEADS: Final = re.compile(
    r"^(?:rpc error: code = \w+ desc = |failed to pull and unpack image \"[^\"]*\": |"
    r"failed to resolve (?:reference|image|image reference) \"[^\"]*\": |failed to do request: |"
    r"Failed to pull image \"[^\"]*\": |failed to copy: |Error response from daemon: )+"
)


def explain_pull(container: Container, events: tuple[Happening, ...]) -> Finding | None:
    """Say why the image of a container is not there; None if that is not its trouble."""
    waiting = container.waiting_reason
    if waiting not in _WAITING:
        return None
    detail = _detail(container, events)
    reason = _BY_WAITING.get(waiting) or _reason(detail.replace(container.image, ""))
    told = f": {_brief(detail, container.image)}" if detail else ""
    return found(reason, f'Cannot pull image "{container.image}"{told}')


def _detail(container: Container, events: tuple[Happening, ...]) -> str:
    """Return the error itself: the kubelet alternates between it and its back-off."""
    detail = container.waiting_message.rsplit("ErrImagePull: ", maxsplit=1)[-1]
    if detail and not detail.startswith("Back-off"):
        return detail
    failed = (e.note for e in reversed(events) if e.reason == "Failed" and "pull image" in e.note)
    return next(failed, "")


def _reason(detail: str) -> Reason:
    lowered = detail.lower()
    causes = (reason for pattern, reason in _CAUSES if pattern.search(lowered))
    return next(causes, Reason.IMAGE_PULL_FAILED)


def _brief(detail: str, image: str) -> str:
    """Leave out what wraps the cause: a status message has room for one sentence."""
    brief = _HEADS.sub("", detail).removeprefix(f"{image}: ")
    return brief or detail
