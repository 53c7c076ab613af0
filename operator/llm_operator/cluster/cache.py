"""What the operator knows of the cluster: plain objects, fed by watches, lists and own writes.

All three sources meet here in any order, so an object is taken only if its resourceVersion is
newer than the stored one (resourceVersions of one resource type are ordered, KEP-5504). Where an
object was seen to be gone, a tombstone keeps the resourceVersion of its end for a minute: what is
not newer is a late word about the dead, and so is what is older than a list that lacks it. (By
version and not by UID: a watch also says "deleted" of
an object that merely lost the label it is selected by, and that one comes back.) A list repairs
what the watches missed. Objects are trimmed on the way in and never changed afterwards; whoever
reads them must not change them either.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from llm_operator import kinds
from llm_operator.cluster.trimming import tells_news, trim

Object = Mapping[str, Any]

TOMBSTONE_SECONDS: Final = 60.0


class ResourceKey(NamedTuple):
    """Names one LLMDeployment; everything that belongs to it is worked on under this key."""

    namespace: str
    name: str


class _Address(NamedTuple):
    kind: kinds.ResourceKind
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class _Tombstone:
    version: int
    until: float


@dataclass(frozen=True, slots=True)
class Relisted:
    """What a list brought to light."""

    changed: frozenset[ResourceKey]
    """Resources to look at again."""
    ghosts: int
    """Objects that were gone without the watch having said so."""
    missed: int
    """Objects whose news the watch had not brought."""


class Cache:
    """The latest known state of every watched object, indexed by the resource it belongs to."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._objects: dict[_Address, Object] = {}
        self._by_parent: dict[ResourceKey, set[_Address]] = defaultdict(set)
        self._tombstones: dict[_Address, _Tombstone] = {}
        self._listed: dict[kinds.ResourceKind, int] = {}
        """The resourceVersion of the last list of each kind."""

    def put(self, kind: kinds.ResourceKind, obj: Object) -> bool:
        """Store an object unless it is old news; return whether a reconcile may care."""
        address = _address(kind, obj)
        stored = self._objects.get(address)
        if resource_version(obj) <= self._latest(address):
            return False
        trimmed = trim(kind, obj)
        if stored:
            self._unlink(address, stored)
        self._objects[address] = trimmed
        parent = parent_key(kind, trimmed)
        if parent:
            self._by_parent[parent].add(address)
        return stored is None or tells_news(kind, stored, trimmed)

    def delete(self, kind: kinds.ResourceKind, obj: Object) -> bool:
        """Forget an object that ended at its resourceVersion; return whether it was known."""
        address = _address(kind, obj)
        version = resource_version(obj)
        stored = self._objects.get(address)
        if stored and resource_version(stored) > version:
            return False
        self._bury(address, version)
        return stored is not None

    def replace(
        self, kind: kinds.ResourceKind, items: Iterable[Object], list_version: str
    ) -> Relisted:
        """Take over a complete list of ``kind`` as of ``list_version``.

        What is known from after that moment stays. The kind counts as synced from then on. A list
        that is older than the one before it tells that the cluster was restored from a backup:
        then nothing that is known of the kind can be ordered against it, and it is forgotten.
        """
        if int(list_version) < self._listed.get(kind, 0):
            self._forget(kind)
        changed: set[ResourceKey | None] = set()
        missed = 0
        listed = set()
        for item in items:
            address = _address(kind, item)
            listed.add(address)
            before = self._parent_at(address)
            if self.put(kind, item):
                missed += 1
                changed |= {before, self._parent_at(address)}
        ghosts = self._ghosts(kind, listed, int(list_version))
        for address in ghosts:
            changed.add(self._parent_at(address))
            self._remove(address)
        first = kind not in self._listed
        self._listed[kind] = max(int(list_version), self._listed.get(kind, 0))
        keys = frozenset(key for key in changed if key)
        return Relisted(keys, len(ghosts), missed=0 if first else missed)

    def is_synced(self, watched: Iterable[kinds.ResourceKind]) -> bool:
        """Whether each of these kinds has been listed once."""
        return all(kind in self._listed for kind in watched)

    def get(self, kind: kinds.ResourceKind, namespace: str, name: str) -> Object | None:
        """Return one object."""
        return self._objects.get(_Address(kind, namespace, name))

    def resource(self, key: ResourceKey) -> Object | None:
        """Return the LLMDeployment of this key."""
        return self.get(kinds.LLM_DEPLOYMENT, key.namespace, key.name)

    def resources(self) -> tuple[ResourceKey, ...]:
        """Return the keys of all LLMDeployments."""
        return tuple(
            ResourceKey(address.namespace, address.name)
            for address in self._objects
            if address.kind == kinds.LLM_DEPLOYMENT
        )

    def children(self, key: ResourceKey) -> dict[tuple[kinds.ResourceKind, str], Object]:
        """Return the objects of the applied kinds that belong to a resource."""
        return {
            (address.kind, address.name): self._objects[address]
            for address in sorted(self._by_parent.get(key, ()), key=_order)
            if address.kind in kinds.APPLIED_KINDS
        }

    def pods(self, key: ResourceKey) -> tuple[Object, ...]:
        """Return the pods of a resource, by name."""
        return self._of_kind(key, kinds.POD)

    def endpoint_slices(self, key: ResourceKey) -> tuple[Object, ...]:
        """Return the EndpointSlices of a resource's Service, by name."""
        return self._of_kind(key, kinds.ENDPOINT_SLICE)

    def counts(self) -> dict[str, int]:
        """Return how many objects of each kind are held."""
        counted: dict[str, int] = defaultdict(int)
        for address in self._objects:
            counted[address.kind.kind] += 1
        return dict(counted)

    def _of_kind(self, key: ResourceKey, kind: kinds.ResourceKind) -> tuple[Object, ...]:
        addresses = (a for a in self._by_parent.get(key, ()) if a.kind == kind)
        return tuple(self._objects[address] for address in sorted(addresses, key=_order))

    def _ghosts(
        self, kind: kinds.ResourceKind, listed: set[_Address], version: int
    ) -> list[_Address]:
        return [
            address
            for address, obj in self._objects.items()
            if address.kind == kind and address not in listed and resource_version(obj) <= version
        ]

    def _forget(self, kind: kinds.ResourceKind) -> None:
        for address in [a for a in self._objects if a.kind == kind]:
            self._remove(address)
        for address in [a for a in self._tombstones if a.kind == kind]:
            del self._tombstones[address]
        del self._listed[kind]

    def _parent_at(self, address: _Address) -> ResourceKey | None:
        stored = self._objects.get(address)
        return parent_key(address.kind, stored) if stored else None

    def _unlink(self, address: _Address, stored: Object) -> None:
        parent = parent_key(address.kind, stored)
        if parent is None:
            return
        self._by_parent[parent].discard(address)
        if not self._by_parent[parent]:
            del self._by_parent[parent]

    def _bury(self, address: _Address, version: int) -> None:
        now = self._clock()
        expired = [address for address, stone in self._tombstones.items() if stone.until <= now]
        for gone in expired:
            del self._tombstones[gone]
        self._tombstones[address] = _Tombstone(version, now + TOMBSTONE_SECONDS)
        self._remove(address)

    def _remove(self, address: _Address) -> None:
        stored = self._objects.pop(address, None)
        if stored:
            self._unlink(address, stored)

    def _latest(self, address: _Address) -> int:
        """Return the newest version heard of at an address; 0 when there is none."""
        stored = self._objects.get(address)
        if stored:
            return resource_version(stored)
        listed = self._listed.get(address.kind, 0)
        stone = self._tombstones.get(address)
        return max(listed, stone.version) if stone and stone.until > self._clock() else listed


def parent_key(kind: kinds.ResourceKind, obj: Object) -> ResourceKey | None:
    """Return the LLMDeployment that an object is, belongs to, or is labelled with."""
    metadata = obj["metadata"]
    if kind == kinds.LLM_DEPLOYMENT:
        return ResourceKey(metadata["namespace"], metadata["name"])
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller") and _is_resource(reference):
            return ResourceKey(metadata["namespace"], reference["name"])
    instance = (metadata.get("labels") or {}).get(kinds.INSTANCE_LABEL)
    return ResourceKey(metadata["namespace"], instance) if instance else None


def resource_version(obj: Object) -> int:
    """Return the resourceVersion as the number that it is ordered by."""
    return int(obj["metadata"]["resourceVersion"])


def _is_resource(reference: Mapping[str, Any]) -> bool:
    group = str(reference.get("apiVersion", "")).partition("/")[0]
    return group == kinds.GROUP and reference.get("kind") == kinds.LLM_DEPLOYMENT.kind


def _address(kind: kinds.ResourceKind, obj: Object) -> _Address:
    metadata = obj["metadata"]
    return _Address(kind, metadata["namespace"], metadata["name"])


def _order(address: _Address) -> tuple[str, str]:
    return address.kind.kind, address.name
