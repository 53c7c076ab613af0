"""Which Gateways let a route lift its time limit; asked by the informer now and then.

Some implementations of the Gateway API end a response after seconds unless the route says
otherwise, which would cut streams, and some do not know that setting and refuse it. The class of a
Gateway lists what its implementation supports.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from llm_operator import kinds
from llm_operator.cluster.client import Listing

REQUEST_TIMEOUT: Final = "HTTPRouteRequestTimeout"
"""Name of the feature, as the Gateway API's conformance suite has it."""


class Lister(Protocol):
    """What is needed of the client; may raise ``ApiError``."""

    async def list(
        self, kind: kinds.ResourceKind, namespace: str | None = None, selector: str | None = None
    ) -> Listing:
        """List a kind."""


async def find_unlimited_gateways(client: Lister) -> frozenset[tuple[str, str]]:
    """Return namespace and name of each Gateway whose class supports request timeouts."""
    classes = await client.list(kinds.GATEWAY_CLASS)
    gateways = await client.list(kinds.GATEWAY)
    names = {found["metadata"]["name"] for found in classes.items if _supports_timeouts(found)}
    return frozenset(
        (gateway["metadata"]["namespace"], gateway["metadata"]["name"])
        for gateway in gateways.items
        if gateway.get("spec", {}).get("gatewayClassName") in names
    )


def _supports_timeouts(gateway_class: Mapping[str, Any]) -> bool:
    features = gateway_class.get("status", {}).get("supportedFeatures") or ()
    return any(
        isinstance(feature, Mapping) and feature.get("name") == REQUEST_TIMEOUT
        for feature in features
    )
