"""Builds the ASGI application of the API port from the route table."""

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from llm_server.errors import ServingError
from llm_server.http import errors
from llm_server.http.endpoints import Edge, Endpoint, Endpoints
from llm_server.http.gate import Gate, GateRules
from llm_server.http.routes import ROUTES


def create_app(edge: Edge, rules: GateRules) -> ASGIApp:
    """Return the application behind its gate."""
    return Gate(create_router(edge), rules)


def create_router(edge: Edge) -> FastAPI:
    """Return the application alone: exactly the routes of the table."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    endpoints = Endpoints(edge)
    for route in ROUTES:
        endpoint: Endpoint = getattr(endpoints, route.endpoint)
        app.add_api_route(
            route.path, endpoint, methods=[route.method], response_model=None, name=route.endpoint
        )
    app.add_exception_handler(ServingError, _respond)
    app.add_exception_handler(Exception, _internal_error)
    return app


async def _respond(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ServingError):
        raise TypeError(f"registered for ServingError, called with {type(error).__name__}")
    return errors.respond(error)


async def _internal_error(_request: Request, _error: Exception) -> Response:
    return errors.internal_error()
