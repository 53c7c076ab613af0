"""Rules that tell the ways apart in which an image cannot be pulled."""

import pytest

from llm_operator.api.reasons import Reason
from tests.diagnosis_builders import IMAGE, a_pod, an_event, evidence, found_in, waiting

UNPACK = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": '
DO = "failed to do request: "
HEAD = 'Head "https://registry.example/v2/llm-server/manifests/1": '

TOKEN = "failed to authorize: failed to fetch anonymous token: unexpected status from GET x: "
DENIED = "pull access denied, repository does not exist or may require authorization: "
STATUS = "unexpected status from HEAD request to https://registry.example/v2/a/manifests/1: "
LOOKUP = "dial tcp: lookup registry.example on 10.0.0.2:53: "

ERRORS = [
    (f"rpc error: code = NotFound desc = {UNPACK}{IMAGE}: not found", Reason.IMAGE_NOT_FOUND),
    (f"{UNPACK}{STATUS}404 Not Found", Reason.IMAGE_NOT_FOUND),
    ("manifest unknown: manifest unknown", Reason.IMAGE_NOT_FOUND),
    (f"{UNPACK}{TOKEN}401 Unauthorized", Reason.IMAGE_UNAUTHORIZED),
    (f"{UNPACK}{DENIED}server message: insufficient_scope", Reason.IMAGE_UNAUTHORIZED),
    (f"{UNPACK}{STATUS}403 Forbidden", Reason.IMAGE_UNAUTHORIZED),
    (f"{UNPACK}{STATUS}429 Too Many Requests", Reason.REGISTRY_UNAVAILABLE),
    ("toomanyrequests: You have reached your pull rate limit", Reason.REGISTRY_UNAVAILABLE),
    (f"{UNPACK}{STATUS}503 Service Unavailable", Reason.REGISTRY_UNAVAILABLE),
    (f"{UNPACK}{STATUS}500 Internal Server Error", Reason.REGISTRY_UNAVAILABLE),
    (f"{UNPACK}{DO}{HEAD}{LOOKUP}no such host", Reason.REGISTRY_UNAVAILABLE),
    (f"{UNPACK}{DO}{HEAD}Temporary failure in name resolution", Reason.REGISTRY_UNAVAILABLE),
    (f"{UNPACK}{DO}{HEAD}x509: certificate signed by unknown", Reason.REGISTRY_UNAVAILABLE),
    (f"{UNPACK}{DO}{HEAD}server gave HTTP response to HTTPS client", Reason.REGISTRY_UNAVAILABLE),
    (f"{UNPACK}{DO}{HEAD}dial tcp 10.0.0.9:443: i/o timeout", Reason.REGISTRY_UNAVAILABLE),
    (f"{UNPACK}{DO}{HEAD}connect: connection refused", Reason.REGISTRY_UNAVAILABLE),
    (f"{UNPACK}no match for platform in manifest: not found", Reason.IMAGE_PLATFORM_MISMATCH),
    ("write /var/lib/x: no space left on device", Reason.NODE_PRESSURE),
    ("unexpected media type text/html for sha256:0", Reason.IMAGE_PULL_FAILED),
]


@pytest.mark.parametrize(("error", "reason"), ERRORS)
def test_the_registrys_answer_decides_the_reason(error: str, reason: Reason) -> None:
    """401, 404, limits, failures, names and certificates are different troubles."""
    pod = a_pod(containerStatuses=[waiting("ErrImagePull", error)])

    assert found_in(pod).reason is reason


@pytest.mark.parametrize(
    ("waits", "message", "reason"),
    [
        (
            "InvalidImageName",
            f'Failed to apply default image tag "{IMAGE}": invalid reference format',
            Reason.IMAGE_NAME_INVALID,
        ),
        (
            "ErrImageNeverPull",
            f'Container image "{IMAGE}" is not present with pull policy of Never',
            Reason.IMAGE_NOT_FOUND,
        ),
        ("RegistryUnavailable", "no route", Reason.REGISTRY_UNAVAILABLE),
        ("ImageInspectError", "context canceled", Reason.IMAGE_PULL_FAILED),
    ],
)
def test_the_kubelets_own_word_decides_the_reason(waits: str, message: str, reason: Reason) -> None:
    """Where the kubelet itself tells the kind of failure, no text is searched."""
    assert found_in(a_pod(containerStatuses=[waiting(waits, message)])).reason is reason


@pytest.mark.parametrize(
    ("error", "final"),
    [
        ("401 Unauthorized", True),
        ("not found", True),
        ("429 Too Many Requests", False),
        ("503 Service Unavailable", False),
        ("no such host", False),
        ("something new", False),
    ],
)
def test_only_a_refusal_is_final(error: str, final: bool) -> None:
    """401 and 404 stay until the image is changed; a limit or a failure may pass."""
    pod = a_pod(containerStatuses=[waiting("ErrImagePull", error)])

    assert found_in(pod).is_final is final


def test_an_image_named_like_an_error_is_not_one() -> None:
    """Words and numbers in the image's own name decide nothing."""
    image = "registry.example/unauthorized-401/toomanyrequests:404"
    status = waiting("ErrImagePull", f"{image}: connect: connection refused", image=image)

    assert found_in(a_pod(containerStatuses=[status])).reason is Reason.REGISTRY_UNAVAILABLE


def test_both_faces_of_a_failed_pull_say_the_same() -> None:
    """The kubelet alternates between the error and its back-off, which repeats it."""
    error = f"rpc error: code = NotFound desc = {UNPACK}{IMAGE}: not found"
    back_off = f'Back-off pulling image "{IMAGE}": ErrImagePull: {error}'
    statuses = [waiting("ErrImagePull", error), waiting("ImagePullBackOff", back_off)]

    messages = {found_in(a_pod(containerStatuses=[status])).message for status in statuses}

    assert messages == {f'Cannot pull image "{IMAGE}": not found'}


def test_a_back_off_without_the_error_is_told_by_the_events() -> None:
    """Kubelets before 1.32 say in the status only that they back off; the event has the error."""
    pod = a_pod(
        containerStatuses=[waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"')]
    )
    failed = an_event("Failed", f'Failed to pull image "{IMAGE}": {UNPACK}{IMAGE}: not found')
    later = an_event("Failed", "Error: ImagePullBackOff")

    assert found_in(pod).reason is Reason.IMAGE_PULL_FAILED
    assert found_in(pod, evidence(failed, later)).reason is Reason.IMAGE_NOT_FOUND
