"""What BlueGreen and Recreate promise: the old version serves on, or goes first."""

import pytest

from e2e.manifests import AT_ONCE, llm_deployment
from e2e.story import Namespace
from llm_operator import kinds
from llm_operator.api.reasons import Reason

pytestmark = pytest.mark.cluster

NO_SUCH_IMAGE = {"server": {"image": "localhost:5000/no-such-server:1"}}


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


def test_recreate_frees_the_old_pods_before_the_new_ones_start(namespace: Namespace) -> None:
    """With Recreate no moment has pods of two revisions: one accelerator is enough."""
    namespace.apply(llm_deployment("chat", rollout={**AT_ONCE, "strategy": "Recreate"}))
    namespace.until_settled("chat")
    before = namespace.status("chat")["stableRevision"]
    namespace.patch(kinds.LLM_DEPLOYMENT, "chat", {"spec": {"server": {"maxQueuedRequests": 9}}})

    together: list[set[str]] = []

    def moved() -> bool:
        together.append(revisions_with_pods(namespace, "chat"))
        return namespace.settled("chat") and namespace.status("chat")["stableRevision"] != before

    namespace.until("the new revision is stable", moved, within_seconds=60)
    assert max(map(len, together)) == 1
    assert len(set().union(*together)) == 2, "both revisions had pods, at different times"
