"""The API port: a socket that listens at once, and uvicorn on it without its signal handling."""

import contextlib
import socket
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

import uvicorn
from starlette.types import ASGIApp

from llm_server.http.connection import ApiConnection, ConnectionLimits

if TYPE_CHECKING:
    import asyncio

_KEEP_ALIVE_SECONDS = 75  # longer than the idle time-outs of common proxies
_CLOSE_SECONDS = 3  # for answers that are still being sent when the server stops
_BACKLOG = 2048


class ApiServer:
    """Serves an application on one address."""

    def __init__(self, app: ASGIApp, host: str, port: int, limits: ConnectionLimits) -> None:
        """Bind and listen. Raises OSError when that is not possible."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        config = uvicorn.Config(
            app,
            http=cast("type[asyncio.Protocol]", partial(ApiConnection, limits)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_CLOSE_SECONDS,
        )
        self._server = _Server(config)

    @property
    def port(self) -> int:
        """The port that is listened on; the chosen one when 0 was asked for."""
        return int(self._socket.getsockname()[1])

    async def run(self) -> None:
        """Serve until ``stop``, then let answers finish for a few seconds."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Ask ``run`` to end."""
        self._server.should_exit = True

    def close_idle_connections(self) -> None:
        """Close connections without a request; the others close with their answer."""
        for connection in list(self._server.server_state.connections):
            connection.shutdown()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none: the process has its own order of ending."""
        yield
