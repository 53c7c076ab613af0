"""What the plugin asks of the API server, as the user; nothing is retried or cached.

Reads go through the operator's own client, whose gate is shut here: it writes nothing. The few
writes carry the field manager ``kubectl-llm``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from llm_operator import kinds
from llm_operator.cluster.client import ClusterClient
from llm_operator.cluster.errors import NotFound
from llm_operator.cluster.transport import Request, Transport

Object = dict[str, Any]

FIELD_MANAGER: Final = "kubectl-llm"
_EVENTS: Final = kinds.ResourceKind("", "v1", "events", "Event")
_APPLY: Final = "application/apply-patch+yaml"
_JSON_PATCH: Final = "application/json-patch+json"


class KindMissing(Exception):
    """The cluster does not know LLMDeployments: the operator's CRD is not installed."""


@dataclass(frozen=True, slots=True)
class Belongings:
    """What belongs to one resource."""

    revisions: tuple[Object, ...]
    deployments: tuple[Object, ...]
    pods: tuple[Object, ...]


class UserClient:
    """The requests of the plugin."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._reads = ClusterClient(transport, gate=lambda: False, record=lambda _: None)

    async def resource(self, namespace: str, name: str) -> Object:
        """Return one LLMDeployment.

        Raises:
            KindMissing: the cluster has no such kind at all.
            ApiError: NotFound, Forbidden and the like.
        """
        try:
            return await self._reads.get(kinds.LLM_DEPLOYMENT, namespace, name)
        except NotFound:
            await self._require_kind()
            raise

    async def resources(self, namespace: str | None) -> tuple[Object, ...]:
        """Return the LLMDeployments of a namespace, or of all; errors as ``resource``."""
        try:
            return (await self._reads.list(kinds.LLM_DEPLOYMENT, namespace)).items
        except NotFound:
            await self._require_kind()
            raise

    async def _require_kind(self) -> None:
        if not await self._reads.serves(kinds.LLM_DEPLOYMENT):
            raise KindMissing

    async def belongings(self, namespace: str, name: str) -> Belongings:
        """Return the revisions, Deployments and pods that carry the resource's labels."""
        selector = _belongs_to(name)
        found = [
            (await self._reads.list(kind, namespace, selector)).items
            for kind in (kinds.CONTROLLER_REVISION, kinds.DEPLOYMENT, kinds.POD)
        ]
        return Belongings(*found)

    async def pods(self, namespace: str, name: str) -> tuple[Object, ...]:
        """Return the pods that carry the resource's labels."""
        return (await self._reads.list(kinds.POD, namespace, _belongs_to(name))).items

    async def optional_kinds(self) -> frozenset[kinds.ResourceKind]:
        """Return those kinds that the cluster may or may not know, as far as it does."""
        served = [kind for kind in kinds.OPTIONAL_KINDS if await self._reads.serves(kind)]
        return frozenset(served)

    async def events(self, namespace: str, uid: str) -> tuple[Object, ...]:
        """Return the events about the object of this UID.

        By the core API: the cluster's role ``view`` does not know ``events.k8s.io``.
        """
        query = {"fieldSelector": f"involvedObject.uid={uid}"}
        answer = await self._transport.send(Request("GET", _EVENTS.path(namespace), query))
        return tuple(answer.body.get("items") or ())

    async def annotate(self, resource: Mapping[str, Any], key: str, value: str) -> Object:
        """Set one annotation of the very object that was read; another one is a Conflict."""
        metadata = {name: resource["metadata"][name] for name in ("namespace", "name", "uid")}
        manifest = {
            "apiVersion": kinds.LLM_DEPLOYMENT.api_version,
            "kind": kinds.LLM_DEPLOYMENT.kind,
            "metadata": {**metadata, "annotations": {key: value}},
        }
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._patch(resource, query, manifest, _APPLY)

    async def patch(
        self, resource: Mapping[str, Any], operations: Iterable[Mapping[str, Any]]
    ) -> Object:
        """Apply a JSON patch to the object as it was read; a changed one is a Conflict."""
        version = resource["metadata"]["resourceVersion"]
        lock = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
        query = {"fieldManager": FIELD_MANAGER}
        return await self._patch(resource, query, [lock, *operations], _JSON_PATCH)

    async def preview(self, manifest: Mapping[str, Any], namespace: str, manager: str) -> Object:
        """Return what a server-side apply by ``manager`` would make of the object."""
        named = {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
        query = {"fieldManager": manager, "force": "true", "dryRun": "All"}
        return await self._patch(named, query, named, _APPLY)

    async def _patch(
        self, obj: Mapping[str, Any], query: Mapping[str, str], body: Any, content_type: str
    ) -> Object:
        metadata = obj["metadata"]
        path = kinds.LLM_DEPLOYMENT.path(metadata["namespace"], metadata["name"])
        answer = await self._transport.send(Request("PATCH", path, query, body, content_type))
        result: Object = answer.body
        return result

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()


def _belongs_to(name: str) -> str:
    return f"{kinds.INSTANCE_LABEL}={name},{kinds.MANAGED_BY_LABEL}={kinds.FIELD_MANAGER}"
