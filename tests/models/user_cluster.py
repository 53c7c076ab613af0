"""The model of the API server as people reach it: over HTTP in a thread, through a kubeconfig.

On top of what the operator asks for it answers namespaced lists, events, JSON patches of a
resource, and dry runs, and it refuses what ``forbidden`` names.
"""

import asyncio
import copy
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from llm_operator import kinds
from llm_operator.cluster.errors import Conflict, Forbidden
from tests.models import merge
from tests.models.apiserver import ApiServerModel
from tests.models.http_apiserver import HttpApiServer

_CORE_EVENTS = re.compile("/api/v1/namespaces/(?P<ns>[^/]+)/events")


class UserCluster(HttpApiServer):
    """A cluster that a person has a kubeconfig for."""

    def __init__(self, model: ApiServerModel | None = None) -> None:
        super().__init__(model or ApiServerModel())
        self.forbidden: set[str] = set()
        """Methods, and plurals of kinds, that are answered with 403."""
        self.away: list[bool] = []
        """Of the next requests, which find the API server away."""
        self.managers: list[str] = []
        """The field manager of every write, in order."""
        self.kubeconfig = Path()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, unless the server is away."""
        if self.away and self.away.pop(0):
            return web.json_response({"message": "away"}, status=503)
        found = _CORE_EVENTS.fullmatch(request.path)
        if found is not None and self.status == 200:
            return web.json_response({"items": self._core_events(request, found["ns"])})
        return await super().handle(request)

    def _core_events(self, request: web.Request, namespace: str) -> list[dict[str, Any]]:
        """Return the events as the core API names their parts."""
        field, _, uid = request.query["fieldSelector"].partition("=")
        assert field == "involvedObject.uid"
        return [
            {**event, "message": event["note"], "involvedObject": event["regarding"]}
            for where, event in self.model.events
            if (where, event["regarding"]["uid"]) == (namespace, uid)
        ]

    async def _perform(
        self, request: web.Request, kind: kinds.ResourceKind, address: tuple[str, str], body: Any
    ) -> tuple[int, Any]:
        if self.forbidden & {request.method, kind.plural}:
            raise Forbidden(f'User "jane" cannot {request.method.lower()} {kind.plural}', 403)
        if request.method == "GET" and not address[1]:
            return 200, await self._list(request, kind, address[0])
        if request.method == "PATCH" and kind == kinds.LLM_DEPLOYMENT:
            self.managers.append(request.query["fieldManager"])
            if request.content_type == "application/json-patch+json":
                return 200, self._json_patch(kind, address, body, request.query["fieldManager"])
            return 200, self._apply(kind, address, body, request)
        return await super()._perform(request, kind, address, body)

    async def _list(
        self, request: web.Request, kind: kinds.ResourceKind, namespace: str
    ) -> dict[str, Any]:
        listing = await self.model.list(kind, namespace, request.query.get("labelSelector"))
        metadata = {"resourceVersion": listing.resource_version}
        return {"metadata": metadata, "items": list(listing.items)}

    def _json_patch(
        self, kind: kinds.ResourceKind, address: tuple[str, str], body: Any, manager: str
    ) -> Any:
        live = self.model._find(kind, *address)
        lock, *operations = body
        if live["metadata"]["resourceVersion"] != lock["value"]:
            raise Conflict("the object has been modified")
        changed = copy.deepcopy(live)
        for operation in operations:
            *parents, last = operation["path"].strip("/").split("/")
            node = changed
            for parent in parents:
                node = node[parent]
            if operation["op"] == "remove":
                del node[last]
            else:
                node[last] = operation["value"]
        return self.model._store(kind, live, merge.update(live, changed, manager))

    def _apply(
        self, kind: kinds.ResourceKind, address: tuple[str, str], body: Any, request: web.Request
    ) -> Any:
        manager, live = request.query["fieldManager"], self.model.find(kind, *address)
        uid = body["metadata"].get("uid")
        if uid and (live is None or live["metadata"]["uid"] != uid):
            raise Conflict(f"uid mismatch: {uid} is not the object of that name")
        merged = merge.apply(live, body, manager, force=request.query["force"] == "true")
        if request.query.get("dryRun") == "All":
            return merged
        return self.model._store(kind, live, merged)


@contextmanager
def reachable(cluster: UserCluster, folder: Path) -> Iterator[UserCluster]:
    """Serve a cluster from its own thread, with a kubeconfig in ``folder`` that leads there."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    thread = threading.Thread(target=_serve, args=(cluster, loop, started), daemon=True)
    thread.start()
    assert started.wait(10)
    cluster.kubeconfig = folder / "kubeconfig"
    cluster.kubeconfig.write_text(kubeconfig_text(cluster.url))
    try:
        yield cluster
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def kubeconfig_text(url: str) -> str:
    """Return a kubeconfig with the context ``model``, in the namespace ``default``."""
    context = {"cluster": "model", "user": "jane", "namespace": "default"}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "model",
            "clusters": [{"name": "model", "cluster": {"server": url}}],
            "users": [{"name": "jane", "user": {"token": "made-up"}}],
            "contexts": [{"name": "model", "context": context}],
        }
    )


def _serve(cluster: UserCluster, loop: asyncio.AbstractEventLoop, started: threading.Event) -> None:
    asyncio.set_event_loop(loop)
    runner = loop.run_until_complete(_start(cluster))
    loop.call_soon(started.set)
    loop.run_forever()
    loop.run_until_complete(runner.cleanup())
    loop.close()


async def _start(cluster: UserCluster) -> web.AppRunner:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", cluster.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    cluster.url = f"http://{host}:{port}"
    return runner
