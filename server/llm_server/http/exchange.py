"""One request and its answer as the edge sees them; travels in the ASGI scope."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from llm_server.engine.events import Usage
from llm_server.telemetry import Outcome

_SCOPE_KEY = "llm_server.exchange"


@dataclass(slots=True)
class Exchange:
    """What the log line and the ledger say about the request when it is over."""

    request_id: str
    outcome: Outcome = Outcome.REFUSED
    usage: Usage | None = None
    status: int | None = None


def attach(scope: MutableMapping[str, Any], exchange: Exchange) -> None:
    """Put the exchange into the scope of its request."""
    scope[_SCOPE_KEY] = exchange


def of(scope: MutableMapping[str, Any]) -> Exchange:
    """Return the exchange of a request."""
    exchange = scope[_SCOPE_KEY]
    if not isinstance(exchange, Exchange):
        raise TypeError(f"the scope has a {type(exchange).__name__} for an exchange")
    return exchange
