"""An HPA on the resource's own /scale: the total follows the load and nothing else lowers it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from e2e import audit
from e2e.manifests import Manifest, llm_deployment
from e2e.ownership import fields_with_two_managers
from e2e.story import Namespace
from e2e.traffic.harness import Load, Traffic, start
from llm_operator import kinds

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600, func_only=True)]

NAME = "chat"
FEW, MANY = 2, 8
AUTOSCALING: Manifest = {
    "minReplicas": FEW,
    "maxReplicas": MANY,
    "metrics": [{"type": "CPU", "targetUtilizationPercent": 50}],
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}},
}
"""The first readings of new pods are low, and are not what the load needs."""
RESOURCES: Manifest = {
    "requests": {"cpu": "20m", "memory": "96Mi"},
    "limits": {"memory": "512Mi"},
}
OTHER: Manifest = {"maxQueuedRequests": 128}
"""``spec.server`` of another revision."""
HEAVY = Load(whole_workers=6, stream_workers=6, long_workers=0)
QUIET_SECONDS = 12
Apply = Callable[[Manifest], str]
Record = Callable[[str, object], None]


def manifest(**spec: object) -> Manifest:
    """The resource with autoscaling; ``spec`` adds or replaces its top-level fields."""
    resource = llm_deployment(NAME, autoscaling=AUTOSCALING, resources=RESOURCES)
    resource["spec"] |= spec
    return resource


def stable_pods_asked(namespace: Namespace) -> int | None:
    """Return the replicas of the stable revision's Deployment, 0 without one.

    None where another revision became stable meanwhile: what was read may already be the old one's.
    """
    stable = namespace.status(NAME).get("stableRevision")
    deployment = namespace.get(kinds.DEPLOYMENT, f"{NAME}-{stable}")
    if namespace.status(NAME).get("stableRevision") != stable:
        return None
    return int(deployment["spec"]["replicas"]) if deployment else 0


@dataclass(slots=True)
class Totals:
    """Every total that was seen while somebody watched."""

    seen: list[int] = field(default_factory=list)


@contextmanager
def watched(namespace: Namespace) -> Iterator[Totals]:
    """Sample what the stable Deployment is told, five times a second, from a thread."""
    totals, stop = Totals(), threading.Event()

    def sample() -> None:
        while not stop.wait(0.2):
            total = stable_pods_asked(namespace)
            if total is not None and totals.seen[-1:] != [total]:
                totals.seen.append(total)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield totals
    finally:
        stop.set()
        thread.join()


def until_total(namespace: Namespace, replicas: int, *, within_seconds: float) -> float:
    """Wait until the total is decided, asked for and ready; return the seconds it took."""
    started = time.monotonic()

    def reached() -> bool:
        status = namespace.status(NAME)
        return (
            status.get("desiredReplicas") == replicas
            and status.get("readyReplicas") == replicas
            and stable_pods_asked(namespace) == replicas
        )

    namespace.until(f"the total is {replicas}", reached, within_seconds=within_seconds)
    return time.monotonic() - started


def assert_nobody_fights(namespace: Namespace) -> None:
    """Once the autoscaler holds the total itself, nobody writes replicas anywhere for a while."""
    namespace.until(
        "the autoscaler has caught up, no floor is left and the old revision is gone",
        lambda: (
            len(namespace.children(kinds.DEPLOYMENT, NAME)) == 1
            and namespace.resource(NAME)["spec"]["replicas"] == MANY
            and "replicasFloor" not in namespace.status(NAME)
        ),
        within_seconds=60,
    )
    mark = namespace.cluster.backend.audit_mark()
    time.sleep(QUIET_SECONDS)
    requests = [audit.parse(e) for e in namespace.cluster.backend.audit_events(mark)]
    scalings = [
        str(request)
        for request in audit.writes(requests)
        if request.namespace == namespace.name
        and request.resource in ("llmdeployments", "llmdeployments/scale", "deployments")
    ]
    assert not scalings


def assert_one_manager_per_field(namespace: Namespace) -> None:
    """In the resource and all of its children no field of the spec has two managers."""
    objects = [namespace.resource(NAME)]
    for kind in (kinds.DEPLOYMENT, kinds.SERVICE, kinds.AUTOSCALER, kinds.DISRUPTION_BUDGET):
        objects += namespace.children(kind, NAME)
    shared = {o["metadata"]["name"]: fields_with_two_managers(o) for o in objects}
    assert not any(shared.values()), shared


def loaded(namespace: Namespace, record_property: Record) -> Traffic:
    """Put a load on the resource that needs all of its replicas and wait until they are there."""
    traffic = start(namespace, NAME, HEAVY)
    traffic.until_answered(within_seconds=60)
    seconds = until_total(namespace, MANY, within_seconds=120)
    record_property("scale_up_seconds", round(seconds, 1))
    return traffic


def roll_out(namespace: Namespace, apply: Apply, first: Manifest, again: Manifest) -> None:
    """Apply a new revision and, while it rolls out, the manifest again; wait for its end."""
    apply(first)
    namespace.until("a rollout runs", lambda: namespace.is_rolling(NAME), within_seconds=15)
    apply(again)
    namespace.until_settled(NAME, within_seconds=150)
    until_total(namespace, MANY, within_seconds=30)


def test_the_total_follows_the_load_whatever_client_side_applies_say(
    namespace: Namespace, record_property: Record
) -> None:
    """Manifests with replicas 2 and without it, and a new revision, leave the 8 that load needs."""
    namespace.apply_client_side(manifest(replicas=FEW))
    namespace.until_settled(NAME)
    traffic = loaded(namespace, record_property)

    with watched(namespace) as totals:
        namespace.apply_client_side(manifest(replicas=FEW))
        until_total(namespace, MANY, within_seconds=30)
        first, again = manifest(replicas=FEW, server=OTHER), manifest(server=OTHER)
        roll_out(namespace, namespace.apply_client_side, first, again)
        assert_nobody_fights(namespace)
    assert set(totals.seen) == {MANY}
    assert_one_manager_per_field(namespace)

    traffic.stop()
    traffic.report().assert_undisturbed(at_least=300)
    seconds = until_total(namespace, FEW, within_seconds=300)
    record_property("scale_down_seconds", round(seconds, 1))


def test_the_total_follows_the_load_whatever_server_side_applies_say(
    namespace: Namespace, record_property: Record
) -> None:
    """The same by server-side apply, with autoscaling switched off and on before the revision."""
    namespace.apply(manifest(replicas=FEW))
    namespace.until_settled(NAME)
    traffic = loaded(namespace, record_property)

    with watched(namespace) as totals:
        namespace.apply(manifest())
        until_total(namespace, MANY, within_seconds=30)
        fixed = manifest(replicas=MANY)
        del fixed["spec"]["autoscaling"]
        namespace.apply(fixed, "--force-conflicts")
        namespace.until(
            "the HPA is gone",
            lambda: not namespace.children(kinds.AUTOSCALER, NAME),
            within_seconds=20,
        )
        until_total(namespace, MANY, within_seconds=30)
        namespace.apply(manifest())
        namespace.until(
            "the HPA is back",
            lambda: namespace.children(kinds.AUTOSCALER, NAME),
            within_seconds=20,
        )
        until_total(namespace, MANY, within_seconds=60)
        roll_out(namespace, namespace.apply, manifest(server=OTHER), manifest(server=OTHER))
        assert_nobody_fights(namespace)
    assert set(totals.seen) == {MANY}
    assert_one_manager_per_field(namespace)

    traffic.stop()
    traffic.report().assert_undisturbed(at_least=200)
