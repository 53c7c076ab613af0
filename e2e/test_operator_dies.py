"""The operator may die, freeze or restart at any time, and hands may touch its objects."""

import time
from collections.abc import Callable

import pytest

from e2e import audit
from e2e.installation import OPERATOR_DEPLOYMENT, OPERATOR_NAMESPACE, OPERATOR_USER
from e2e.manifests import llm_deployment
from e2e.operator_pods import Leader, freeze, kill, leader, thaw
from e2e.rollouts import ARGS
from e2e.story import Cluster, Namespace
from e2e.traffic.harness import Load, flowing
from llm_operator import kinds

pytestmark = pytest.mark.cluster

TAKE_OVER_SECONDS = 20
REPAIR_SECONDS = 20
LOAD = Load(1, 1, 1, long_tokens=200, fresh_connections=True)
"""Long streams of 8 s."""
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def served(module_namespace: Namespace) -> Namespace:
    """A namespace with one Ready resource, ``chat`` of two replicas."""
    module_namespace.apply(llm_deployment("chat", replicas=2, server={"args": [*ARGS]}))
    module_namespace.until_settled("chat")
    return module_namespace


def deployment_of_stable(namespace: Namespace) -> str:
    """Return the name of the Deployment of the stable revision."""
    return f"chat-{namespace.status('chat')['stableRevision']}"


def until_another_leads(cluster: Cluster, namespace: Namespace, before: Leader) -> float:
    """Wait until another process holds the Lease; return the seconds it took."""
    started = time.monotonic()
    namespace.until(
        f"another process than {before.identity} leads",
        lambda: leader(cluster).identity != before.identity,
        within_seconds=TAKE_OVER_SECONDS,
    )
    return time.monotonic() - started


def test_a_change_survives_the_death_of_the_operator_in_its_middle(
    cluster: Cluster, served: Namespace, record_property: Record
) -> None:
    """SIGKILL while a new revision is being prepared: the survivor goes on, no request is lost."""
    before = served.status("chat")["stableRevision"]
    with flowing(served, "chat", LOAD) as traffic:
        served.patch(kinds.LLM_DEPLOYMENT, "chat", {"spec": {"server": {"maxQueuedRequests": 99}}})
        served.until("a rollout runs", lambda: served.is_rolling("chat"), within_seconds=20)

        dead = leader(cluster)
        kill(cluster, dead)
        seconds = until_another_leads(cluster, served, dead)

        served.until_settled("chat", within_seconds=120)
    assert served.status("chat")["stableRevision"] != before
    traffic.report().assert_undisturbed(at_least=50)
    assert len(served.children(kinds.DEPLOYMENT, "chat")) <= 2
    record_property("take_over_seconds", round(seconds, 1))


def test_a_frozen_leader_is_replaced_and_writes_nothing_when_it_thaws(
    cluster: Cluster, served: Namespace, record_property: Record
) -> None:
    """A leader that hangs loses the Lease in time; awake again it makes no write as the old one."""
    frozen = leader(cluster)
    freeze(cluster, frozen)
    try:
        seconds = until_another_leads(cluster, served, frozen)
        record_property("take_over_seconds", round(seconds, 1))
        mark = cluster.backend.audit_mark()
        served.patch(kinds.LLM_DEPLOYMENT, "chat", {"spec": {"replicas": 3}})
        served.until_settled("chat")
    finally:
        thaw(cluster, frozen)

    time.sleep(5)  # what the thawed process would do, it does at once
    written = audit.writes(audit.requests_of(cluster.backend.audit_events(mark), OPERATOR_USER))
    assert written, "the audit log shows no write of the new leader"
    assert not [str(r) for r in written if r.pod == frozen.pod]


