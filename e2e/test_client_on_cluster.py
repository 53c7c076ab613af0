"""What the operator's client and its drift detection take for granted, asked of a real cluster."""

import asyncio
import copy
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import pytest
from kubernetes.aio.client.configuration import Configuration

from e2e import manifests
from e2e.access import api_socket
from e2e.story import Cluster, Namespace
from llm_operator import kinds
from llm_operator.cluster.client import ClusterClient
from llm_operator.cluster.errors import Conflict, Invalid, NameTaken, NotFound
from llm_operator.cluster.transport import Request, Transport
from llm_operator.cluster.trimming import trim
from llm_operator.desired.identity import Identity
from llm_operator.desired.objects import (
    HotSpec,
    render_deployment,
    render_objects,
    render_service,
    render_service_account,
)
from llm_operator.desired.revision import make_revision, render_controller_revision, renumber
from llm_operator.drift import drifted
from llm_operator.kinds import ResourceKind
from llm_operator.ownership import foreign_fields, owners
from tests.models import merge

pytestmark = pytest.mark.cluster

CONFIG_MAP = ResourceKind("", "v1", "configmaps", "ConfigMap")
Manifest = dict[str, Any]

EVERYTHING: Manifest = {
    "model": {"source": "hf://org/model"},
    "server": {
        "image": "registry.example/llm-server:1",
        "args": ["--verbose"],
        "env": [
            {"name": "EMPTY", "value": ""},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}},
            {"name": "CONFIG", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}},
        ],
    },
    "resources": {
        "requests": {"cpu": "1000m", "memory": "0.5Gi"},
        "limits": {"memory": "1024Mi", "ephemeral-storage": "1e9"},
    },
    "accelerator": {"resourceName": "nvidia.com/gpu", "count": 1},
    "podTemplate": {
        "metadata": {"labels": {"team": "a"}, "annotations": {"example.com/note": "1"}},
        "spec": {
            "nodeSelector": {"zone": "a"},
            "priorityClassName": "system-cluster-critical",
            "tolerations": [
                {"key": "gpu", "operator": "Exists"},
                {"key": "zone", "value": "", "effect": "NoSchedule"},
            ],
            "imagePullSecrets": [{"name": "pull"}],
            "volumes": [
                {
                    "name": "config",
                    "configMap": {"name": "c", "items": [{"key": "a", "path": "b"}]},
                },
                {"name": "scratch", "emptyDir": {"sizeLimit": "1024Mi"}},
                {"name": "claim", "persistentVolumeClaim": {"claimName": "x", "readOnly": False}},
                {"name": "csi", "csi": {"driver": "a.b", "volumeAttributes": {"a": "b"}}},
            ],
            "volumeMounts": [{"name": "config", "mountPath": "/config", "readOnly": False}],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "a", "operator": "In", "values": ["x"]}]}
                        ]
                    }
                },
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "weight": 1,
                            "podAffinityTerm": {
                                "topologyKey": "zone",
                                "labelSelector": {"matchLabels": {"a": "b"}},
                            },
                        }
                    ]
                },
            },
        },
    },
}
"""A revisioned spec in which every kind of field occurs, in forms that the cluster rewrites."""


@pytest.fixture(scope="module")
def socket(cluster: Cluster) -> Iterator[str]:
    """A unix socket behind which the API server answers."""
    with api_socket(cluster.backend) as path:
        yield path


@pytest.fixture
async def transport(socket: str) -> AsyncIterator[Transport]:
    """The operator's own transport, through the socket."""
    connector = aiohttp.UnixConnector(socket)
    configuration = Configuration(
        host="http://localhost", client_session_kwargs={"connector": connector}
    )
    transport = Transport(configuration, request_timeout_seconds=10)
    yield transport
    await transport.close()
    await connector.close()


@pytest.fixture
def client(transport: Transport) -> ClusterClient:
    """The operator's own client, with an open gate."""
    return ClusterClient(transport, lambda: True, lambda _: None)


