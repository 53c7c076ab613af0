"""From apply to delete with requests under way: nothing is lost, nothing is left behind."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.manifests import TORCH_RESOURCES, llm_deployment
from e2e.pod_logs import following
from e2e.rollouts import NEW
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
KEPT = Load(long_workers=4, long_tokens=LONG_TOKENS)
FRESH = Load(1, 1, 10, long_tokens=LONG_TOKENS, fresh_connections=True)
"""So many long streams, as all of them choose the one of three pods that stays once in 3^10."""
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
    for change_, moment in moments.items():
        crossing = report.under_way_at(moment, at_least_seconds=LONG_SECONDS * 0.9)
        assert crossing, f"no long stream ran during {change_}"


def scale_down_and_change(namespace: Namespace) -> tuple[dict[str, float], set[str]]:
    """Scale 3-1, change the args and the model; return when each was asked, and the pods removed.

    Those are the pods that scaling took away while they answered.
    """
    moments, before = {}, pods_of_stable(namespace)
    moments["scaling to 1"] = scale(namespace, 1)
    removed = before - pods_of_stable(namespace)
    moments["new args"] = change(namespace, {"server": {"args": [*SLOW_STEPS, NEW]}})
    moments["new model"] = change(namespace, {"model": {"source": "builtin://tiny"}})
    return moments, removed


def test_no_request_is_lost_while_a_resource_is_scaled_and_changed(
    namespace: Namespace, record_property: Record, tmp_path: Path
) -> None:
    """Scaling 1-3-1, new server.args and another model fail and truncate no request.

    Neither of clients that keep their connections, nor of those that open one for each request,
    nor of those that a pod is answering when scaling removes it.
    """
    started = time.monotonic()
    namespace.apply(llm_deployment(NAME, server={"args": SLOW_STEPS}, resources=TORCH_RESOURCES))

    with flowing(namespace, NAME, KEPT) as kept:
        namespace.until_settled(NAME)
        record_property("create_to_ready_seconds", round(time.monotonic() - started, 1))
        moments = {"scaling to 3": scale(namespace, 3)}
        with (
            following(namespace, pods_of_stable(namespace), tmp_path) as logs,
            flowing(namespace, NAME, FRESH, client="fresh") as fresh,
        ):
            later, removed = scale_down_and_change(namespace)
    report, of_fresh = kept.report(), fresh.report()

    report.assert_undisturbed(at_least=200)
    assert_crossed(report, moments | later)
    of_fresh.assert_undisturbed(at_least=50)
    ends = [end for pod in removed for end in logs.whole_answers(pod, tokens=LONG_TOKENS)]
    crossing = [end for end in ends if end > later["scaling to 1"]]
    assert crossing, f"{removed} were removed, and answered no long stream then: {ends}"
    record_property("long_streams_of_removed_pods", len(crossing))
    record_property("requests", report.counts)
    record_property("requests_on_fresh_connections", of_fresh.counts)


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
