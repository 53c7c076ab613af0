"""Changes to a version that is bad, each in its own way: back to stable, with the reason.

All resources change together, each with its own traffic; the tests look at one fault each.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from e2e.manifests import Manifest
from e2e.operator_pods import kill_pod
from e2e.rollouts import NEW, Rolled, quick, served, step, wait_for_all
from e2e.story import Namespace
from e2e.traffic.harness import Load, Traffic, start
from llm_operator import kinds
from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase

pytestmark = pytest.mark.cluster

LOAD = Load(1, 1, 1, long_tokens=250, fresh_connections=True)
REJECTED_SECONDS = 150


@dataclass(frozen=True, slots=True)
class Fault:
    """A way to be bad, and what the status must say of it."""

    name: str
    flags: tuple[str, ...]
    reason: Reason
    rollout: Manifest = field(default_factory=dict)
    analysis: Manifest = field(default_factory=dict)
    unanswered_at_most: int = 0
    """Requests that may meet nobody: a pod that dies takes its port with it."""
    or_else: Reason | None = None
    """What is as right, where the kubelet decides which of two is seen first."""
    errors_at_least: int = 0
    """Typed, retryable errors that clients must have met: those faults that requests bring out."""

    def manifest(self) -> Manifest:
        """Return the resource before it gets bad."""
        steps = (step(50, min_seconds=5), step(100))
        return served(self.name, quick(*steps, analysis=self.analysis, **self.rollout))


FAULTS = (
    Fault(
        "never-ready",
        ("--simulated-load-stops-at-percent=50",),
        Reason.PROGRESS_DEADLINE_EXCEEDED,
        rollout={"progressDeadlineSeconds": 12},
    ),
    Fault("exits", ("--simulated-load-exit-code=3",), Reason.CRASH_LOOPING),
    Fault(
        "errs",
        ("--simulated-error-percent=50",),
        Reason.ERRORS_TOO_HIGH,
        errors_at_least=1,
    ),
    Fault(
        "errs-late",
        ("--simulated-error-percent=50", "--simulated-error-after-tokens=8"),
        Reason.ERRORS_TOO_HIGH,
        errors_at_least=1,
    ),
    Fault(
        "slow",
        ("--simulated-duration-percent=800",),
        Reason.INTER_TOKEN_TOO_SLOW,
        analysis={"maxInterTokenPercent": 200},
    ),
    Fault(
        "slow-start",
        ("--simulated-prefill-tokens-per-second=20",),
        Reason.FIRST_TOKEN_TOO_SLOW,
        analysis={"maxTimeToFirstTokenPercent": 300},
    ),
    Fault(
        "crashes",
        ("--simulated-crash-after-seconds=15",),
        Reason.CRASH_LOOPING,  # by the back-off after the second end, while none is ready
        analysis={"minRequests": 1000},
        unanswered_at_most=20,
        or_else=Reason.CANARY_RESTARTING,  # by the start after it, where no back-off was shown
    ),
    Fault(
        "hangs",
        ("--simulated-hang-after-requests=2",),
        Reason.NO_PROGRESS,
        errors_at_least=1,
    ),
)


@dataclass(frozen=True, slots=True)
class Before:
    """A resource as it was when the bad version came."""

    stable: str
    restarts: dict[str, int]
    """Of each of its pods, by UID."""
    traffic: Traffic


@pytest.fixture(scope="module")
def before(module_namespace: Namespace) -> Iterator[dict[str, Before]]:
    """Every resource serves, has traffic, and has been given its bad version."""
    resources = [Rolled(module_namespace, fault.name) for fault in FAULTS]
    for fault in FAULTS:
        module_namespace.apply(fault.manifest())
    wait_for_all(resources)
    traffic = {each.name: start(module_namespace, each.name, LOAD) for each in resources}
    for each in traffic.values():
        each.until_answered(within_seconds=90)
    known = {
        each.name: Before(each.stable, each.restarts(each.stable), traffic[each.name])
        for each in resources
    }
    for fault in FAULTS:
        Rolled(module_namespace, fault.name).edit_args(*fault.flags)
    yield known
    module_namespace.kubectl("delete", "llmdeployments", "--all", "--wait=false")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_bad_version_is_rolled_back_with_its_reason(
    module_namespace: Namespace, before: dict[str, Before], fault: Fault
) -> None:
    """Stable keeps its pods and its streams; the canary's requests end in typed errors."""
    resource, known = Rolled(module_namespace, fault.name), before[fault.name]
    canary = resource.until_target_is_not(known.stable)

    resource.until(RolloutPhase.ROLLED_BACK, within_seconds=REJECTED_SECONDS)
    resource.until_alone(known.stable)
    known.traffic.stop()

    stalled = resource.condition("Stalled")
    assert stalled.status == "True"
    assert stalled.reason in (fault.reason, fault.or_else), stalled
    assert resource.condition("Ready").status == "True"
    assert resource.stable == known.stable
    assert resource.restarts(known.stable) == known.restarts, "stable pods were started again"
    assert canary in resource.rollout["rejected"]
    report = known.traffic.report()
    report.assert_only_the_canary_erred(
        canary, stable=known.stable, unanswered_at_most=fault.unanswered_at_most
    )
    assert len(report.typed_errors_of(canary)) >= fault.errors_at_least, report.revisions


