"""Each field of the API is hot or starts a revision, as its description says."""

import json
from collections.abc import Callable

import pytest

from e2e.field_changes import HOT, FieldChange, example_spec, field_changes
from e2e.manifests import AT_ONCE, Manifest, llm_deployment
from e2e.rollouts import Rolled, wait_for_all
from e2e.story import Namespace
from llm_operator import kinds

pytestmark = pytest.mark.cluster

SIDE_BY_SIDE = 12
Record = Callable[[str, object], None]

IN_PODS: dict[str, Manifest] = {
    "model": {"servedName": "renamed"},
    "server": {"maxQueuedRequests": 9},
    "resources": {"requests": {"memory": "97Mi"}},
    "podTemplate": {"metadata": {"labels": {"team": "search"}}},
}
"""What to write into a part of a spec that runs; ``accelerator`` would need a device."""


def write(resource: Rolled, change: FieldChange) -> None:
    """Replace one top-level field of the spec, and nothing else."""
    replace = {"op": "add", "path": f"/spec/{change.top}", "value": change.value}
    response = resource.namespace.cluster.api.patch(
        kinds.LLM_DEPLOYMENT.path(resource.namespace.name, resource.name),
        content=json.dumps([replace]),
        headers={"Content-Type": "application/json-patch+json"},
    )
    assert response.is_success, f"{change.path}: {response.text[:500]}"


def until_seen(resource: Rolled, path: str) -> None:
    """Wait until the operator has looked at the spec as it is now."""

    def seen() -> bool:
        found = resource.namespace.resource(resource.name)
        observed = found.get("status", {}).get("observedGeneration")
        return bool(observed == found["metadata"]["generation"])

    resource.namespace.until(f"{path} of {resource.name} is seen", seen, within_seconds=20)


def until_has_two_pods(resource: Rolled) -> None:
    """Wait until the stable revision has the pods that the example asks for."""
    resource.namespace.until(
        f"{resource.name} has its two pods",
        lambda: len(resource.pods(resource.stable)) == 2,
        within_seconds=60,
    )


def until_revised(resource: Rolled, before: str, path: str) -> None:
    """Wait until another revision is stable, and fail unless it stands in the ledger."""
    resource.namespace.until(
        f"{path} starts a revision", lambda: resource.stable != before, within_seconds=20
    )
    name = f"{resource.name}-{resource.stable}"
    assert resource.namespace.get(kinds.CONTROLLER_REVISION, name), path


def with_hot_fields(name: str, *left_out: str) -> Manifest:
    """Return a small resource with the hot fields of the example."""
    spec = example_spec()
    hot = {top: spec[top] for top in HOT if top not in left_out}
    return llm_deployment(name, **hot)


def test_no_pod_is_touched_by_a_hot_field(
    module_namespace: Namespace, record_property: Record
) -> None:
    """Each change of a hot field leaves every pod, by UID, and the revision as they were."""
    module_namespace.apply(with_hot_fields("fixed", "autoscaling"))
    module_namespace.apply(with_hot_fields("scaled", "replicas"))
    fixed, scaled = Rolled(module_namespace, "fixed"), Rolled(module_namespace, "scaled")
    for resource in (fixed, scaled):
        until_has_two_pods(resource)
    stable = {resource: resource.stable for resource in (fixed, scaled)}
    pods = {resource: resource.pods(stable[resource]) for resource in (fixed, scaled)}

    changes = [change for change in field_changes() if change.is_hot]
    for change in changes:
        resource = scaled if change.top == "autoscaling" else fixed
        write(resource, change)
        until_seen(resource, change.path)
        assert not resource.namespace.is_rolling(resource.name), change.path
        assert resource.stable == stable[resource], change.path
        assert resource.pods(resource.stable) >= pods[resource], change.path

    record_property("fields", len(changes))
    for resource in (fixed, scaled):
        assert len(resource.namespace.children(kinds.CONTROLLER_REVISION, resource.name)) == 1


def test_every_other_field_starts_a_revision(
    module_namespace: Namespace, record_property: Record
) -> None:
    """Each change makes another revision the one that is meant; stopped resources show it fast.

    That a revision brings new pods is shown with one field of each part, on a running resource.
    """
    spec = example_spec()
    revisioned = {top: value for top, value in spec.items() if top not in HOT}
    resources = [Rolled(module_namespace, f"stopped-{n}") for n in range(SIDE_BY_SIDE)]
    for resource in resources:
        manifest = llm_deployment(resource.name, replicas=0, rollout=AT_ONCE)
        manifest["spec"] |= revisioned
        module_namespace.apply(manifest)
    wait_for_all(resources)

    changes = [change for change in field_changes() if not change.is_hot]
    for first in range(0, len(changes), SIDE_BY_SIDE):
        pairs = list(zip(resources, changes[first : first + SIDE_BY_SIDE], strict=False))
        before = {resource: resource.stable for resource in resources}
        for resource, change in pairs:
            write(resource, change)
        for resource, change in pairs:
            until_revised(resource, before[resource], change.path)
    record_property("fields", len(changes))


def uids(resource: Rolled) -> set[str]:
    """Return the UIDs of all pods of a resource, ending ones among them."""
    selector = f"{kinds.INSTANCE_LABEL}={resource.name}"
    return {pod["metadata"]["uid"] for pod in resource.namespace.objects(kinds.POD, selector)}


def test_a_revision_replaces_the_pod_that_runs(module_namespace: Namespace) -> None:
    """A field of each part that is in the pods: the old pod goes, by UID, and a new one serves.

    One field each, for each costs a start and a drain; all the others start their revision on
    stopped resources.
    """
    module_namespace.apply(llm_deployment("running"))
    module_namespace.until_settled("running")
    resource = Rolled(module_namespace, "running")

    for part, value in IN_PODS.items():
        stable, before = resource.stable, uids(resource)
        resource.edit(**{part: value})
        revision = resource.until_target_is_not(stable)
        resource.until_promoted(revision)
        resource.until_alone(revision)
        after = uids(resource)
        assert len(after) == 1, part
        assert not after & before, f"{part} left the old pod"
