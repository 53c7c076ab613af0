"""Reads the counters of pods, and guards of Prometheus; the edge of the judgement.

Once per interval and resource, all at once and each within ``TIMEOUT_SECONDS``. What a process had
counted when it was read last is kept after its end, until the window that it belongs to is over.
Nothing of an answer is logged or handed on but numbers. Called by the worker; decides nothing.
"""

import asyncio
import json
import math
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from types import MappingProxyType, TracebackType
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit

import aiohttp

from llm_operator.judgement.evidence import Evidence, Target
from llm_operator.judgement.order import (
    GuardAnswer,
    Order,
    PodAnswer,
    Round,
    is_due,
    merged,
)
from llm_operator.telemetry import ExpositionInvalid, read_exposition
from llm_server import contract

TIMEOUT_SECONDS: Final = 2.0
BODY_MAX: Final = 1024 * 1024
CONNECTIONS_MAX: Final = 128

_TOO_LATE: Final = f"no answer within {TIMEOUT_SECONDS:.0f} s"
_NO_ADDRESS: Final = "prometheus.address is no http or https URL without credentials"


class Unreadable(Exception):
    """An address gave no usable answer; the message says why, in the same words each time."""


class Fetch(Protocol):
    """One GET; bounded in time and size, and follows no redirect."""

    async def __call__(self, url: str, query: Mapping[str, str]) -> bytes:
        """Return the body of a 200. Raises ``Unreadable``."""


class HttpFetch:
    """The fetch of production: plain connections, no proxy, no cookies, no redirect."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the pool of connections, on the running event loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            headers={"Accept-Encoding": "identity", "User-Agent": "llm-operator"},
            auto_decompress=False,
            trust_env=False,  # pods are not behind a proxy
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __call__(self, url: str, query: Mapping[str, str]) -> bytes:
        """Return the body of a 200. Raises ``Unreadable``."""
        if self._session is None:
            raise RuntimeError("the connections are not open")
        try:
            async with self._session.get(url, params=query, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise Unreadable(f"it answered with status {answer.status}")
                return await _bounded(answer.content)
        except TimeoutError:
            raise Unreadable(_TOO_LATE) from None
        except (aiohttp.ClientConnectionError, OSError):
            raise Unreadable("no connection") from None
        except (aiohttp.ClientError, ValueError):
            raise Unreadable("no valid answer") from None


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > BODY_MAX:
            raise Unreadable(f"the answer is larger than {BODY_MAX} bytes")
    return bytes(body)


class Scraper:
    """Collects evidence, one round per interval and resource; remembers the rounds before."""

    def __init__(
        self,
        fetch: Fetch,
        now: Callable[[], datetime],
        record: Callable[[str, str], None],
    ) -> None:
        """``record`` is told of every reading: "pod" or "guard", "read" or "unread"."""
        self._fetch = fetch
        self._now = now
        self._record = record
        self._known: dict[Hashable, Evidence] = {}

    async def collect(self, key: Hashable, order: Order) -> Evidence:
        """Return the newest evidence; read anew if an interval, or a window, has begun since.

        Takes little more than ``TIMEOUT_SECONDS`` and raises nothing of what may go wrong outside:
        what could not be read is in the result.
        """
        known = self._known.get(key)
        if known is None or is_due(known, order, self._now()):
            known = merged(known, order, await self._round(order))
            self._known[key] = known
        return known

    def forget(self, key: Hashable) -> None:
        """Drop what is known of a resource."""
        self._known.pop(key, None)

    async def _round(self, order: Order) -> Round:
        at = self._now().replace(microsecond=0)
        pods, guards = await asyncio.gather(
            asyncio.gather(*map(self._read, order.targets)),
            asyncio.gather(
                *(self._ask(order.prometheus, name, query) for name, query in order.guards.items())
            ),
        )
        return Round(at, tuple(pods), tuple(guards))

    async def _read(self, target: Target) -> PodAnswer:
        try:
            reading = read_exposition(await self._get(_pod_url(target.address)))
        except (Unreadable, ExpositionInvalid) as error:
            self._record("pod", "unread")
            return PodAnswer(target, str(error))
        self._record("pod", "read")
        return PodAnswer(target, reading, _before(self._now(), reading.ready_seconds))

    async def _ask(self, prometheus: str, guard: str, query: str) -> GuardAnswer:
        try:
            value = _highest(await self._get(_query_url(prometheus), {"query": query}))
        except Unreadable as error:
            self._record("guard", "unread")
            return GuardAnswer(guard, str(error))
        self._record("guard", "read")
        return GuardAnswer(guard, value)

    async def _get(self, url: str, query: Mapping[str, str] = MappingProxyType({})) -> bytes:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._fetch(url, query)
        except TimeoutError:
            raise Unreadable(_TOO_LATE) from None


def _pod_url(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        raise Unreadable("the pod has no valid IP address") from None
    host = f"[{parsed}]" if isinstance(parsed, IPv6Address) else str(parsed)
    return f"http://{host}:{contract.PROBE_PORT}{contract.METRICS_PATH}"


def _query_url(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        raise Unreadable(_NO_ADDRESS) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise Unreadable(_NO_ADDRESS)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/api/v1/query"


def _before(now: datetime, seconds: float | None) -> datetime | None:
    """Return the moment so many seconds ago; a century at most."""
    return None if seconds is None else now - timedelta(seconds=min(max(seconds, 0.0), 3e9))


def _highest(body: bytes) -> float:
    """Return the highest value of an instant query's answer. Raises ``Unreadable``."""
    try:
        data = json.loads(body)["data"]
        pairs = {"scalar": lambda: [data["result"]], "vector": lambda: _values(data["result"])}
        values = [float(value) for _, value in pairs[data["resultType"]]()]
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        raise Unreadable("the answer is no scalar and no vector of Prometheus") from None
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        raise Unreadable("the query has no value at present (`or vector(0)` gives it one)")
    return max(numbers)


def _values(series: list[dict[str, Any]]) -> list[Any]:
    return [entry["value"] for entry in series]