@pytest.fixture
async def rendered(client: ClusterClient, namespace: Namespace) -> dict[ResourceKind, Manifest]:
    """All that is rendered for one resource, by kind; it belongs to an object that exists."""
    owner = await client.get(CONFIG_MAP, namespace.name, "kube-root-ca.crt")
    identity = Identity(namespace.name, "probe", owner["metadata"]["uid"])
    revision = renumber(make_revision(EVERYTHING, 1, "llm-server:1"), [])
    autoscaling = {
        "minReplicas": 1,
        "maxReplicas": 2,
        "metrics": [{"type": "CPU", "targetUtilizationPercent": 70}],
    }
    service = {"type": "ClusterIP", "port": 80, "annotations": {"example.com/note": "1"}}
    hot = HotSpec(service, autoscaling, None)
    made = [
        render_deployment(identity, revision, 0),
        render_controller_revision(identity, revision),
        render_service(identity, service, identity.name, identity.selector(revision.hash)),
        render_service_account(identity),
        *render_objects(identity, hot, [revision.hash], 2),
    ]
    for manifest in made:  # the owner is no LLMDeployment, so that nobody looks after these
        reference = manifest["metadata"]["ownerReferences"][0]
        reference |= {"apiVersion": "v1", "kind": "ConfigMap", "name": "kube-root-ca.crt"}
    return {_kind(manifest): manifest for manifest in made}


def _kind(manifest: Manifest) -> ResourceKind:
    return next(kind for kind in kinds.APPLIED_KINDS if kind.kind == manifest["kind"])


def _owned_paths(obj: Manifest) -> set[merge.Path]:
    """The fields that the API server recorded at our apply."""
    entries = obj["metadata"]["managedFields"]
    (ours,) = (entry for entry in entries if entry["manager"] == kinds.FIELD_MANAGER)
    return merge.to_paths(ours["fieldsV1"])


async def _live(client: ClusterClient, kind: ResourceKind, manifest: Manifest) -> Manifest:
    metadata = manifest["metadata"]
    return await client.get(kind, metadata["namespace"], metadata["name"])


async def _edit(
    transport: Transport, kind: ResourceKind, manifest: Manifest, patch: Any
) -> Manifest:
    """Change an object as somebody else: a merge patch, or a JSON patch if it is a list."""
    form = "json-patch" if isinstance(patch, list) else "merge-patch"
    path = kind.path(manifest["metadata"]["namespace"], manifest["metadata"]["name"])
    query = {"fieldManager": "by-hand"}
    answer = await transport.send(Request("PATCH", path, query, patch, f"application/{form}+json"))
    edited: Manifest = answer.body
    return edited


async def test_what_is_made_new_leaves_alone_what_exists(
    client: ClusterClient, rendered: dict[ResourceKind, Manifest]
) -> None:
    """The second apply as a new object is refused, for each kind, and changes nothing."""
    for kind, manifest in rendered.items():
        uid = (await client.apply_new(kind, manifest))["metadata"]["uid"]
        with pytest.raises(NameTaken):
            await client.apply_new(kind, manifest)
        assert (await _live(client, kind, manifest))["metadata"]["uid"] == uid, kind.kind


async def test_an_object_of_somebody_else_is_left_as_it_is(
    client: ClusterClient, namespace: Namespace, rendered: dict[ResourceKind, Manifest]
) -> None:
    """Even one without a field that collides: nothing is merged into it, not for a moment."""
    kind, manifest = kinds.SERVICE_ACCOUNT, rendered[kinds.SERVICE_ACCOUNT]
    namespace.kubectl("create", "serviceaccount", manifest["metadata"]["name"])
    before = await _live(client, kind, manifest)

    with pytest.raises(NameTaken):
        await client.apply_new(kind, manifest)

    assert await _live(client, kind, manifest) == before


async def test_an_apply_that_changes_nothing_writes_nothing(
    client: ClusterClient, rendered: dict[ResourceKind, Manifest]
) -> None:
    """The resourceVersion stays, so no watch is rung (shown where no controller writes too)."""
    for kind in (kinds.SERVICE, kinds.SERVICE_ACCOUNT, kinds.CONTROLLER_REVISION):
        first = await client.apply_new(kind, rendered[kind])
        uid = first["metadata"]["uid"]
        assert await client.apply(kind, rendered[kind], uid) == first


async def test_what_was_applied_has_not_drifted(
    client: ClusterClient, rendered: dict[ResourceKind, Manifest]
) -> None:
    """Defaults, quantities and left-out zeros of the API server are no reason to apply again."""
    for kind, manifest in rendered.items():
        applied = await client.apply_new(kind, manifest)
        assert drifted(manifest, trim(kind, applied)) is None, kind.kind
    listed = await client.list(
        kinds.DEPLOYMENT, rendered[kinds.DEPLOYMENT]["metadata"]["namespace"], kinds.WATCH_SELECTOR
    )
    assert [drifted(rendered[kinds.DEPLOYMENT], item) for item in listed.items] == [None]