def test_a_failure_can_wait_for_somebody(module_namespace: Namespace) -> None:
    """With onFailure Pause the canary that fails is kept at its weight until a command."""
    rollout = quick(step(50, min_seconds=5), step(100), onFailure="Pause")
    resource = Rolled(module_namespace, "waits")
    module_namespace.apply(served("waits", rollout))
    module_namespace.until_settled("waits")
    stable, traffic = resource.stable, start(module_namespace, "waits", LOAD)
    traffic.until_answered(within_seconds=60)

    resource.edit_args("--simulated-error-percent=50")
    paused = resource.until(RolloutPhase.PAUSED, within_seconds=90)

    assert paused["reason"] == Reason.PAUSED_BY_FAILURE
    assert paused["verdictReason"] == Reason.ERRORS_TOO_HIGH
    assert paused["weightPercent"] == 50
    resource.tell("abort")
    resource.until(RolloutPhase.ROLLED_BACK)
    resource.until_alone(stable)
    traffic.stop()
    report = traffic.report()
    report.assert_only_the_canary_erred(paused["target"], stable=stable, unanswered_at_most=0)
    assert report.typed_errors_of(paused["target"]), report.revisions


def test_a_canary_with_a_pod_that_restarts_fails_although_another_is_ready(
    module_namespace: Namespace,
) -> None:
    """The second restart in the same way condemns the canary; the ready pod does not save it."""
    resource = Rolled(module_namespace, "restarts")
    module_namespace.apply(served("restarts", quick(step(100, 1, pause={})), replicas=2))
    module_namespace.until_settled("restarts")
    stable = resource.stable
    resource.edit_args(NEW)
    canary = resource.until_target_is_not(stable)
    resource.until(RolloutPhase.PAUSED, within_seconds=90)
    pod, _ = [
        str(each["metadata"]["name"])
        for each in module_namespace.live_pods("restarts")
        if each["metadata"]["labels"][kinds.REVISION_LABEL] == canary
    ]

    for restarts in (0, 1):
        module_namespace.until(
            f"the server of {pod} runs after {restarts} restarts",
            partial(runs_after, module_namespace, pod, restarts),
            within_seconds=30,
        )
        kill_pod(module_namespace.cluster, pod)

    resource.until(RolloutPhase.ROLLED_BACK, within_seconds=90)
    stalled = resource.condition("Stalled")
    assert (stalled.status, stalled.reason) == ("True", Reason.CANARY_RESTARTING), stalled
    assert pod in stalled.message
    resource.until_alone(stable)


def runs_after(namespace: Namespace, pod: str, restarts: int) -> bool:
    """Whether the one container of a pod runs, after so many restarts."""
    found = namespace.get(kinds.POD, pod)
    assert found is not None, f"{pod} is gone"
    [container] = found["status"]["containerStatuses"]
    return container["restartCount"] == restarts and "running" in container["state"]
