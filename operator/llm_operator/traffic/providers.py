"""The choice between the providers, and the two calls of a reconcile pass."""

from collections.abc import Mapping
from typing import Any, Final

from llm_operator import kinds
from llm_operator.api.traffic import Provider
from llm_operator.desired.objects import HotSpec
from llm_operator.observation import Environment, Observation
from llm_operator.rollout.state import AppliedTraffic
from llm_operator.traffic.asked import Asked
from llm_operator.traffic.gateway_api import GatewayAPI
from llm_operator.traffic.provider import Manifest, TrafficProvider
from llm_operator.traffic.replica_ratio import ReplicaRatio
from llm_operator.traffic.scene import look

_PROVIDERS: Final[Mapping[Provider, TrafficProvider]] = {
    Provider.REPLICA_RATIO: ReplicaRatio(),
    Provider.GATEWAY_API: GatewayAPI(),
}


def resolve(
    wanted: Provider, gateway: Mapping[str, Any] | None, environment: Environment
) -> Provider:
    """Return who splits traffic: Auto is the Gateway API where a Gateway is named and it exists."""
    if wanted is not Provider.AUTO:
        return wanted
    is_there = gateway is not None and kinds.HTTP_ROUTE in environment.optional_kinds
    return Provider.GATEWAY_API if is_there else Provider.REPLICA_RATIO


def observe(observation: Observation, environment: Environment, asked: Asked) -> AppliedTraffic:
    """Return what the cluster is set to, in the terms of what was asked last."""
    return _PROVIDERS[asked.provider].observe(look(observation, environment), asked)


def objection(observation: Observation, environment: Environment, asked: Asked) -> str:
    """Return what stands against the traffic that is asked, for the status; mostly empty."""
    return _PROVIDERS[asked.provider].objection(look(observation, environment))


def render(
    observation: Observation, environment: Environment, hot: HotSpec, asked: Asked
) -> tuple[Manifest, ...]:
    """Return the Services and the route of a resource, in the order of writing."""
    return _PROVIDERS[asked.provider].render(look(observation, environment), hot, asked)
