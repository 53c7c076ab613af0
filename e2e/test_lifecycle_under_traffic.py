"""From apply to delete with requests under way: nothing is lost, nothing is left behind."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from e2e.manifests import TORCH_RESOURCES, llm_deployment
from e2e.story import Namespace
from e2e.traffic.harness import Load, Report, flowing
from llm_operator import kinds

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600, func_only=True)]

NAME = "chat"
STEP_MILLISECONDS = 60
LONG_TOKENS = 1000
LONG_SECONDS = STEP_MILLISECONDS * LONG_TOKENS / 1000
SLOW_STEPS = [
    f"--simulated-step-milliseconds={STEP_MILLISECONDS}",
    "--simulated-answer-tokens=0",
]
FASTER_PREFILL = "--simulated-prefill-tokens-per-second=40000"
Record = Callable[[str, object], None]


def pods_of_stable(namespace: Namespace) -> set[str]:
    """Return the names of the live pods of the stable revision."""
    stable = namespace.status(NAME).get("stableRevision")
    return {
        pod["metadata"]["name"]
        for pod in namespace.live_pods(NAME)
        if pod["metadata"]["labels"][kinds.REVISION_LABEL] == stable
    }


def assert_serves_alone(namespace: Namespace, replicas: int) -> None:
    """Wait until exactly so many pods of the stable revision, and no others, get the traffic."""

    def serves() -> bool:
        pods = pods_of_stable(namespace)
        return len(pods) == replicas and namespace.endpoints(NAME) == pods

    rule = f"the Service sends to {replicas} pods of the stable revision and to no other"
    namespace.until(rule, serves, within_seconds=60)


def scale(namespace: Namespace, replicas: int) -> float:
    """Scale as a user does and return the time at which it was asked."""
    asked = time.time()  # noqa: TID251  # compared with the client's clock
    namespace.kubectl("scale", "llmdeployment", NAME, f"--replicas={replicas}")
    namespace.until_settled(NAME)
    assert_serves_alone(namespace, replicas)
    return asked


def change(namespace: Namespace, spec: dict[str, Any]) -> float:
    """Change the spec by hand, wait until a new revision serves; return when it was asked."""
    before, asked = namespace.status(NAME)["stableRevision"], time.time()  # noqa: TID251  # as above
    namespace.patch(kinds.LLM_DEPLOYMENT, NAME, {"spec": spec})
    namespace.until(
        f"another revision than {before} is stable",
        lambda: namespace.status(NAME)["stableRevision"] != before,
        within_seconds=90,
    )
    namespace.until_settled(NAME, within_seconds=120)
    assert_serves_alone(namespace, 1)
    return asked


def assert_crossed(report: Report, moments: dict[str, float]) -> None:
    """Fail unless a long stream that ended whole was running at each of the moments."""
    spans = [
        (float(str(line["started"])), float(str(line["started"])) + float(str(line["seconds"])))
        for line in report.long_streams(at_least_seconds=LONG_SECONDS * 0.9)
    ]
    for change_, moment in moments.items():
        assert any(a < moment < b for a, b in spans), f"no long stream ran during {change_}"


def test_no_request_is_lost_while_a_resource_is_scaled_and_changed(
    namespace: Namespace, record_property: Record
) -> None:
    """Scaling 1-3-1, new server.args and another model fail and truncate no request."""
    started = time.monotonic()
    namespace.apply(llm_deployment(NAME, server={"args": SLOW_STEPS}, resources=TORCH_RESOURCES))
    moments: dict[str, float] = {}

    with flowing(namespace, NAME, Load(long_workers=4, long_tokens=LONG_TOKENS)) as traffic:
        namespace.until_settled(NAME)
        record_property("create_to_ready_seconds", round(time.monotonic() - started, 1))
        moments["scaling to 3"] = scale(namespace, 3)
        time.sleep(10)  # long streams start on the new pods too
        moments["scaling to 1"] = scale(namespace, 1)
        moments["new args"] = change(namespace, {"server": {"args": [*SLOW_STEPS, FASTER_PREFILL]}})
        moments["new model"] = change(namespace, {"model": {"source": "builtin://tiny"}})
    report = traffic.report()

    report.assert_undisturbed(at_least=200)
    assert_crossed(report, moments)
    record_property("requests", report.counts)


def test_every_child_goes_with_its_resource(namespace: Namespace) -> None:
    """Deleting the resource removes all that the operator made for it, without a finalizer."""
    autoscaling = {
        "minReplicas": 2,
        "maxReplicas": 3,
        "metrics": [{"type": "CPU", "targetUtilizationPercent": 70}],
    }
    namespace.apply(llm_deployment(NAME, autoscaling=autoscaling, replicas=2))
    namespace.until_settled(NAME)
    assert namespace.kinds_of_children(NAME) >= {
        "ControllerRevision",
        "Deployment",
        "Service",
        "ServiceAccount",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
    }

    namespace.kubectl("delete", "llmdeployment", NAME)

    namespace.until(
        "no child and no pod is left",
        lambda: not namespace.kinds_of_children(NAME),
        within_seconds=60,
    )
