"""Reading pods and Prometheus over real HTTP, and what comes of everything that can go wrong."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from aiohttp import web

from llm_operator import scrape
from llm_operator.judgement.evidence import Target
from llm_operator.judgement.order import Order
from llm_operator.scrape import BODY_MAX, Fetch, HttpFetch, Scraper, Unreadable
from tests.exposition_builders import exposition
from tests.judgement_builders import CANARY, STABLE, START

SECOND = timedelta(seconds=1)
POD = Target(CANARY, "c", "10.1.2.3")
ORDER = Order((CANARY, STABLE), (POD,), START, 10 * SECOND)


@dataclass(slots=True)
class Pods:
    """Answers by URL; counts what it was asked."""

    bodies: dict[str, bytes | str] = field(default_factory=dict)
    """A text is the cause of no answer."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    hang: set[str] = field(default_factory=set)

    async def __call__(self, url: str, query: Mapping[str, str]) -> bytes:
        """Answer as told."""
        self.asked.append((url, query.get("query", "")))
        if url in self.hang:
            await asyncio.sleep(3600)
        body = self.bodies.get(url, "no connection")
        if isinstance(body, str):
            raise Unreadable(body)
        return body


@dataclass(slots=True)
class Bench:
    """A scraper, what it reads, and its clock."""

    pods: Pods = field(default_factory=Pods)
    second: float = 0.0
    readings: list[tuple[str, str]] = field(default_factory=list)
    scraper: Scraper = field(init=False)

    def __post_init__(self) -> None:
        self.scraper = Scraper(
            self.pods,
            lambda: START + self.second * SECOND,
            lambda target, result: self.readings.append((target, result)),
        )


C_URL = "http://10.1.2.3:8001/metrics"


async def test_a_pod_is_read_on_its_probe_port() -> None:
    """The counters arrive as a sample of its revision, with the moment it became ready."""
    bench = Bench()
    bench.pods.bodies[C_URL] = exposition(completed=7, failed=2, boot="0000beef", ready_seconds=30)
    evidence = await bench.scraper.collect("key", ORDER)
    (sample,) = evidence.samples
    assert (sample.revision, sample.pod, sample.boot_id) == (CANARY, "c", "0000beef")
    assert (sample.reading.counters.completed, sample.reading.counters.failed) == (7, 2)
    assert sample.ready_since == START - 30 * SECOND
    assert evidence.unread == ()
    assert bench.readings == [("pod", "read")]


async def test_an_ipv6_address_is_put_in_brackets() -> None:
    """Pods of a cluster with IPv6 are read too."""
    bench = Bench()
    order = replace(ORDER, targets=(Target(CANARY, "c", "fd00::12"),))
    await bench.scraper.collect("key", order)
    assert bench.pods.asked == [("http://[fd00::12]:8001/metrics", "")]


async def test_what_is_no_address_is_never_asked() -> None:
    """A host name in the place of an IP address leads nowhere."""
    bench = Bench()
    order = replace(ORDER, targets=(Target(CANARY, "c", "metadata.internal/x?"),))
    evidence = await bench.scraper.collect("key", order)
    assert bench.pods.asked == []
    assert evidence.unread[0].cause == "the pod has no valid IP address"


async def test_between_two_intervals_nothing_is_read() -> None:
    """However often a pass asks, a round is made once per interval, and at a new window."""
    bench = Bench()
    bench.pods.bodies[C_URL] = exposition()
    first = await bench.scraper.collect("key", ORDER)
    bench.second = 9.9
    assert await bench.scraper.collect("key", ORDER) is first
    bench.second = 10.0
    assert (await bench.scraper.collect("key", ORDER)).collected_at == START + 10 * SECOND
    bench.second = 12.0
    newer = replace(ORDER, since=START + 11 * SECOND)
    assert (await bench.scraper.collect("key", newer)).collected_at == START + 12 * SECOND
    assert len(bench.pods.asked) == 3


async def test_resources_are_read_apart_and_can_be_forgotten() -> None:
    """What is known of one resource is not another's; a forgotten one begins anew."""
    bench = Bench()
    bench.pods.bodies[C_URL] = exposition()
    one = await bench.scraper.collect("one", ORDER)
    assert await bench.scraper.collect("two", replace(ORDER, targets=())) != one
    bench.scraper.forget("one")
    bench.scraper.forget("never heard of")
    bench.pods.bodies.clear()
    assert (await bench.scraper.collect("one", ORDER)).samples == ()


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"<html>", "llm_engine_steps_total is missing"),
        (b"\xff\xfe", "it is not in the text format of Prometheus"),
        ("it answered with status 500", "it answered with status 500"),
    ],
)
async def test_a_pod_that_cannot_be_read_is_unread_with_its_cause(
    body: bytes | str, cause: str
) -> None:
    """Whatever it answers, the round goes on, and nothing of a body is handed on."""
    bench = Bench()
    bench.pods.bodies[C_URL] = body
    evidence = await bench.scraper.collect("key", ORDER)
    assert [(entry.pod, entry.cause) for entry in evidence.unread] == [("c", cause)]
    assert bench.readings == [("pod", "unread")]


