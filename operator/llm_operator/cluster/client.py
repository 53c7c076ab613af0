"""The verbs that the operator uses on the API server, over plain JSON objects.

Every write but the Lease's passes the gate right before it is sent, so that a replica that is no
longer surely the leader sends nothing. Nothing is cached and nothing is retried here.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from llm_operator import kinds
from llm_operator.cluster.errors import (
    ApiError,
    ClusterUnavailable,
    Conflict,
    NameTaken,
    NotFound,
    NotLeader,
)
from llm_operator.cluster.transport import Answer, Request, Transport

Object = dict[str, Any]

PAGE_SIZE: Final = 500
_APPLY: Final = "application/apply-patch+yaml"
_JSON_PATCH: Final = "application/json-patch+json"
_MANAGER: Final = {"fieldManager": kinds.FIELD_MANAGER}
_NEVER_A_VERSION: Final = "1"
"""The revision of an empty etcd: no object has it, so an apply at it can only create."""


class Propagation(StrEnum):
    """What a deletion does with the dependants of the object."""

    BACKGROUND = "Background"
    FOREGROUND = "Foreground"


@dataclass(frozen=True, slots=True)
class Listing:
    """A complete list at one moment of the cluster."""

    items: tuple[Object, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind are wanted, and how many at most."""

    limit: int
    fields: str = ""
    """Field selector."""
    labels: str = ""
    """Label selector."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request for the metrics; ``code`` is 0 when there was no answer."""

    verb: str
    kind: str
    code: int
    seconds: float


