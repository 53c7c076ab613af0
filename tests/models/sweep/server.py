"""The API server of a run: it meets writes with faults and has watches that lag or miss."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web

from llm_operator import kinds
from tests.models.apiserver import ApiServerModel
from tests.models.http_apiserver import HttpApiServer
from tests.models.sweep.faults import (
    DEAF_SECONDS,
    LAG_SECONDS,
    RETRY_AFTER_SECONDS,
    Fault,
    Faults,
)
from tests.models.sweep.process import PROCESS_HEADER, REQUEST_SECONDS
from tests.models.sweep.wire import Wire
from tests.models.sweep.witness import Witness

Change = tuple[str, kinds.ResourceKind, dict[str, Any]]

_REFUSALS = {
    Fault.CONFLICT: (409, "Conflict"),
    Fault.THROTTLED: (429, "TooManyRequests"),
    Fault.ERROR: (500, "InternalError"),
}
_LOSES_ITS_ANSWER = (
    Fault.KILLED_AFTER,
    Fault.TIMED_OUT_AFTER,
    Fault.DISCONNECTED,
    Fault.STALE,
)


class FaultyApiServer(HttpApiServer):
    """Carries out what it should, and shows every write to a witness."""

    def __init__(self, model: ApiServerModel, wire: Wire, faults: Faults, witness: Witness) -> None:
        super().__init__(model)
        self.kill: Callable[[], None] = lambda: None
        """Ends the process that runs."""
        self._wire = wire
        self._faults = faults
        self._witness = witness
        self._is_list_expired = False
        self._lags_until = 0.0
        self._late: list[Change] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, or do what its fault says."""
        if request.method == "GET":
            return await self._answer_read(request)
        fault = self._faults.take()
        self._trouble_watches(fault)
        if fault in _REFUSALS:
            return self._refuse(fault)
        if fault is Fault.TIMED_OUT:
            return await self._never(request)
        answer = await super().handle(request)
        if fault not in _LOSES_ITS_ANSWER:
            return answer
        if fault is Fault.TIMED_OUT_AFTER:
            return await self._never(request)
        if fault is Fault.KILLED_AFTER:
            self.kill()
        return _lost(request)

    async def _answer_read(self, request: web.Request) -> web.StreamResponse:
        is_list = "watch" not in request.query and "limit" in request.query
        if is_list and self._is_list_expired:
            self._is_list_expired = False
            return web.json_response(_status(410, "Expired"), status=410)
        return await self._answer_evidence(request) or await super().handle(request)

    async def _answer_evidence(self, request: web.Request) -> web.Response | None:
        """Answer what is asked about pods that do not get ready: their nodes, and no events."""
        collection, _, name = request.path.rpartition("/")
        if collection == kinds.NODE.path():
            return web.json_response(await self.model.get(kinds.NODE, "", name))
        if request.path == kinds.EVENT.path("default"):
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})
        return None

    def _refuse(self, fault: Fault) -> web.Response:
        status, reason = _REFUSALS[fault]
        throttled = fault is Fault.THROTTLED
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if throttled else {}
        return web.json_response(_status(status, reason), status=status, headers=headers)

    async def _never(self, request: web.Request) -> web.Response:
        self._wire.give_up()
        await asyncio.sleep(2 * REQUEST_SECONDS)
        return _lost(request)

    def _trouble_watches(self, fault: Fault | None) -> None:
        loop = asyncio.get_running_loop()
        if fault is Fault.EXPIRED:
            self._is_list_expired = True
            self.expire_watches()
        if fault in (Fault.DELAYED, Fault.STALE):
            self._lags_until = loop.time() + LAG_SECONDS
            loop.call_at(self._lags_until, self._catch_up)
        if fault is Fault.DROPPED:
            self.deaf = True
            loop.call_later(DEAF_SECONDS, self._hear)

    def _hear(self) -> None:
        self.deaf = False

    def _catch_up(self) -> None:
        late, self._late = self._late, []
        self._lags_until = 0.0
        for change in late:
            self._tell(*change)

    def _tell(self, change: str, kind: kinds.ResourceKind, obj: dict[str, Any]) -> None:
        if self._lags_until:
            self._late.append((change, kind, obj))
        else:
            super()._tell(change, kind, obj)

    async def _perform(
        self, request: web.Request, kind: kinds.ResourceKind, address: tuple[str, str], body: Any
    ) -> tuple[int, Any]:
        if request.method == "GET":
            return await super()._perform(request, kind, address, body)
        with self._witness.watching(kind):
            return await super()._perform(request, kind, address, body)

    async def _send(
        self, request: web.Request, response: web.StreamResponse, event: dict[str, Any]
    ) -> None:
        process = request.headers.get(PROCESS_HEADER, "")
        self._wire.sent(process)
        with suppress(ConnectionResetError):  # the process is gone
            await response.write(json.dumps(event).encode() + b"\n")


def _lost(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _status(code: int, reason: str) -> dict[str, Any]:
    return {"kind": "Status", "code": code, "reason": reason, "message": f"{reason}, as told"}


@asynccontextmanager
async def serving(server: HttpApiServer) -> AsyncIterator[None]:
    """Serve on a free local port; connections stay open however long nothing is sent."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None, keepalive_timeout=10**6)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield
    finally:
        server.cut_watches()
        await runner.cleanup()
