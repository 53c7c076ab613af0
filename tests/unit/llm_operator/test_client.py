"""The client over real HTTP: requests as the API server wants them, answers as values."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from llm_operator import kinds
from llm_operator.cluster.client import ClusterClient, RequestRecord, Selection
from llm_operator.cluster.errors import (
    ClusterUnavailable,
    Conflict,
    Invalid,
    NameTaken,
    NotFound,
    NotLeader,
)
from llm_operator.cluster.transport import Transport

Respond = Callable[["Asked"], web.Response]
TIMEOUT_SECONDS = 0.3


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    authorization: str
    body: Any


@dataclass
class Server:
    """An HTTP server that answers as a test says and remembers what it was asked."""

    respond: Respond = lambda _: web.json_response({"metadata": {}})
    asked: list[Asked] = field(default_factory=list)
    delay_seconds: float = 0.0

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        asked = Asked(
            request.method,
            request.path,
            dict(request.query),
            request.content_type,
            request.headers.get("Authorization", ""),
            json.loads(text) if text else None,
        )
        self.asked.append(asked)
        await asyncio.sleep(self.delay_seconds)
        return self.respond(asked)


@dataclass
class Wiring:
    """A client, its server, its gate and its records."""

    client: ClusterClient
    server: Server
    records: list[RequestRecord]
    leads: bool = True


@pytest.fixture
async def wiring() -> AsyncIterator[Wiring]:
    """A client on a server of its own."""
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    configuration = Configuration(host=f"http://{host}:{port}")
    configuration.api_key["BearerToken"] = "bearer secret"
    transport = Transport(configuration, TIMEOUT_SECONDS)
    records: list[RequestRecord] = []
    wired = Wiring(ClusterClient(transport, lambda: wired.leads, records.append), server, records)
    yield wired
    await wired.client.close()
    await runner.cleanup()


NEW_SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "chat", "namespace": "team"},
}
SERVICE: dict[str, Any] = {**NEW_SERVICE, "metadata": {**NEW_SERVICE["metadata"], "uid": "u1"}}


async def test_apply_is_one_server_side_apply(wiring: Wiring) -> None:
    """An apply is a PATCH in apply form, by force, under our manager, to the one with the UID."""
    wiring.server.respond = lambda _: web.json_response(SERVICE)
    live = await wiring.client.apply(kinds.SERVICE, NEW_SERVICE, "u1")
    (asked,) = wiring.server.asked
    assert (asked.method, asked.path) == ("PATCH", "/api/v1/namespaces/team/services/chat")
    assert asked.query == {"fieldManager": "llm-operator", "force": "true"}
    assert asked.content_type == "application/apply-patch+yaml"
    assert asked.body == SERVICE
    assert asked.authorization.lower() == "bearer secret"
    assert live == SERVICE


async def test_an_apply_of_what_is_new_touches_nothing_that_exists(wiring: Wiring) -> None:
    """It goes without force, at a version that no object has; a 409 says that the name is taken."""
    wiring.server.respond = lambda _: web.json_response({"message": "modified"}, status=409)

    with pytest.raises(NameTaken, match="modified"):
        await wiring.client.apply_new(kinds.SERVICE, NEW_SERVICE)

    (asked,) = wiring.server.asked
    assert asked.query["force"] == "false"
    assert asked.body["metadata"] == {**NEW_SERVICE["metadata"], "resourceVersion": "1"}


async def test_a_sample_is_one_page_of_what_selectors_match(wiring: Wiring) -> None:
    """However many there are, one request is made and no more than the limit is kept."""
    page = {"metadata": {"continue": "more"}, "items": [{"n": 1}, {"n": 2}, {"n": 3}]}
    wiring.server.respond = lambda _: web.json_response(page)

    found = await wiring.client.sample(
        kinds.EVENT, "team", Selection(limit=2, fields="regarding.uid=u1", labels="a=b")
    )

    (asked,) = wiring.server.asked
    assert asked.path == "/apis/events.k8s.io/v1/namespaces/team/events"
    assert asked.query == {
        "limit": "2",
        "fieldSelector": "regarding.uid=u1",
        "labelSelector": "a=b",
    }
    assert found == ({"n": 1}, {"n": 2})


async def test_an_object_of_the_whole_cluster_has_no_namespace_in_its_path(wiring: Wiring) -> None:
    """Nodes are in none."""
    await wiring.client.get(kinds.NODE, None, "node-1")

    (asked,) = wiring.server.asked
    assert asked.path == "/api/v1/nodes/node-1"


async def test_a_status_is_replaced_under_its_version(wiring: Wiring) -> None:
    """The whole status is set, guarded by the resourceVersion, and spec is not sent at all."""
    resource = {
        "metadata": {"name": "chat", "namespace": "team", "resourceVersion": "7"},
        "spec": {"replicas": 1},
        "status": {"phase": "Ready"},
    }
    await wiring.client.patch_status(kinds.LLM_DEPLOYMENT, resource)
    (asked,) = wiring.server.asked
    assert asked.path.endswith("/namespaces/team/llmdeployments/chat/status")
    assert asked.content_type == "application/json-patch+json"
    assert asked.body == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/status", "value": {"phase": "Ready"}},
    ]


async def test_a_deletion_names_the_uid(wiring: Wiring) -> None:
    """Only the very object is deleted, and its dependants in the background."""
    await wiring.client.delete(kinds.SERVICE, "team", "chat", "u1")
    (asked,) = wiring.server.asked
    assert asked.method == "DELETE"
    assert asked.body["preconditions"] == {"uid": "u1"}
    assert asked.body["propagationPolicy"] == "Background"


async def test_deleting_what_is_gone_is_no_error(wiring: Wiring) -> None:
    """Somebody else was faster; the wish is fulfilled."""
    wiring.server.respond = lambda _: web.json_response({"message": "not found"}, status=404)
    await wiring.client.delete(kinds.SERVICE, "team", "chat", "u1")


def _page(asked: Asked) -> web.Response:
    items = [{"metadata": {"name": asked.query.get("continue", "first")}}]
    if "continue" in asked.query:
        return web.json_response({"metadata": {"resourceVersion": "9"}, "items": items})
    metadata = {"resourceVersion": "9", "continue": "second"}
    return web.json_response({"metadata": metadata, "items": items})


async def test_a_list_is_read_page_by_page(wiring: Wiring) -> None:
    """All pages are one list at one version, and its items name their kind."""
    wiring.server.respond = _page
    listing = await wiring.client.list(kinds.SERVICE, "team", "a=b,c=d")
    assert [item["metadata"]["name"] for item in listing.items] == ["first", "second"]
    assert listing.resource_version == "9"
    assert {(item["apiVersion"], item["kind"]) for item in listing.items} == {("v1", "Service")}
    assert wiring.server.asked[0].query == {"limit": "500", "labelSelector": "a=b,c=d"}


async def test_a_list_whose_pages_expired_is_read_in_one_piece(wiring: Wiring) -> None:
    """After 410 on a continuation the list begins anew, without pages."""

    def respond(asked: Asked) -> web.Response:
        if "continue" in asked.query:
            return web.json_response({"message": "expired"}, status=410)
        if "limit" in asked.query:
            return _page(asked)
        return web.json_response({"metadata": {"resourceVersion": "12"}, "items": None})

    wiring.server.respond = respond
    listing = await wiring.client.list(kinds.POD)
    assert (listing.items, listing.resource_version) == ((), "12")
    assert wiring.server.asked[-1].path == "/api/v1/pods"


async def test_a_kind_is_served_if_its_group_lists_it(wiring: Wiring) -> None:
    """Discovery answers per group and version; 404 means that the group is unknown."""
    wiring.server.respond = lambda _: web.json_response(
        {"resources": [{"name": "servicemonitors"}]}
    )
    assert await wiring.client.serves(kinds.SERVICE_MONITOR)
    assert wiring.server.asked[0].path == "/apis/monitoring.coreos.com/v1"
    wiring.server.respond = lambda _: web.json_response({"resources": [{"name": "podmonitors"}]})
    assert not await wiring.client.serves(kinds.SERVICE_MONITOR)
    wiring.server.respond = lambda _: web.Response(status=404, text="404 page not found")
    assert not await wiring.client.serves(kinds.SERVICE_MONITOR)


async def test_behind_a_closed_gate_no_write_is_sent(wiring: Wiring) -> None:
    """Who is not the leader reads, and keeps its hands off."""
    wiring.leads = False
    client = wiring.client
    writes: list[Any] = [
        lambda: client.apply(kinds.SERVICE, NEW_SERVICE, "u1"),
        lambda: client.apply_new(kinds.SERVICE, NEW_SERVICE),
        lambda: client.patch_status(
            kinds.SERVICE,
            {"metadata": {**SERVICE["metadata"], "resourceVersion": "1"}, "status": {}},
        ),
        lambda: client.delete(kinds.SERVICE, "team", "chat", "u1"),
        lambda: client.create_event("team", {}),
    ]
    for write in writes:
        with pytest.raises(NotLeader):
            await write()
    assert wiring.server.asked == []
    await client.get(kinds.SERVICE, "team", "chat")
    assert len(wiring.server.asked) == 1


async def test_the_lease_passes_the_closed_gate(wiring: Wiring) -> None:
    """A candidate must be able to write the Lease before it leads."""
    wiring.leads = False
    lease = {"metadata": {"name": "l", "namespace": "team", "resourceVersion": "1"}}
    await wiring.client.create_lease("team", lease)
    await wiring.client.replace_lease("team", lease)
    await wiring.client.read_lease("team", "l")
    assert [asked.method for asked in wiring.server.asked] == ["POST", "PUT", "GET"]


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, NotFound), (409, Conflict), (422, Invalid), (503, ClusterUnavailable)],
)
async def test_a_refusal_is_raised_and_recorded(
    wiring: Wiring, status: int, error: type[Exception]
) -> None:
    """Whatever the answer, the request is counted with its code."""
    wiring.server.respond = lambda _: web.json_response({"message": "no"}, status=status)
    with pytest.raises(error, match="no"):
        await wiring.client.get(kinds.SERVICE, "team", "chat")
    (record,) = wiring.records
    assert (record.verb, record.kind, record.code) == ("get", "Service", status)


async def test_a_server_that_does_not_answer_is_unavailable(wiring: Wiring) -> None:
    """Every request has a deadline, and is counted with code 0."""
    wiring.server.delay_seconds = 5
    with pytest.raises(ClusterUnavailable):
        await wiring.client.get(kinds.SERVICE, "team", "chat")
    (record,) = wiring.records
    assert record.code == 0
    assert TIMEOUT_SECONDS <= record.seconds < 2


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """A refused connection is one more way of having no answer."""
    transport = Transport(Configuration(host="http://127.0.0.1:1"), TIMEOUT_SECONDS)
    client = ClusterClient(transport, lambda: True, lambda _: None)
    with pytest.raises(ClusterUnavailable, match="/api/v1/namespaces/team/services/chat"):
        await client.get(kinds.SERVICE, "team", "chat")
    await client.close()


@pytest.mark.parametrize("text", ["not JSON", "[1]", "null"])
async def test_an_answer_without_an_object_is_unavailable(wiring: Wiring, text: str) -> None:
    """A proxy that answers 200 with a page of its own does not reach the cache."""
    wiring.server.respond = lambda _: web.Response(text=text)
    with pytest.raises(ClusterUnavailable):
        await wiring.client.get(kinds.SERVICE, "team", "chat")


async def test_credentials_are_handed_on_without_being_shown() -> None:
    """The watches log in as we do; the token does not appear when credentials are printed."""
    configuration = Configuration(host="https://cluster")
    configuration.api_key["BearerToken"] = "bearer s3cret"
    transport = Transport(configuration, 1)
    credentials = await transport.credentials()
    assert (credentials.server, credentials.token) == ("https://cluster", "s3cret")
    assert "s3cret" not in repr(credentials)
    await transport.close()
