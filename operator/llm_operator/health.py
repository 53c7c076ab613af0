"""The probe server: /livez, /readyz and /metrics, on the operator's own event loop.

``/livez`` asks nothing of the API server: a restart cures no outage of another program. It fails
when the event loop lagged, which stops watches and the Lease alike, or when a part that must run
has ended. ``/readyz`` is about caches: a standby is ready too.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

LAG_INTERVAL_SECONDS: Final = 0.5
LAG_LIMIT_SECONDS: Final = 5.0


@dataclass(slots=True)
class LoopWatch:
    """Measures how late the event loop runs what is due."""

    lag_seconds: float = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_INTERVAL_SECONDS
            await asyncio.sleep(LAG_INTERVAL_SECONDS)
            self.lag_seconds = max(0.0, loop.time() - due)


@dataclass(slots=True)
class ProbeServer:
    """Answers probes with the first reason that speaks against the process, or 200."""

    port: int
    liveness: Callable[[], str | None]
    """Returns why the process should be restarted, or None."""
    readiness: Callable[[], str | None]
    """Returns why the process is not ready, or None."""
    exposition: Callable[[], bytes]
    _runner: web.AppRunner | None = field(default=None, init=False)

    async def start(self) -> None:
        """Listen; raises OSError when the port is taken."""
        app = web.Application()
        app.router.add_get("/livez", self._live)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, None, self.port).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        return _answer(self.liveness())

    async def _ready(self, _: web.Request) -> web.Response:
        return _answer(self.readiness())

    async def _metrics(self, _: web.Request) -> web.Response:
        text = self.exposition()
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4"})


def _answer(reason: str | None) -> web.Response:
    return web.Response(status=200 if reason is None else 503, text=f"{reason or 'ok'}\n")