async def test_a_pod_that_hangs_costs_a_round_its_time_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All are read at once, and those that answered count."""
    monkeypatch.setattr(scrape, "TIMEOUT_SECONDS", 0.05)
    bench = Bench()
    hung = [Target(CANARY, f"h{number}", f"10.9.9.{number}") for number in range(50)]
    bench.pods.hang = {f"http://{target.address}:8001/metrics" for target in hung}
    bench.pods.bodies[C_URL] = exposition()
    loop = asyncio.get_running_loop()
    began = loop.time()
    evidence = await bench.scraper.collect("key", replace(ORDER, targets=(POD, *hung)))
    assert loop.time() - began < 1
    assert [sample.pod for sample in evidence.samples] == ["c"]
    assert len(evidence.unread) == 50


def answer(result_type: str, result: object) -> bytes:
    """Return an answer of Prometheus."""
    data = {"resultType": result_type, "result": result}
    return json.dumps({"status": "success", "data": data}).encode()


GUARDED = replace(ORDER, targets=(), guards={"gpu": "max(x)"}, prometheus="http://prom:9090/base/")
PROM_URL = "http://prom:9090/base/api/v1/query"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (answer("scalar", [1.0, "0.5"]), 0.5),
        (answer("vector", [{"metric": {}, "value": [1, "2"]}]), 2.0),
        (
            answer("vector", [{"metric": {}, "value": [1, v]} for v in ("1", "NaN", "7", "3")]),
            7.0,
        ),
    ],
)
async def test_the_highest_value_of_a_guard_counts(body: bytes, value: float) -> None:
    """A scalar is its value; of several series the highest decides."""
    bench = Bench()
    bench.pods.bodies[PROM_URL] = body
    evidence = await bench.scraper.collect("key", GUARDED)
    assert [(reading.guard, reading.value) for reading in evidence.guards] == [("gpu", value)]
    assert bench.pods.asked == [(PROM_URL, "max(x)")]
    assert bench.readings == [("guard", "read")]


@pytest.mark.parametrize(
    "body",
    [
        answer("vector", []),
        answer("vector", [{"metric": {}, "value": [1, "NaN"]}]),
        answer("matrix", []),
        answer("vector", 5),
        answer("vector", [{"value": [1]}]),
        answer("scalar", [1, 10**400]),
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        b"not json",
    ],
)
async def test_a_guard_without_a_number_is_unread(body: bytes) -> None:
    """An answer that is empty, malformed or of another kind is no value of 0."""
    bench = Bench()
    bench.pods.bodies[PROM_URL] = body
    evidence = await bench.scraper.collect("key", GUARDED)
    assert evidence.guards == ()
    assert [entry.guard for entry in evidence.guards_unread] == ["gpu"]


@pytest.mark.parametrize(
    "address", ["", "file:///etc/passwd", "ftp://x", "http://user:key@x", "http://[::1", "//x"]
)
async def test_guards_are_asked_over_http_only(address: str) -> None:
    """Any other address, or one with credentials in it, is not asked."""
    bench = Bench()
    evidence = await bench.scraper.collect("key", replace(GUARDED, prometheus=address))
    assert bench.pods.asked == []
    cause = "prometheus.address is no http or https URL without credentials"
    assert evidence.guards_unread[0].cause == cause


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[tuple[Fetch, str]]:
    """Serve one handler on every path; yield a fetch and the address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    try:
        async with HttpFetch() as fetch:
            yield fetch, f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def test_a_body_arrives_whole_with_its_query() -> None:
    """The query is encoded, the body is that of the answer."""

    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=request.query["query"])

    async with serving(echo) as (fetch, address):
        assert await fetch(f"{address}/x", {"query": "a{b='c d'}&+é"}) == "a{b='c d'}&+é".encode()


async def test_a_redirect_is_not_followed() -> None:
    """A pod cannot send the operator elsewhere."""
    visited = []

    async def redirect(request: web.Request) -> web.Response:
        visited.append(request.path)
        raise web.HTTPFound("/elsewhere")

    async with serving(redirect) as (fetch, address):
        with pytest.raises(Unreadable, match="status 302"):
            await fetch(f"{address}/metrics", {})
    assert visited == ["/metrics"]


async def test_an_answer_that_does_not_end_is_cut() -> None:
    """No more than a MiB is read, however it is sent."""

    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        except ConnectionResetError:
            return response

    async with serving(flood) as (fetch, address):
        with pytest.raises(Unreadable, match=f"larger than {BODY_MAX}"):
            await fetch(address, {})


async def test_a_compressed_answer_is_not_unpacked() -> None:
    """A small answer cannot become a large one."""

    async def bomb(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=b"\x1f\x8b tiny", headers={"Content-Encoding": "gzip"})

    async with serving(bomb) as (fetch, address):
        assert await fetch(address, {}) == b"\x1f\x8b tiny"


async def test_an_answer_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and says nothing is unreadable in time."""
    monkeypatch.setattr(scrape, "TIMEOUT_SECONDS", 0.1)

    async def silent(_request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async with serving(silent) as (fetch, address):
        with pytest.raises(Unreadable, match="no answer within"):
            await fetch(address, {})


async def test_nobody_listening_is_no_connection(unused_tcp_port: int) -> None:
    """A refused connection has the same words each time."""
    async with HttpFetch() as fetch:
        with pytest.raises(Unreadable, match=r"^no connection$"):
            await fetch(f"http://127.0.0.1:{unused_tcp_port}/metrics", {})
