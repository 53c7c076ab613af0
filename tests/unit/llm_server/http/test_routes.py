import pytest
from fastapi.routing import APIRoute

from llm_server.http.app import create_router
from llm_server.http.endpoints import Edge
from llm_server.http.routes import KEY_PREFIX, ROUTES, AuthLevel
from llm_server.service import ServiceSlot

EDGE = Edge(ServiceSlot(), max_body_bytes=1024, wall_clock=lambda: 0.0, new_seed=lambda: 0)


def test_the_application_has_exactly_the_routes_of_the_table() -> None:
    """A route that is not declared, with its level of access, does not exist."""
    served = {
        (route.path, *sorted(route.methods or ()))
        for route in create_router(EDGE).routes
        if isinstance(route, APIRoute)
    }

    assert served == {(route.path, route.method) for route in ROUTES}
    assert len(create_router(EDGE).routes) == len(ROUTES)


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/v1/models", "models"),
        ("/v1/models/chat", "model"),
        ("/v1/models/org/chat", "model"),
        ("/v1/models/", None),
        ("/v1/model", None),
        ("/v1/modelsx", None),
    ],
)
def test_a_path_has_at_most_one_route(path: str, endpoint: str | None) -> None:
    """Names of models may have slashes, and none is empty."""
    found = [route.endpoint for route in ROUTES if route.matches(path)]
    assert found == ([endpoint] if endpoint else [])


def test_everything_below_v1_needs_a_key() -> None:
    """The API is behind keys; only health is open on its port."""
    assert {route.path: route.auth for route in ROUTES} == {
        route.path: AuthLevel.KEY if route.path.startswith(KEY_PREFIX) else AuthLevel.OPEN
        for route in ROUTES
    }
