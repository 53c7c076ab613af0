"""What BlueGreen and Recreate promise: the old version serves on, or goes first."""

import time

import pytest

from e2e.manifests import AT_ONCE, Manifest, llm_deployment
from e2e.rollouts import served
from e2e.story import Namespace
from e2e.traffic.harness import Load, Report, flowing
from llm_operator import kinds
from llm_operator.api.reasons import Reason

pytestmark = pytest.mark.cluster

NO_SUCH_IMAGE = {"server": {"image": "localhost:5000/no-such-server:1"}}
LOAD = Load(1, 1, 2, long_tokens=250, fresh_connections=True)
"""Long streams of 10 s."""
DRAIN_SECONDS = 30
"""Longer than a stream that a pod which ends admits at last."""
PROXY_SECONDS = 5
"""Within so long a node's proxy sends to a pod that is ready."""


def revisions_with_pods(namespace: Namespace, name: str) -> set[str]:
    """Return the hashes of the revisions that have pods which have not ended; ending ones count."""
    return {
        pod["metadata"]["labels"][kinds.REVISION_LABEL]
        for pod in namespace.objects(kinds.POD, f"{kinds.INSTANCE_LABEL}={name}")
        if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
    }


def test_a_rejected_change_leaves_the_old_version_serving(namespace: Namespace) -> None:
    """A BlueGreen change whose image is not to be had is Stalled with that; Ready stays."""
    namespace.apply(llm_deployment("chat"))
    namespace.until_settled("chat")
    serving = namespace.endpoints("chat")

    namespace.patch(kinds.LLM_DEPLOYMENT, "chat", {"spec": NO_SUCH_IMAGE})

    def rejected() -> bool:
        stalled = namespace.condition("chat", "Stalled")
        return (
            stalled.status == "True"
            and stalled.reason == Reason.IMAGE_NOT_FOUND
            and "no-such-server" in stalled.message
        )

    namespace.until("Stalled names the image", rejected, within_seconds=30)
    assert namespace.condition("chat", "Ready").status == "True"
    assert namespace.endpoints("chat") == serving

    namespace.patch(kinds.LLM_DEPLOYMENT, "chat", {"spec": {"server": {"image": None}}})
    namespace.until_settled("chat")
    assert namespace.condition("chat", "Stalled").status == "False"
    assert namespace.endpoints("chat") == serving, "going back to stable touched its pods"


def recreated() -> Manifest:
    """Return a resource that changes by Recreate and lets every stream of ``LOAD`` end."""
    manifest = served("chat", {**AT_ONCE, "strategy": "Recreate"})
    manifest["spec"]["server"]["drainSeconds"] = DRAIN_SECONDS
    return manifest


def assert_lost_in_the_gap_only(report: Report, began: float, ended: float) -> None:
    """Fail unless no stream was cut, and what failed was sent in the gap and met nobody.

    A pod at its end, which says that it is shutting down, is nobody, too.
    """
    assert not report.count("truncated"), report.disturbed()[:10]
    outside = [
        line
        for line in report.disturbed()
        if not began < float(str(line["started"])) < ended
        or (line["revision"] is not None and line["code"] != "server_shutting_down")
    ]
    assert not outside, f"{len(outside)} between {began} and {ended}: {outside[:10]}"


def test_recreate_frees_the_old_pods_before_the_new_ones_start(namespace: Namespace) -> None:
    """No moment has pods of two revisions; no stream is cut, and none fails but in the gap."""
    namespace.apply(recreated())
    namespace.until_settled("chat")
    before = namespace.status("chat")["stableRevision"]
    together: list[set[str]] = []

    def moved() -> bool:
        together.append(revisions_with_pods(namespace, "chat"))
        return namespace.settled("chat") and namespace.status("chat")["stableRevision"] != before

    with flowing(namespace, "chat", LOAD) as traffic:
        began = time.time()  # noqa: TID251  # compared with the client's clock
        change = {"spec": {"server": {"maxQueuedRequests": 9}}}
        namespace.patch(kinds.LLM_DEPLOYMENT, "chat", change)
        namespace.until("the new revision is stable", moved, within_seconds=120)
        ended = time.time() + PROXY_SECONDS  # noqa: TID251  # as above
        after = namespace.status("chat")["stableRevision"]
        namespace.until(
            "a long stream of the new revision has ended",
            lambda: any(
                (line.get("state"), line.get("revision")) == ("ok", after)
                for line in traffic.lines()
            ),
            within_seconds=60,
        )

    assert max(map(len, together)) == 1
    assert len(set().union(*together)) == 2, "both revisions had pods, at different times"
    report = traffic.report()
    assert_lost_in_the_gap_only(report, began, ended)
    assert report.under_way_at(began, at_least_seconds=9), "the old pod had no long stream to end"