@pytest.mark.parametrize(
    "kind",
    [kinds.SERVICE, kinds.SERVICE_ACCOUNT, kinds.DISRUPTION_BUDGET],
    ids=lambda kind: str(kind.kind),
)
def test_a_deleted_child_comes_back(served: Namespace, kind: kinds.ResourceKind) -> None:
    """A child that somebody deletes is there again, with the same content."""
    before = served.get(kind, "chat")
    assert before is not None

    served.delete(kind, "chat")

    def back() -> bool:
        found = served.get(kind, "chat")
        return bool(found and found["metadata"]["uid"] != before["metadata"]["uid"])

    served.until(f"{kind.kind} is back", back, within_seconds=REPAIR_SECONDS)
    after = served.get(kind, "chat")
    assert after is not None
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    served.until_settled("chat")


def test_a_deleted_deployment_comes_back_and_serves(served: Namespace) -> None:
    """The Deployment of the stable revision is made again as the snapshot says."""
    name, before = deployment_of_stable(served), served.status("chat")["stableRevision"]

    served.kubectl("delete", "deployment", name)

    served.until(
        "the Deployment is back", lambda: served.get(kinds.DEPLOYMENT, name), within_seconds=20
    )
    served.until_settled("chat")
    assert served.status("chat")["stableRevision"] == before


def test_a_deleted_stable_revision_is_rebuilt(served: Namespace) -> None:
    """The ControllerRevision of stable comes back with the same data; no pod is touched."""
    name = deployment_of_stable(served)
    before = served.get(kinds.CONTROLLER_REVISION, name)
    pods = {pod["metadata"]["uid"] for pod in served.live_pods("chat")}
    assert before is not None

    served.delete(kinds.CONTROLLER_REVISION, name)

    after = served.until(
        "the ControllerRevision is back",
        lambda: served.get(kinds.CONTROLLER_REVISION, name),
        within_seconds=REPAIR_SECONDS,
    )
    assert after["data"] == before["data"]
    served.until_settled("chat")
    assert {pod["metadata"]["uid"] for pod in served.live_pods("chat")} == pods


def test_an_added_selector_key_is_removed(served: Namespace) -> None:
    """A key added to the Service's selector cuts the traffic off, so it is drift and goes."""
    served.patch(kinds.SERVICE, "chat", {"spec": {"selector": {"added": "by-hand"}}})

    def repaired() -> bool:
        found = served.get(kinds.SERVICE, "chat")
        return bool(found and "added" not in found["spec"]["selector"])

    served.until("the selector is the operator's again", repaired, within_seconds=REPAIR_SECONDS)


def test_replicas_edited_on_the_deployment_are_put_right(served: Namespace) -> None:
    """The Deployments' replicas have one owner: a hand that scales one of them loses."""
    name, wanted = deployment_of_stable(served), served.status("chat")["desiredReplicas"]

    served.kubectl("scale", "deployment", name, f"--replicas={wanted + 2}")

    def repaired() -> bool:
        found = served.get(kinds.DEPLOYMENT, name)
        return bool(found and found["spec"]["replicas"] == wanted)

    served.until("the replicas are the operator's again", repaired, within_seconds=REPAIR_SECONDS)
    served.until_settled("chat")


def test_a_restart_with_nothing_to_do_writes_nothing(
    cluster: Cluster, served: Namespace, record_property: Record
) -> None:
    """New operator processes look at everything and, the Lease apart, write nothing."""
    served.until_settled("chat")
    served.until_quiet("chat")
    before = leader(cluster)
    mark = cluster.backend.audit_mark()

    operator = f"deployment/{OPERATOR_DEPLOYMENT}"
    cluster.kubectl("-n", OPERATOR_NAMESPACE, "rollout", "restart", operator)
    cluster.kubectl("-n", OPERATOR_NAMESPACE, "rollout", "status", operator, "--timeout=90s")
    until_another_leads(cluster, served, before)
    time.sleep(10)  # first reconcile of everything

    requests = audit.requests_of(cluster.backend.audit_events(mark), OPERATOR_USER)
    record_property("requests", audit.tally(requests))
    assert any(r.verb == "list" for r in requests), "the audit log shows no new process"
    # Other namespaces may be ending: for their resources there is something to do.
    assert not [str(r) for r in audit.writes(requests) if r.namespace == served.name]
