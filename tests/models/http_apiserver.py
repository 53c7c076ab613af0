"""The model of the API server behind real HTTP: discovery, lists, watches, writes, and faults.

It serves the real client and kopf, so what runs between them and the operator's cache is the
product. Watches can be cut, told that their version is gone, fed an error, or kept deaf.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from llm_operator import kinds
from llm_operator.cluster.client import Selection
from llm_operator.cluster.errors import ApiError
from llm_operator.cluster.transport import Transport
from tests.models.apiserver import ApiServerModel

WATCHED = (kinds.LLM_DEPLOYMENT, *kinds.WATCHED_KINDS)
ADDRESSED = (*WATCHED, kinds.LEASE, kinds.EVENT)
_OBJECT_PATH = re.compile(
    r"(?P<all>/apis?/.*/namespaces/(?P<ns>[^/]+)/[^/]+)(/(?P<name>[^/]+))?(/status)?"
)
REQUIRED_BY_KOPF = (
    kinds.ResourceKind("", "v1", "namespaces", "Namespace"),
    kinds.ResourceKind("", "v1", "events", "Event"),
    kinds.ResourceKind(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition"
    ),
)


class HttpApiServer:
    """Answers over HTTP for the objects of a model."""

    def __init__(self, model: ApiServerModel) -> None:
        self.model = model
        self.url = ""
        self.deaf = False
        """While set, changes reach no watch, as if they fell into a gap between two of them."""
        self.status = 200
        """What every request is answered with; 200 is the truth."""
        self.lists: list[str] = []
        self.watches_begun = 0
        self._history: list[tuple[kinds.ResourceKind, dict[str, Any]]] = []
        self._watches: list[tuple[kinds.ResourceKind, asyncio.Queue[dict[str, Any] | None]]] = []
        model.listeners.append(self._tell)

    def cut_watches(self, last_word: dict[str, Any] | None = None) -> None:
        """End every watch, after one last event if there is one."""
        for _, events in self._watches:
            if last_word:
                events.put_nowait(last_word)
            events.put_nowait(None)

    def expire_watches(self) -> None:
        """Tell every watch that its version is too old, which makes it list again."""
        self.cut_watches({"type": "ERROR", "object": {"code": 410, "reason": "Expired"}})

    def break_watches(self) -> None:
        """Feed every watch an error that it cannot go on from."""
        self.cut_watches({"type": "ERROR", "object": {"code": 500, "message": "broken"}})

    @property
    def watching(self) -> set[str]:
        """The kinds that are watched now."""
        return {kind.kind for kind, _ in self._watches}

    def transport(self) -> Transport:
        """Return a transport to this server."""
        return Transport(Configuration(host=self.url), 5)

    def _tell(self, change: str, kind: kinds.ResourceKind, obj: dict[str, Any]) -> None:
        if self.deaf:
            return
        event = {"type": change, "object": obj}
        self._history.append((kind, event))
        for watched, events in self._watches:
            if watched == kind:
                events.put_nowait(event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if self.status != 200:
            return web.json_response({"message": "as told"}, status=self.status)
        kind = next((kind for kind in WATCHED if kind.path() == request.path), None)
        if kind is None:
            return await self._answer_one(request)
        if kind in self.model.unserved:
            return self._discover(request.path)
        if "watch" in request.query:
            return await self._watch(request, kind)
        self.lists.append(kind.kind)
        listing = await self.model.list(kind, None, request.query.get("labelSelector"))
        metadata = {"resourceVersion": listing.resource_version}
        return web.json_response({"metadata": metadata, "items": list(listing.items)})

    async def _watch(self, request: web.Request, kind: kinds.ResourceKind) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        entry = (kind, events)
        since = int(request.query["resourceVersion"])
        for changed, past in self._history:
            version = int(past["object"]["metadata"]["resourceVersion"])
            if changed == kind and version > since:
                events.put_nowait(past)
        self._watches.append(entry)
        self.watches_begun += 1
        try:
            while (event := await events.get()) is not None:
                await self._send(request, response, event)
        finally:
            self._watches.remove(entry)
        return response

    async def _send(
        self, request: web.Request, response: web.StreamResponse, event: dict[str, Any]
    ) -> None:
        """Write one event of a watch."""
        await response.write(json.dumps(event).encode() + b"\n")

    async def _answer_one(self, request: web.Request) -> web.Response:
        """Answer about one object, or discovery where the path names none."""
        found = _OBJECT_PATH.fullmatch(request.path)
        kind = next((k for k in ADDRESSED if found and k.path(found["ns"]) == found["all"]), None)
        if found is None or kind is None:
            return self._discover(request.path)
        body = await request.json() if request.can_read_body else None
        address = (found["ns"], found["name"] or "")
        try:
            status, answer = await self._perform(request, kind, address, body)
        except ApiError as error:
            told = {"kind": "Status", "message": error.message}
            return web.json_response(told, status=error.status or 500)
        return web.json_response(answer, status=status)

    async def _perform(
        self, request: web.Request, kind: kinds.ResourceKind, address: tuple[str, str], body: Any
    ) -> tuple[int, Any]:
        status, answer = 200, body
        match request.method, kind:
            case "PATCH", _ if request.path.endswith("/status"):
                metadata = {"namespace": address[0], "name": address[1]}
                metadata["resourceVersion"] = body[0]["value"]
                patched = {"metadata": metadata, "status": body[1]["value"]}
                answer = await self.model.patch_status(kind, patched)
            case "PATCH", _:
                status, answer = await self._applied(kind, body)
            case "DELETE", _:
                await self.model.delete(kind, *address, body["preconditions"]["uid"])
            case "POST", kinds.LEASE:
                status, answer = 201, await self.model.create_lease(address[0], body)
            case "POST", _:
                status = 201
                await self.model.create_event(address[0], body)
            case "PUT", _:
                answer = await self.model.replace_lease(address[0], body)
            case _ if "fieldSelector" in request.query:
                wanted = Selection(1, fields=request.query["fieldSelector"])
                items = await self.model.sample(kind, address[0], wanted)
                answer = {"metadata": {}, "items": list(items)}
            case _:
                answer = await self.model.get(kind, *address)
        return status, answer

    async def _applied(self, kind: kinds.ResourceKind, body: dict[str, Any]) -> tuple[int, Any]:
        """Answer a server-side apply by its precondition, as the operator sends them."""
        metadata = body["metadata"]
        uid = metadata.pop("uid", None)
        if metadata.pop("resourceVersion", None) is None:
            return 200, await self.model.apply(kind, body, uid)
        return 201, await self.model.apply_new(kind, body)

    def _discover(self, path: str) -> web.Response:
        served = [kind for kind in (*WATCHED, *REQUIRED_BY_KOPF) if kind not in self.model.unserved]
        groups = sorted({(kind.group, kind.version) for kind in served if kind.group})
        if path == "/api":
            return web.json_response({"versions": ["v1"]})
        if path == "/apis":
            return web.json_response({"groups": [_group(*group) for group in groups]})
        resources = [
            _resource(kind)
            for kind in served
            if path == (f"/apis/{kind.group}/{kind.version}" if kind.group else "/api/v1")
        ]
        if not resources:
            return web.json_response({"message": "404 page not found"}, status=404)
        return web.json_response({"resources": resources})


def _group(name: str, version: str) -> dict[str, Any]:
    described = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [described], "preferredVersion": described}


def _resource(kind: kinds.ResourceKind) -> dict[str, Any]:
    return {
        "name": kind.plural,
        "singularName": kind.kind.lower(),
        "kind": kind.kind,
        "namespaced": kind not in REQUIRED_BY_KOPF,
        "verbs": ["list", "watch", "patch", "create"],
    }


@asynccontextmanager
async def serving(model: ApiServerModel) -> AsyncIterator[HttpApiServer]:
    """Serve a model on a free local port."""
    server = HttpApiServer(model)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        server.cut_watches()
        await runner.cleanup()