async def test_the_model_of_server_side_apply_agrees_with_the_cluster(
    client: ClusterClient, rendered: dict[ResourceKind, Manifest]
) -> None:
    """The unit tests' model owns the very fields that the API server recorded."""
    for kind, manifest in rendered.items():
        applied = await client.apply_new(kind, manifest)
        assert _owned_paths(applied) == set(merge.field_set(manifest)), kind.kind


CONTAINER = "spec.template.spec.containers[name=server]"
EDITS: list[tuple[ResourceKind, Any, str]] = [
    (kinds.DEPLOYMENT, {"spec": {"replicas": 3}}, "spec.replicas"),
    (
        kinds.DEPLOYMENT,
        [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "x"}],
        f"{CONTAINER}.image",
    ),
    (
        kinds.DEPLOYMENT,
        [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--x"}],
        f"{CONTAINER}.args",
    ),
    (
        kinds.DEPLOYMENT,
        {"spec": {"template": {"spec": {"automountServiceAccountToken": None}}}},
        "spec.template.spec.automountServiceAccountToken",
    ),
    (kinds.SERVICE, {"spec": {"selector": {"added": "x"}}}, "spec.selector"),
    (kinds.SERVICE, {"metadata": {"labels": {kinds.MANAGED_BY_LABEL: None}}}, "metadata.labels"),
    (kinds.AUTOSCALER, {"spec": {"maxReplicas": 9}}, "spec.maxReplicas"),
    (kinds.DISRUPTION_BUDGET, {"spec": {"maxUnavailable": 2}}, "spec.maxUnavailable"),
    (
        kinds.SERVICE_ACCOUNT,
        {"automountServiceAccountToken": None},
        "automountServiceAccountToken",
    ),
    (kinds.CONTROLLER_REVISION, {"revision": 7}, "revision"),
    (kinds.SERVICE, {"metadata": {"ownerReferences": None}}, "metadata.ownerReferences"),
]


@pytest.mark.parametrize(
    ("kind", "patch", "path"), EDITS, ids=[f"{kind.kind}-{path}" for kind, _, path in EDITS]
)
async def test_an_edit_of_our_fields_is_found_and_one_apply_repairs_it(
    client: ClusterClient,
    transport: Transport,
    rendered: dict[ResourceKind, Manifest],
    kind: ResourceKind,
    patch: Any,
    path: str,
) -> None:
    """Whatever somebody changes in our fields is drift, and gone after an apply with force."""
    manifest = rendered[kind]
    await client.apply_new(kind, manifest)
    edited = await _edit(transport, kind, manifest, patch)
    found = drifted(manifest, trim(kind, edited))
    assert found is not None
    assert found.startswith(path)
    repaired = await client.apply(kind, manifest, edited["metadata"]["uid"])
    assert drifted(manifest, trim(kind, repaired)) is None


async def test_what_others_add_is_no_drift_but_is_told(
    client: ClusterClient, transport: Transport, rendered: dict[ResourceKind, Manifest]
) -> None:
    """An annotation in the pod template is left there, and named with its manager."""
    manifest = rendered[kinds.DEPLOYMENT]
    await client.apply_new(kinds.DEPLOYMENT, manifest)
    note = {"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}}
    edited = await _edit(transport, kinds.DEPLOYMENT, manifest, note)
    live = trim(kinds.DEPLOYMENT, edited)
    assert drifted(manifest, live) is None
    (field,) = foreign_fields(live, ("spec", "template"))
    assert (field.manager, field.path) == (
        "by-hand",
        "spec.template.metadata.annotations.restarted",
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.pop("nodeSelector"),
        lambda spec: spec["containers"][0]["env"].pop(),
        lambda spec: spec["containers"][0].pop("args"),
        lambda spec: spec["volumes"].pop(),
    ],
)
async def test_what_is_no_longer_wanted_is_drift_and_is_pruned(
    client: ClusterClient,
    rendered: dict[ResourceKind, Manifest],
    change: Callable[[Any], object],
) -> None:
    """A field that the manifest leaves out now is found, and an apply removes it."""
    before, after = rendered[kinds.DEPLOYMENT], copy.deepcopy(rendered[kinds.DEPLOYMENT])
    change(after["spec"]["template"]["spec"])
    live = await client.apply_new(kinds.DEPLOYMENT, before)
    assert drifted(after, trim(kinds.DEPLOYMENT, live)) is not None
    pruned = await client.apply(kinds.DEPLOYMENT, after, live["metadata"]["uid"])
    assert drifted(after, trim(kinds.DEPLOYMENT, pruned)) is None
    assert _owned_paths(pruned) == set(merge.field_set(after))


