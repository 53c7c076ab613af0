"""The outermost layer of the API port: admits by the route table, then logs and counts.

Per request: an id, a key where the route wants one, the life cycle, and on the way out
``x-request-id`` and, while the server is closing, ``Connection: close``. Bodies are not read here.
"""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_server.contract import Outcome
from llm_server.errors import ServingError
from llm_server.http import errors, exchange
from llm_server.http.exchange import Exchange
from llm_server.http.keys import KeyRing
from llm_server.http.routes import KEY_PREFIX, ROUTES, AuthLevel, RouteSpec
from llm_server.lifecycle import Lifecycle
from llm_server.telemetry import Telemetry

_LOG = structlog.get_logger()
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/-]{1,128}")


@dataclass(frozen=True, slots=True)
class GateRules:
    """What the gate decides by; ``keys`` None leaves /v1 open.

    ``headers`` go with every answer.
    """

    lifecycle: Lifecycle
    telemetry: Telemetry
    keys: KeyRing | None
    clock: Callable[[], float]
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Gate:
    """An ASGI application around the application."""

    def __init__(self, app: ASGIApp, rules: GateRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection of the ASGI server."""
        if scope["type"] != "http":
            raise RuntimeError(f"the API port speaks HTTP only, not {scope['type']}")
        began = self._rules.clock()
        request = Exchange(_request_id(_headers(scope)))
        exchange.attach(scope, request)
        route = _route(scope)
        counted = route is not None and route.generates and scope["method"] == route.method
        if counted:
            self._rules.telemetry.received()
        try:
            await self._pass(scope, receive, self._stamped(send, request), route)
        finally:
            seconds = self._rules.clock() - began
            if counted:
                self._rules.telemetry.terminated(request.end, seconds)
            _log(scope, request, route, seconds)

    async def _pass(
        self, scope: Scope, receive: Receive, send: Send, route: RouteSpec | None
    ) -> None:
        request = exchange.of(scope)
        try:
            self._admit(scope, route)
        except ServingError as refusal:
            await errors.respond(refusal)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            # The application took it for an error of its own; what it answered reached nobody.
            request.outcome, request.status = Outcome.CANCELLED, None
        # The server outlives any one request; the application has answered 500 if it still could.
        except Exception:  # noqa: BLE001
            request.outcome = Outcome.FAILED
            _LOG.exception("Request failed unexpectedly", request_id=request.request_id)

    def _admit(self, scope: Scope, route: RouteSpec | None) -> None:
        path = scope["path"]
        needs_key = route.auth is AuthLevel.KEY if route else _below_key_prefix(path)
        if needs_key and self._rules.keys is not None:
            _check_key(_headers(scope), self._rules.keys)
        if route is None:
            raise errors.RouteUnknown(f"There is nothing at {path[:200]}")
        if scope["method"] != route.method:
            raise errors.RouteUnknown(f"{path} answers {route.method} only", allowed=route.method)
        self._rules.lifecycle.check_admitting()

    def _stamped(self, send: Send, request: Exchange) -> Send:
        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                own = (b"x-request-id", request.request_id.encode()), *self._rules.headers
                headers = [*message["headers"], *own]
                if self._rules.lifecycle.is_closing:
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            await send(message)

        return stamped


def _route(scope: Scope) -> RouteSpec | None:
    """Return the route of the path; its method may still be the wrong one."""
    return next((route for route in ROUTES if route.matches(scope["path"])), None)


def _below_key_prefix(path: str) -> bool:
    return path == KEY_PREFIX or path.startswith(KEY_PREFIX + "/")


def _headers(scope: Scope) -> Mapping[bytes, bytes]:
    return dict(scope["headers"])


def _check_key(headers: Mapping[bytes, bytes], keys: KeyRing) -> None:
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not keys.admits(key.strip()):
        raise errors.NotAuthenticated("A valid bearer key is required: Authorization: Bearer <key>")


def _request_id(headers: Mapping[bytes, bytes]) -> str:
    """Return the caller's id if it is harmless, else a new one."""
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _log(scope: Scope, request: Exchange, route: RouteSpec | None, seconds: float) -> None:
    fields: dict[str, object] = {
        "method": scope["method"],
        "path": scope["path"][:200] if route is None else route.path,
        "status": request.status,
        "seconds": round(seconds, 4),
        "request_id": request.request_id,
    }
    if route is not None and route.generates:
        fields["outcome"] = request.end.value
    if request.usage is not None:
        fields["prompt_tokens"] = request.usage.prompt_tokens
        fields["completion_tokens"] = request.usage.completion_tokens
    _LOG.info("Answered request", **fields)