class ClusterClient:
    """Typed verbs over a transport."""

    def __init__(
        self,
        transport: Transport,
        gate: Callable[[], bool],
        record: Callable[[RequestRecord], None],
    ) -> None:
        self._transport = transport
        self._gate = gate
        self._record = record

    async def list(
        self, kind: kinds.ResourceKind, namespace: str | None = None, selector: str | None = None
    ) -> Listing:
        """List a kind in one namespace or in all, page by page, as of one resourceVersion.

        A list whose continuation expires between pages is begun again, once, in one piece.
        """
        try:
            return await self._list_pages(kind, namespace, selector, PAGE_SIZE)
        except ClusterUnavailable as error:
            if error.status != 410:
                raise
        return await self._list_pages(kind, namespace, selector, 0)

    async def _list_pages(
        self, kind: kinds.ResourceKind, namespace: str | None, selector: str | None, limit: int
    ) -> Listing:
        query = {"limit": str(limit)} if limit else {}
        query |= {"labelSelector": selector} if selector else {}
        items: list[Object] = []
        while True:
            answer = await self._send("list", kind, Request("GET", kind.path(namespace), query))
            page = _object(answer)
            items += page.get("items") or ()
            metadata = page["metadata"]
            if not metadata.get("continue"):
                break
            query = query | {"continue": metadata["continue"]}
        for item in items:  # the API server leaves both out of the items of a list
            item.setdefault("apiVersion", kind.api_version)
            item.setdefault("kind", kind.kind)
        return Listing(tuple(items), str(metadata["resourceVersion"]))

    async def sample(
        self, kind: kinds.ResourceKind, namespace: str | None, wanted: Selection
    ) -> tuple[Object, ...]:
        """Return objects that match, at most ``wanted.limit``: one page, no complete list."""
        query = {"limit": str(wanted.limit)}
        query |= {"fieldSelector": wanted.fields} if wanted.fields else {}
        query |= {"labelSelector": wanted.labels} if wanted.labels else {}
        answer = await self._send("list", kind, Request("GET", kind.path(namespace), query))
        return tuple(_object(answer).get("items") or ())[: wanted.limit]

    async def get(self, kind: kinds.ResourceKind, namespace: str | None, name: str) -> Object:
        """Return one object; NotFound when there is none."""
        answer = await self._send("get", kind, Request("GET", kind.path(namespace, name)))
        return _object(answer)

    async def apply_new(self, kind: kinds.ResourceKind, obj: Mapping[str, Any]) -> Object:
        """Make an object that does not exist by server-side apply; never touch one that does.

        A POST would leave an ``Update`` entry in managedFields that later applies never prune
        (docs/decisions/0003).

        Raises:
            NameTaken: an object of that name exists.
        """
        try:
            return await self._apply(kind, obj, {"resourceVersion": _NEVER_A_VERSION}, "false")
        except Conflict as taken:
            raise NameTaken(taken.message, taken.status) from taken

    async def apply(self, kind: kinds.ResourceKind, obj: Mapping[str, Any], uid: str) -> Object:
        """Make the object with this UID so by server-side apply, by force.

        ``obj`` is the complete intent for it.

        Raises:
            Conflict: the object of that name is not the one with this UID.
        """
        return await self._apply(kind, obj, {"uid": uid}, "true")

    async def _apply(
        self,
        kind: kinds.ResourceKind,
        obj: Mapping[str, Any],
        precondition: Mapping[str, str],
        force: str,
    ) -> Object:
        metadata = obj["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"])
        body = {**obj, "metadata": {**metadata, **precondition}}
        query = _MANAGER | {"force": force}
        return _object(
            await self._write("apply", kind, Request("PATCH", path, query, body, _APPLY))
        )

    async def patch_status(self, kind: kinds.ResourceKind, obj: Mapping[str, Any]) -> Object:
        """Replace the whole status of ``obj``, if it is still at its ``metadata.resourceVersion``.

        A JSON patch: unlike a merge patch it removes what the new status leaves out, and unlike a
        PUT it needs no spec and leaves the ownership of spec's fields alone. Replacing the
        resourceVersion with itself is the optimistic lock.

        Raises:
            Conflict: the object has changed since it was read.
        """
        metadata = obj["metadata"]
        patch = [
            {
                "op": "replace",
                "path": "/metadata/resourceVersion",
                "value": metadata["resourceVersion"],
            },
            {"op": "add", "path": "/status", "value": obj["status"]},
        ]
        path = kind.path(metadata["namespace"], metadata["name"]) + "/status"
        request = Request("PATCH", path, _MANAGER, patch, _JSON_PATCH)
        return _object(await self._write("patch", kind, request))

    async def delete(
        self,
        kind: kinds.ResourceKind,
        namespace: str,
        name: str,
        uid: str,
        propagation: Propagation = Propagation.BACKGROUND,
    ) -> None:
        """Delete the very object that has this UID; one that is gone already is no error.

        Raises:
            Conflict: an object of that name exists and has another UID.
        """
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": propagation,
            "preconditions": {"uid": uid},
        }
        request = Request("DELETE", kind.path(namespace, name), body=body)
        try:
            await self._write("delete", kind, request)
        except NotFound:
            return

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        """Post an event of ``events.k8s.io/v1``."""
        request = Request("POST", kinds.EVENT.path(namespace), _MANAGER, event)
        await self._write("create", kinds.EVENT, request)

    async def read_lease(self, namespace: str, name: str) -> Object:
        """Return a Lease; NotFound when there is none."""
        return await self.get(kinds.LEASE, namespace, name)

    async def create_lease(self, namespace: str, lease: Mapping[str, Any]) -> Object:
        """Create a Lease; Conflict when it exists. The elector's own write: it has no gate."""
        request = Request("POST", kinds.LEASE.path(namespace), _MANAGER, lease)
        return _object(await self._send("create", kinds.LEASE, request))

    async def replace_lease(self, namespace: str, lease: Mapping[str, Any]) -> Object:
        """Replace a Lease that is still at its resourceVersion; Conflict when it is not."""
        path = kinds.LEASE.path(namespace, lease["metadata"]["name"])
        request = Request("PUT", path, _MANAGER, lease)
        return _object(await self._send("update", kinds.LEASE, request))

    async def serves(self, kind: kinds.ResourceKind) -> bool:
        """Whether the API server knows the kind at this version (by discovery)."""
        prefix = f"/apis/{kind.group}" if kind.group else "/api"
        try:
            answer = await self._send("get", kind, Request("GET", f"{prefix}/{kind.version}"))
        except NotFound:
            return False
        return any(item["name"] == kind.plural for item in _object(answer).get("resources") or ())

    async def close(self) -> None:
        """Close the transport."""
        await self._transport.close()

    async def _write(self, verb: str, kind: kinds.ResourceKind, request: Request) -> Answer:
        if not self._gate():
            raise NotLeader(f"not the leader: {verb} {request.path} was not sent")
        return await self._send(verb, kind, request)

    async def _send(self, verb: str, kind: kinds.ResourceKind, request: Request) -> Answer:
        started = time.monotonic()
        code = 0
        try:
            answer = await self._transport.send(request)
        except ApiError as error:
            code = error.status or 0
            raise
        else:
            code = answer.status
            return answer
        finally:
            self._record(RequestRecord(verb, kind.kind, code, time.monotonic() - started))


def _object(answer: Answer) -> Object:
    if not isinstance(answer.body, dict):
        raise ClusterUnavailable("the API server answered without an object", answer.status)
    return answer.body