async def test_an_apply_touches_only_the_object_with_its_uid(
    client: ClusterClient, rendered: dict[ResourceKind, Manifest]
) -> None:
    """With another UID nothing is created, and what exists is not merged into."""
    kind, manifest, another = kinds.SERVICE, rendered[kinds.SERVICE], str(uuid.UUID(int=0))
    with pytest.raises(Conflict):
        await client.apply(kind, manifest, another)
    uid = (await client.apply_new(kind, manifest))["metadata"]["uid"]
    with pytest.raises(Conflict):
        await client.apply(kind, manifest, another)
    assert (await client.apply(kind, manifest, uid))["metadata"]["uid"] == uid


async def test_a_deletion_with_a_uid_takes_that_object_only(
    client: ClusterClient, rendered: dict[ResourceKind, Manifest]
) -> None:
    """Another UID is a conflict; the right one deletes; once more is no error."""
    manifest = rendered[kinds.SERVICE_ACCOUNT]
    applied = await client.apply_new(kinds.SERVICE_ACCOUNT, manifest)
    namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    with pytest.raises(Conflict):
        await client.delete(kinds.SERVICE_ACCOUNT, namespace, name, "another")
    for _ in range(2):
        await client.delete(kinds.SERVICE_ACCOUNT, namespace, name, applied["metadata"]["uid"])
    with pytest.raises(NotFound):
        await client.get(kinds.SERVICE_ACCOUNT, namespace, name)


async def test_a_refused_object_names_its_field(
    client: ClusterClient, rendered: dict[ResourceKind, Manifest]
) -> None:
    """What the API server does not accept comes back with its own words."""
    manifest = copy.deepcopy(rendered[kinds.SERVICE])
    manifest["spec"]["ports"][0]["port"] = 70000
    with pytest.raises(Invalid, match=r"spec\.ports\[0\]\.port"):
        await client.apply_new(kinds.SERVICE, manifest)


async def test_a_status_is_replaced_whole_under_its_version(
    client: ClusterClient, namespace: Namespace
) -> None:
    """Fields that the new status lacks go; a stale version is refused; spec keeps its owners."""
    namespace.apply(manifests.llm_deployment(replicas=0))
    settled = namespace.until_settled("chat")
    replaced = await client.patch_status(
        kinds.LLM_DEPLOYMENT, {**settled, "status": {"phase": "Pending"}}
    )
    assert replaced["status"] == {"phase": "Pending"}
    source = ("spec", "model", "source")
    assert owners(replaced, source) == owners(settled, source)
    with pytest.raises(Conflict):
        await client.patch_status(kinds.LLM_DEPLOYMENT, settled)
    namespace.until_settled("chat")


async def test_a_lease_is_written_under_its_version(
    client: ClusterClient, namespace: Namespace
) -> None:
    """Of two who take the same Lease one is refused."""
    metadata = {"name": "probe", "namespace": namespace.name}
    lease = {
        "apiVersion": kinds.LEASE.api_version,
        "kind": kinds.LEASE.kind,
        "metadata": metadata,
        "spec": {"holderIdentity": "a", "renewTime": "2026-01-01T00:00:00.000001Z"},
    }
    with pytest.raises(NotFound):
        await client.read_lease(namespace.name, "probe")
    created = await client.create_lease(namespace.name, lease)
    with pytest.raises(Conflict):
        await client.create_lease(namespace.name, lease)
    taken = copy.deepcopy(created)
    taken["spec"]["holderIdentity"] = "b"
    answers = await asyncio.gather(
        *(client.replace_lease(namespace.name, taken) for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "dict"]


async def test_discovery_tells_which_kinds_there_are(client: ClusterClient) -> None:
    """Our own kind is served; ServiceMonitors are only where their CRD is installed."""
    assert await client.serves(kinds.LLM_DEPLOYMENT)
    assert await client.serves(kinds.POD)
    assert not await client.serves(ResourceKind("no.such.group", "v1", "things", "Thing"))
