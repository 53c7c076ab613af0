"""A model of the API server with the verbs of ``ClusterClient``, in memory and without delay.

Ownership, conflicts, preconditions, resourceVersions, generations, status and garbage collection
follow Kubernetes; validation, defaults and controllers are not modelled. ``applied`` gives pure
tests live objects that look as if the operator had applied them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from llm_operator import kinds
from llm_operator.cluster.client import Listing, Propagation, Selection
from llm_operator.cluster.errors import Conflict, NameTaken, NotFound, NotLeader
from tests.models import merge

Object = dict[str, Any]
Listener = Callable[[str, kinds.ResourceKind, Object], None]


class ApiServerModel:
    """Objects by kind, namespace and name; every change tells the listeners, as a watch would."""

    def __init__(self, gate: Callable[[], bool] = lambda: True) -> None:
        self.objects: dict[tuple[kinds.ResourceKind, str, str], Object] = {}
        self.listeners: list[Listener] = []
        self.requests: list[tuple[str, str]] = []
        """(verb, kind) of every request, reads included."""
        self.before_request: Callable[[str, kinds.ResourceKind], None] = lambda _, __: None
        """May raise an ApiError in place of an answer."""
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.unserved: set[kinds.ResourceKind] = set()
        self._gate = gate
        self._version = 1
        self._uids = 0

    # What others do to the cluster

    def create(self, kind: kinds.ResourceKind, obj: Mapping[str, Any], manager: str) -> Object:
        """Create an object as ``kubectl create`` does."""
        bare = {"metadata": {k: obj["metadata"][k] for k in ("name", "namespace")}}
        created = {"apiVersion": kind.api_version, "kind": kind.kind, **merge.copied(dict(obj))}
        return self._store(kind, None, merge.update(bare, created, manager))

    def edit(
        self,
        kind: kinds.ResourceKind,
        address: tuple[str, str],
        change: Callable[[Object], object],
        manager: str = "kubectl-edit",
        subresource: str = "",
    ) -> Object:
        """Change the object at (namespace, name) in place, as an update by ``manager``."""
        live = self._find(kind, *address)
        changed = merge.copied(live)
        change(changed)
        return self._store(kind, live, merge.update(live, changed, manager, subresource))

    def remove(self, kind: kinds.ResourceKind, namespace: str, name: str) -> None:
        """Delete an object and, as the garbage collector does, all that it controls."""
        gone = self.objects.pop((kind, namespace, name))
        self._version += 1
        gone["metadata"]["resourceVersion"] = str(self._version)
        self._tell("DELETED", kind, gone)
        for (child_kind, _, child_name), child in list(self.objects.items()):
            references = child["metadata"].get("ownerReferences", ())
            if any(ref["uid"] == gone["metadata"]["uid"] for ref in references):
                self.remove(child_kind, namespace, child_name)

    def applied(self, kind: kinds.ResourceKind, manifest: Mapping[str, Any]) -> Object:
        """Apply a manifest as the operator does and return the live object."""
        live = self.objects.get((kind, *_address(manifest)))
        merged = merge.apply(live, manifest, kinds.FIELD_MANAGER, force=True)
        return merge.copied(self._store(kind, live, merged))

    def find(self, kind: kinds.ResourceKind, namespace: str, name: str) -> Object | None:
        """Return an object as it is now."""
        return self.objects.get((kind, namespace, name))

    # The verbs of ClusterClient

    async def list(
        self, kind: kinds.ResourceKind, namespace: str | None = None, selector: str | None = None
    ) -> Listing:
        self._request("list", kind)
        wanted = dict(part.split("=") for part in selector.split(",")) if selector else {}
        items = [
            merge.copied(obj)
            for (other, where, _), obj in self.objects.items()
            if other == kind
            and namespace in (None, where)
            and wanted.items() <= obj["metadata"].get("labels", {}).items()
        ]
        return Listing(tuple(items), str(self._version))

    async def sample(
        self, kind: kinds.ResourceKind, namespace: str | None, wanted: Selection
    ) -> tuple[Object, ...]:
        self._request("list", kind)
        path, _, value = wanted.fields.partition("=")
        labels = dict(part.split("=") for part in wanted.labels.split(",") if part)
        return tuple(
            merge.copied(obj)
            for (other, where, _), obj in self.objects.items()
            if other == kind
            and where == (namespace or "")
            and (not path or _field(obj, path) == value)
            and labels.items() <= obj["metadata"].get("labels", {}).items()
        )[: wanted.limit]

    async def get(self, kind: kinds.ResourceKind, namespace: str | None, name: str) -> Object:
        self._request("get", kind)
        return merge.copied(self._find(kind, namespace or "", name))

    async def apply_new(self, kind: kinds.ResourceKind, obj: Mapping[str, Any]) -> Object:
        self._write("apply", kind)
        if (kind, *_address(obj)) in self.objects:
            raise NameTaken("the object has been modified")
        return merge.copied(
            self._store(kind, None, merge.apply(None, obj, kinds.FIELD_MANAGER, force=False))
        )

    async def apply(self, kind: kinds.ResourceKind, obj: Mapping[str, Any], uid: str) -> Object:
        self._write("apply", kind)
        live = self.objects.get((kind, *_address(obj)))
        if live is None or live["metadata"]["uid"] != uid:
            raise Conflict(f"uid mismatch: {uid} is not the object of that name")
        merged = merge.apply(live, obj, kinds.FIELD_MANAGER, force=True)
        return merge.copied(self._store(kind, live, merged))

    async def patch_status(self, kind: kinds.ResourceKind, obj: Mapping[str, Any]) -> Object:
        self._write("patch", kind)
        live = self._find(kind, *_address(obj))
        if live["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified")
        changed = merge.copied(live) | {"status": merge.copied(obj["status"])}
        return merge.copied(self._store(kind, live, changed))

    async def delete(
        self,
        kind: kinds.ResourceKind,
        namespace: str,
        name: str,
        uid: str,
        propagation: Propagation = Propagation.BACKGROUND,
    ) -> None:
        del propagation  # the garbage collection of the model is immediate
        self._write("delete", kind)
        live = self.objects.get((kind, namespace, name))
        if live is None:
            return
        if live["metadata"]["uid"] != uid:
            raise Conflict("the UID in the precondition does not match")
        self.remove(kind, namespace, name)

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        self._write("create", kinds.EVENT)
        self.events.append((namespace, event))

    async def read_lease(self, namespace: str, name: str) -> Object:
        return await self.get(kinds.LEASE, namespace, name)

    async def create_lease(self, namespace: str, lease: Mapping[str, Any]) -> Object:
        self._request("create", kinds.LEASE)
        if (kinds.LEASE, namespace, lease["metadata"]["name"]) in self.objects:
            raise Conflict("the lease already exists")
        return merge.copied(self._store(kinds.LEASE, None, merge.copied(dict(lease))))

    async def replace_lease(self, namespace: str, lease: Mapping[str, Any]) -> Object:
        self._request("update", kinds.LEASE)
        live = self._find(kinds.LEASE, namespace, lease["metadata"]["name"])
        if live["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"]:
            raise Conflict("the lease has been modified")
        return merge.copied(self._store(kinds.LEASE, live, merge.copied(dict(lease))))

    async def serves(self, kind: kinds.ResourceKind) -> bool:
        self._request("discover", kind)
        return kind not in self.unserved

    async def close(self) -> None:
        """Nothing is open."""

    def _request(self, verb: str, kind: kinds.ResourceKind) -> None:
        self.requests.append((verb, kind.kind))
        self.before_request(verb, kind)

    def _write(self, verb: str, kind: kinds.ResourceKind) -> None:
        if not self._gate():
            raise NotLeader(f"not the leader: {verb} {kind.kind} was not sent")
        self._request(verb, kind)

    def _find(self, kind: kinds.ResourceKind, namespace: str, name: str) -> Object:
        live = self.objects.get((kind, namespace, name))
        if live is None:
            raise NotFound(f'{kind.plural} "{name}" not found', 404)
        return live

    def _store(self, kind: kinds.ResourceKind, live: Object | None, obj: Object) -> Object:
        """Keep an object that differs from the live one; a change without news is none."""
        if live == obj:
            return live
        metadata = obj["metadata"]
        if live is None:
            self._uids += 1
            metadata["uid"] = f"uid-{self._uids}"
        else:
            metadata["uid"] = live["metadata"]["uid"]
        changed = live is None or live.get("spec") != obj.get("spec")
        generation = live["metadata"].get("generation", 1) if live else 0
        metadata["generation"] = generation + 1 if changed else generation
        self._version += 1
        metadata["resourceVersion"] = str(self._version)
        self.objects[kind, metadata["namespace"], metadata["name"]] = obj
        self._tell("MODIFIED" if live else "ADDED", kind, obj)
        return obj

    def _tell(self, change: str, kind: kinds.ResourceKind, obj: Object) -> None:
        for listener in self.listeners:
            listener(change, kind, merge.copied(obj))


def _address(obj: Mapping[str, Any]) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _field(obj: Mapping[str, Any], path: str) -> Any:
    """Return what a field selector's path leads to; None where it ends early."""
    found: Any = obj
    for name in path.split("."):
        found = found.get(name) if found else None
    return found
