"""Drift: exactly what an apply would change, and nothing else."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_operator import kinds
from llm_operator.cluster.trimming import trim
from llm_operator.drift import drifted
from tests.models import merge
from tests.models.apiserver import ApiServerModel

Object = dict[str, Any]

METADATA = {
    "name": "chat-abc",
    "namespace": "default",
    "labels": {"app.kubernetes.io/instance": "chat"},
    "ownerReferences": [{"kind": "LLMDeployment", "name": "chat", "uid": "u1", "controller": True}],
}


def deployment() -> Object:
    """A Deployment with every kind of map and list that merges in its own way."""
    container = {
        "name": "server",
        "image": "llm-server:1",
        "args": ["serve", "--verbose"],
        "env": [{"name": "A", "value": "1"}, {"name": "EMPTY", "value": ""}],
        "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "1000m"}, "limits": {"nvidia.com/gpu": "1"}},
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
    }
    pod = {
        "automountServiceAccountToken": False,
        "containers": [container],
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "volumes": [{"name": "cache", "emptyDir": {"sizeLimit": "1024Mi"}}],
    }
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "chat"}},
        "template": {"metadata": {"labels": {"app": "chat"}}, "spec": pod},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": copy.deepcopy(METADATA),
        "spec": spec,
    }


def service() -> Object:
    """A Service, whose selector is atomic."""
    spec = {
        "selector": {"instance": "chat", "revision": "abc"},
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
    }
    metadata = copy.deepcopy(METADATA)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def container_of(obj: Object) -> Object:
    """The one container of a Deployment."""
    container: Object = obj["spec"]["template"]["spec"]["containers"][0]
    return container


def live(manifest: Object, edit: Callable[[Object], object] | None = None) -> Mapping[str, Any]:
    """Return a manifest as the cache holds it after an apply and an edit by somebody else."""
    api = ApiServerModel()
    kind = next(kind for kind in kinds.APPLIED_KINDS if kind.kind == manifest["kind"])
    obj = api.applied(kind, manifest)
    if edit:
        metadata = manifest["metadata"]
        obj = api.edit(kind, (metadata["namespace"], metadata["name"]), edit)
    return trim(kind, obj)


@pytest.mark.parametrize("manifest", [deployment(), service()])
def test_an_applied_object_has_not_drifted(manifest: Object) -> None:
    """Right after an apply nothing is left to apply."""
    assert drifted(manifest, live(manifest)) is None


def test_an_object_that_was_never_applied_has_drifted() -> None:
    """The same values without our ownership are not ours to rely on."""
    assert drifted(service(), {**service(), "metadata": METADATA}) == "metadata"


EDITS: list[tuple[Object, Callable[[Object], object], str]] = [
    (deployment(), lambda o: o["spec"].update(replicas=5), "spec.replicas"),
    (deployment(), lambda o: o["spec"].pop("replicas"), "spec.replicas"),
    (
        deployment(),
        lambda o: container_of(o).update(image="evil"),
        "spec.template.spec.containers[name=server].image",
    ),
    (
        deployment(),
        lambda o: container_of(o)["args"].append("--x"),
        "spec.template.spec.containers[name=server].args",
    ),
    (
        deployment(),
        lambda o: container_of(o)["env"][0].update(value="2"),
        "spec.template.spec.containers[name=server].env[name=A].value",
    ),
    (
        deployment(),
        lambda o: container_of(o)["env"].pop(0),
        "spec.template.spec.containers[name=server].env[0]",
    ),
    (
        deployment(),
        lambda o: container_of(o)["resources"]["limits"].update({"nvidia.com/gpu": "2"}),
        "spec.template.spec.containers[name=server].resources.limits",
    ),
    (
        deployment(),
        lambda o: o["spec"]["template"]["spec"].pop("automountServiceAccountToken"),
        "spec.template.spec.automountServiceAccountToken",
    ),
    (
        deployment(),
        lambda o: o["spec"]["template"]["spec"]["tolerations"].append({"key": "x"}),
        "spec.template.spec.tolerations",
    ),
    (
        deployment(),
        lambda o: o["spec"]["template"]["spec"]["nodeSelector"].update(zone="b"),
        "spec.template.spec.nodeSelector",
    ),
    (service(), lambda o: o["spec"]["selector"].update(revision="old"), "spec.selector"),
    (service(), lambda o: o["spec"]["selector"].update(added="key"), "spec.selector"),
    (
        service(),
        lambda o: o["metadata"]["labels"].clear(),
        "metadata.labels",
    ),
    (service(), lambda o: o["metadata"]["ownerReferences"].clear(), "metadata.ownerReferences"),
]


@pytest.mark.parametrize(("manifest", "edit", "path"), EDITS, ids=[path for _, _, path in EDITS])
def test_an_edit_of_our_fields_is_drift(
    manifest: Object, edit: Callable[[Object], object], path: str
) -> None:
    """Whatever somebody changed in a field of ours is named by its path."""
    assert drifted(manifest, live(manifest, edit)) == path


@pytest.mark.parametrize(
    "edit",
    [
        lambda o: o["metadata"].update(annotations={"note": "mine"}),
        lambda o: o["metadata"]["labels"].update(team="x"),
        lambda o: o["spec"].update(minReadySeconds=5),
        lambda o: o["spec"]["template"]["spec"]["containers"].append({"name": "sidecar"}),
        lambda o: container_of(o)["env"].append({"name": "B", "value": "2"}),
        lambda o: o.update(status={"replicas": 7}),
    ],
)
def test_what_others_add_beside_our_fields_is_no_drift(edit: Callable[[Object], object]) -> None:
    """An apply would leave a foreign addition alone, so it is no reason to apply."""
    assert drifted(deployment(), live(deployment(), edit)) is None


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda o: o["spec"].update(minReadySeconds=5), "spec.minReadySeconds"),
        (lambda o: o["spec"].pop("replicas"), "spec.replicas"),
        (
            lambda o: container_of(o)["env"].pop(),
            "spec.template.spec.containers[name=server].env[name=EMPTY]",
        ),
        (
            lambda o: container_of(o)["resources"].pop("limits"),
            "spec.template.spec.containers[name=server].resources.limits",
        ),
        (
            lambda o: container_of(o).update(args=[]),
            "spec.template.spec.containers[name=server].args",
        ),
        (
            lambda o: o["spec"]["template"]["spec"].pop("nodeSelector"),
            "spec.template.spec.nodeSelector",
        ),
    ],
)
def test_what_is_wanted_anew_or_no_longer_is_drift(
    change: Callable[[Object], object], path: str
) -> None:
    """A field that an apply would add, change or prune is named."""
    before, after = deployment(), deployment()
    change(after)
    assert drifted(after, live(before)) == path


@pytest.mark.parametrize(
    ("wanted", "stored"),
    [("1000m", "1"), ("0.5", "500m"), ("1e3", "1k"), ("1024Mi", "1Gi"), (2, "2"), ("1.0", "1")],
)
def test_quantities_are_compared_by_amount(wanted: Any, stored: str) -> None:
    """The API server stores a quantity in its own form; only another amount is drift."""
    before, after = deployment(), deployment()
    container_of(before)["resources"]["requests"]["cpu"] = stored
    container_of(after)["resources"]["requests"]["cpu"] = wanted
    assert drifted(after, live(before)) is None
    container_of(after)["resources"]["requests"]["cpu"] = "17"
    assert drifted(after, live(before)) is not None


def test_a_value_that_only_looks_like_a_quantity_is_compared_as_text() -> None:
    """Outside resource fields ``1000m`` and ``1`` are different strings."""
    before, after = deployment(), deployment()
    container_of(before)["env"][0]["value"] = "1"
    container_of(after)["env"][0]["value"] = "1000m"
    assert drifted(after, live(before)) is not None


def test_true_and_one_are_different_values() -> None:
    """JSON's true and 1 are never the same, though Python's are."""
    before, after = deployment(), deployment()
    before["spec"]["paused"], after["spec"]["paused"] = 1, True
    assert drifted(after, live(before)) == "spec.paused"


def test_a_zero_value_that_the_encoding_left_out_is_no_drift() -> None:
    """``value: ""`` is ours though the API server does not store it."""

    def encode(obj: Object) -> None:
        del container_of(obj)["env"][1]["value"]

    stored = copy.deepcopy(ApiServerModel().applied(kinds.DEPLOYMENT, deployment()))
    encode(stored)
    assert drifted(deployment(), stored) is None


def test_a_key_with_a_default_matches_its_item() -> None:
    """A port without protocol is the TCP port that the API server keeps."""
    after = deployment()
    del container_of(after)["ports"][0]["protocol"]
    found = drifted(after, live(deployment()))
    assert found == (
        "spec.template.spec.containers[name=server].ports[containerPort=8000,protocol=TCP].protocol"
    )


# Any manifests: drift is exactly what the model of server-side apply would change

names = st.sampled_from(["a", "b", "c"])
scalars = st.one_of(st.sampled_from(["x", "y"]), st.integers(1, 3), st.booleans())
string_maps = st.dictionaries(names, st.sampled_from(["x", "y"]), min_size=1, max_size=3)


def _list_of(key: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    item = st.fixed_dictionaries({key: names}, optional=fields)
    return st.lists(item, min_size=1, max_size=3, unique_by=lambda entry: entry[key])


containers = _list_of(
    "name",
    image=st.sampled_from(["i:1", "i:2"]),
    args=st.lists(st.sampled_from(["-x", "-y"]), min_size=1, max_size=2),
    env=_list_of("name", value=st.sampled_from(["1", "2"])),
    volumeMounts=_list_of("mountPath", name=names),
    resources=st.fixed_dictionaries({}, optional={"limits": string_maps}),
)
specs = st.fixed_dictionaries(
    {"replicas": st.integers(1, 3)},
    optional={
        "selector": string_maps,
        "paused": st.booleans(),
        "strategy": st.fixed_dictionaries({}, optional={"type": scalars, "extra": scalars}),
        "containers": containers,
        "volumes": _list_of("name", emptyDir=st.just({})),
        "tolerations": st.lists(string_maps, max_size=2),
        "nodeSelector": string_maps,
    },
)
manifests = st.builds(
    lambda labels, spec: {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x", "namespace": "default", "labels": labels},
        "spec": spec,
    },
    string_maps,
    specs,
)


def _without_empty(value: Any) -> Any:
    """Leave empty maps and lists out, as every renderer of the product does."""
    if isinstance(value, dict):
        cleaned = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item not in ({}, [])}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None, max_examples=200)
@given(manifests, manifests, manifests, st.booleans())
def test_drift_is_exactly_what_an_apply_would_change(
    first: Object, foreign: Object, second: Object, edited: bool
) -> None:
    """For any history, an object has drifted if and only if an apply changes it."""
    first, foreign, second = map(_without_empty, (first, foreign, second))
    api = ApiServerModel()
    api.applied(kinds.DEPLOYMENT, first)
    if edited:
        api.edit(
            kinds.DEPLOYMENT,
            ("default", "x"),
            lambda obj: obj["spec"].update(copy.deepcopy(foreign["spec"])),
        )
    before = copy.deepcopy(api.find(kinds.DEPLOYMENT, "default", "x"))
    assert before is not None
    after = merge.apply(before, second, kinds.FIELD_MANAGER, force=True)
    changes = _content(after) != _content(before)
    found = drifted(second, trim(kinds.DEPLOYMENT, before))
    assert (found is not None) == changes, found


@settings(deadline=None, max_examples=100)
@given(manifests, manifests)
def test_an_apply_leaves_no_drift(first: Object, second: Object) -> None:
    """Whatever was there, one apply is enough."""
    first, second = _without_empty(first), _without_empty(second)
    api = ApiServerModel()
    api.create(kinds.DEPLOYMENT, first, "kubectl-create")
    assert drifted(second, api.applied(kinds.DEPLOYMENT, second)) is None


def _content(obj: Object) -> Any:
    """What an apply can change: everything, with managedFields in any order."""
    fields = sorted(
        (entry["manager"], entry["operation"], sorted(merge.to_paths(entry["fieldsV1"])))
        for entry in obj["metadata"]["managedFields"]
    )
    metadata = {**obj["metadata"], "managedFields": fields}
    return {**obj, "metadata": metadata}
