"""Rules about pods that are refused: there is none to look at, the Deployment says why."""

import pytest

from llm_operator.api.reasons import Reason
from llm_operator.diagnosis import NOTHING, Finding, diagnose
from tests.builders import NOW
from tests.diagnosis_builders import REVISION, Json, a_deployment, a_ready_pod, refused

PODS = 'pods "chat-one-6c5d7b-" is forbidden: '

MESSAGES = [
    (
        PODS + "exceeded quota: small, requested: pods=1, used: pods=3, limited: pods=3",
        Reason.QUOTA_EXCEEDED,
        "exceeded quota: small, requested: pods=1, limited: pods=3",
    ),
    (
        PODS + "failed quota: small: must specify limits.cpu for: server",
        Reason.QUOTA_EXCEEDED,
        "failed quota: small: must specify limits.cpu for: server",
    ),
    (
        PODS + "maximum memory usage per Container is 64Mi, but limit is 512Mi",
        Reason.LIMIT_RANGE_VIOLATED,
        "maximum memory usage per Container is 64Mi, but limit is 512Mi",
    ),
    (
        PODS + "minimum cpu usage per Pod is 1, but request is 20m",
        Reason.LIMIT_RANGE_VIOLATED,
        "minimum cpu usage per Pod is 1, but request is 20m",
    ),
    (
        PODS + 'violates PodSecurity "restricted:latest": unrestricted volume types',
        Reason.POD_SECURITY_VIOLATED,
        'violates PodSecurity "restricted:latest": unrestricted volume types',
    ),
    (
        PODS + 'error looking up service account d/me: serviceaccount "me" not found',
        Reason.SERVICE_ACCOUNT_MISSING,
        'error looking up service account d/me: serviceaccount "me" not found',
    ),
    (
        PODS + "no PriorityClass with name urgent was found",
        Reason.PRIORITY_CLASS_MISSING,
        "no PriorityClass with name urgent was found",
    ),
    (
        PODS + 'pod rejected: RuntimeClass "fast" not found',
        Reason.RUNTIME_CLASS_MISSING,
        'pod rejected: RuntimeClass "fast" not found',
    ),
    (
        'admission webhook "policy.example" denied the request: no',
        Reason.ADMISSION_DENIED,
        'admission webhook "policy.example" denied the request: no',
    ),
    (
        'Internal error occurred: failed calling webhook "policy.example": EOF',
        Reason.ADMISSION_DENIED,
        'Internal error occurred: failed calling webhook "policy.example": EOF',
    ),
    (
        PODS + "ValidatingAdmissionPolicy 'x' with binding 'y' denied request: no",
        Reason.ADMISSION_DENIED,
        "ValidatingAdmissionPolicy 'x' with binding 'y' denied request: no",
    ),
    ("something new", Reason.UNKNOWN, "something new"),
]


@pytest.mark.parametrize(("message", "reason", "told"), MESSAGES)
def test_the_one_who_refuses_is_named(message: str, reason: Reason, told: str) -> None:
    """Quota, limits, security, accounts and classes are cured by different people."""
    deployment = a_deployment(conditions=(refused(message),))

    assert diagnose([], [deployment], NOTHING, NOW) == (Finding(reason, told, revision=REVISION),)


def test_a_replica_set_that_is_refused_is_told_as_well() -> None:
    """A quota on ReplicaSets leaves the Deployment without even that."""
    condition = {
        "type": "Progressing",
        "status": "False",
        "reason": "ReplicaSetCreateError",
        "message": 'replicasets.apps "chat-one-6c5d7b" is forbidden: exceeded quota: none',
    }

    (finding,) = diagnose([], [a_deployment(conditions=(condition,))], NOTHING, NOW)

    assert finding == Finding(Reason.QUOTA_EXCEEDED, "exceeded quota: none", revision=REVISION)


@pytest.mark.parametrize(
    "condition",
    [
        {"type": "ReplicaFailure", "status": "False", "message": "exceeded quota: x"},
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
        {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"},
    ],
)
def test_a_deployment_that_goes_on_is_no_trouble(condition: Json) -> None:
    """Only refusals are read from a Deployment; its own deadline is not the operator's."""
    deployment = a_deployment(conditions=(condition,))

    assert diagnose([a_ready_pod()], [deployment], NOTHING, NOW) == ()


def test_what_others_use_of_a_quota_is_no_news() -> None:
    """Neither is the random name of the pod that was refused."""
    first = PODS + "exceeded quota: s, requested: pods=1, used: pods=3, limited: pods=3"
    second = first.replace("used: pods=3", "used: pods=4").replace("6c5d7b-", "6c5d7b-zz")

    told = {
        diagnose([], [a_deployment(conditions=(refused(message),))], NOTHING, NOW)
        for message in (first, second)
    }

    assert len(told) == 1
