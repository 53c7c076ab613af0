"""The route table of the API port: every path, its method, and what it takes to be let in.

Nothing else is served. A route that is not here cannot be reached, because ``gate`` admits by
this table and the application is built from it.
"""

from dataclasses import dataclass
from enum import StrEnum


class AuthLevel(StrEnum):
    """Who may call a route."""

    OPEN = "open"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """One route; ``generates`` marks those that are counted and admitted as requests.

    A parameter at the end of ``path`` takes all that follows, slashes too: ``{name:path}``.
    """

    path: str
    method: str
    auth: AuthLevel
    endpoint: str
    generates: bool = False

    def matches(self, path: str) -> bool:
        """Whether a request for ``path`` is for this route."""
        fixed, parameter, _ = self.path.partition("{")
        return path.startswith(fixed) and path != fixed if parameter else path == fixed


ROUTES = (
    RouteSpec("/health", "GET", AuthLevel.OPEN, "health"),
    RouteSpec("/v1/models", "GET", AuthLevel.KEY, "models"),
    RouteSpec("/v1/models/{name:path}", "GET", AuthLevel.KEY, "model"),
    RouteSpec("/v1/completions", "POST", AuthLevel.KEY, "completions", generates=True),
    RouteSpec("/v1/chat/completions", "POST", AuthLevel.KEY, "chat_completions", generates=True),
)

KEY_PREFIX = "/v1"
"""Paths below it never answer a caller without a key, not even that they do not exist."""
