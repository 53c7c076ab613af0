"""One request and its answer as the edge sees them; travels in the ASGI scope."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from llm_server.contract import Outcome
from llm_server.engine.events import Usage

_SCOPE_KEY = "llm_server.exchange"


@dataclass(slots=True)
class Exchange:
    """What the log line and the ledger say about the request when it is over."""

    request_id: str
    outcome: Outcome | None = None
    """How the generation ended; None while it runs, and for ever when there was none."""
    usage: Usage | None = None
    status: int | None = None
    """The status that was sent; None before that."""

    @property
    def end(self) -> Outcome:
        """How the request ended: as its generation did, else as the status of the refusal says."""
        return self.outcome or _refusal(self.status)


def _refusal(status: int | None) -> Outcome:
    match status:
        case None:
            return Outcome.CANCELLED
        case 429:
            return Outcome.OVERLOADED
        case 503:
            return Outcome.UNAVAILABLE
        case _:
            return Outcome.FAILED if status >= 500 else Outcome.REFUSED


def attach(scope: MutableMapping[str, Any], exchange: Exchange) -> None:
    """Put the exchange into the scope of its request."""
    scope[_SCOPE_KEY] = exchange


def of(scope: MutableMapping[str, Any]) -> Exchange:
    """Return the exchange of a request."""
    exchange = scope[_SCOPE_KEY]
    if not isinstance(exchange, Exchange):
        raise TypeError(f"the scope has a {type(exchange).__name__} for an exchange")
    return exchange
