"""An upgrade of the operator replaces its own pods and leaves those of the models alone."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from e2e import audit
from e2e.every_kind import KINDS, MIDWAY, arrange
from e2e.installation import (
    OPERATOR_DEPLOYMENT,
    OPERATOR_NAMESPACE,
    OPERATOR_USER,
    install_operator,
)
from e2e.operator_pods import leader, operator_pods
from e2e.retag import retag
from e2e.rollouts import Diary, Rolled, noted
from e2e.steady import until_nobody_writes
from e2e.story import Cluster, Namespace
from llm_operator import kinds

pytestmark = [pytest.mark.cluster, pytest.mark.long]

AFTERWARDS_SECONDS = 60
TAKE_OVER_SECONDS = 60
OWNED = [kind for kind in kinds.APPLIED_KINDS if kind not in kinds.OPTIONAL_KINDS]
Record = Callable[[str, object], None]


@dataclass(frozen=True, slots=True)
class State:
    """A resource with all that is its own, as far as an upgrade must not change it."""

    stable: str
    target: str
    phase: str
    weight_percent: int
    conditions: frozenset[tuple[str, str, str]]
    """Type, status and reason of each."""
    pods: frozenset[tuple[str, int]]
    """UID and restarts of each."""
    children: frozenset[tuple[str, str, str, int]]
    """Kind, name, UID and generation of each; 0 where a kind has no generation."""


def state_of(resource: Rolled) -> State:
    """Return the state of a resource now."""
    namespace, status = resource.namespace, resource.namespace.status(resource.name)
    children = [
        (kind.kind, child["metadata"])
        for kind in OWNED
        for child in namespace.children(kind, resource.name)
    ]
    return State(
        stable=resource.stable,
        target=resource.target,
        phase=resource.phase,
        weight_percent=resource.rollout.get("weightPercent", 0),
        conditions=frozenset(
            (each["type"], each["status"], each["reason"]) for each in status["conditions"]
        ),
        pods=frozenset(
            (pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"])
            for pod in namespace.live_pods(resource.name)
        ),
        children=frozenset(
            (kind, own["name"], own["uid"], own.get("generation", 0)) for kind, own in children
        ),
    )


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What was before the upgrade, and what was seen from its beginning to a minute after it."""

    namespace: Namespace
    resources: dict[str, Rolled]
    before: dict[str, State]
    diary: Diary
    requests: list[audit.Request]
    """Of the operator, old and new."""


@pytest.fixture(scope="module")
def upgrade(cluster: Cluster, module_namespace: Namespace) -> Iterator[Upgrade]:
    """Every kind of resource was there when helm brought an image of another tag."""
    resources = arrange(module_namespace)
    until_nobody_writes(module_namespace)
    before = {name: state_of(resource) for name, resource in resources.items()}
    mark = cluster.backend.audit_mark()
    try:
        with noted(module_namespace) as diary:
            upgrade_operator(cluster, module_namespace)
            time.sleep(AFTERWARDS_SECONDS)
        requests = audit.requests_of(cluster.backend.audit_events(mark), OPERATOR_USER)
        yield Upgrade(module_namespace, resources, before, diary, requests)
    finally:
        install_operator(cluster.backend, cluster.images)


def upgrade_operator(cluster: Cluster, namespace: Namespace) -> None:
    """Upgrade the release to the same image by another tag; wait until only new pods run."""
    old, image = set(operator_pods(cluster)), cluster.images.operator
    other = retag(cluster.backend, image, f"{image.rpartition(':')[2]}-next")
    install_operator(cluster.backend, replace(cluster.images, operator=other))

    operator = cluster.get(kinds.DEPLOYMENT.path(OPERATOR_NAMESPACE, OPERATOR_DEPLOYMENT))
    assert operator is not None, "the operator has no Deployment"
    [container] = operator["spec"]["template"]["spec"]["containers"]
    assert container["image"] == other
    namespace.until(
        "no pod of the old operator is left",
        lambda: old.isdisjoint(operator_pods(cluster)),
        within_seconds=TAKE_OVER_SECONDS,
    )
    namespace.until(
        "a pod of the new operator leads",
        lambda: leader(cluster).pod,
        within_seconds=TAKE_OVER_SECONDS,
    )


def test_an_upgrade_touches_no_pod_and_starts_no_rollout(upgrade: Upgrade) -> None:
    """Pods, children, revisions and conditions are what they were, and were all the while."""
    after = {name: state_of(resource) for name, resource in upgrade.resources.items()}

    assert len(KINDS) >= 20
    for name, before in upgrade.before.items():
        assert after[name] == before, name
        assert len(upgrade.diary.sights[name]) == 1, upgrade.diary.sights[name]
        seen = {uid for uids in upgrade.diary.pods[name].values() for uid in uids}
        assert seen == {uid for uid, _ in before.pods}, name


def test_an_upgrade_writes_nothing_to_what_is_at_rest(
    upgrade: Upgrade, record_property: Record
) -> None:
    """The new processes look at every resource and write to none that has no rollout running."""
    own = [each for each in upgrade.requests if each.namespace == upgrade.namespace.name]

    record_property("requests", audit.tally(own))
    assert any(each.verb == "list" for each in upgrade.requests), "the log shows no new process"
    written = audit.writes(own)
    assert not [str(each) for each in written if not each.name.startswith(MIDWAY)]


def test_a_rollout_that_an_upgrade_met_goes_on(upgrade: Upgrade) -> None:
    """A canary that was paused before the upgrade is promoted by its command after it."""
    resource = upgrade.resources["mid-paused"]

    resource.tell("promote-step")

    resource.until_promoted(upgrade.before["mid-paused"].target)
