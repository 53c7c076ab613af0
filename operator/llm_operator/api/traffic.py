"""The traffic part of the spec: who splits requests between two revisions."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from llm_operator.api.schema import ATOMIC, ApiModel, DnsLabel, ObjectName, Rule

_HOSTNAME = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_Hostname = Annotated[str, Field(min_length=1, max_length=253, pattern=_HOSTNAME)]


class Provider(StrEnum):
    """Who splits the traffic between two revisions."""

    AUTO = "Auto"
    REPLICA_RATIO = "ReplicaRatio"
    GATEWAY_API = "GatewayAPI"


class ParentRef(ApiModel):
    """A Gateway that the route is attached to."""

    name: ObjectName
    """Name of the Gateway."""
    namespace: DnsLabel | None = None
    """Namespace of the Gateway. Absent: the resource's own."""
    section_name: ObjectName | None = None
    """Name of one of its listeners. Absent: all that accept the route."""
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] | None = None
    """Port of one of its listeners. Absent: all that accept the route."""


class Gateway(ApiModel):
    """The HTTPRoute that is rendered for the Gateway API."""

    parent_refs: Annotated[tuple[ParentRef, ...], Field(min_length=1, max_length=8), ATOMIC]
    """The Gateways that the route is attached to."""
    hostnames: Annotated[tuple[_Hostname, ...], Field(max_length=16), ATOMIC] = ()
    """Host names that the route answers to. Absent: every one of the listeners."""


class Traffic(ApiModel):
    """How requests are split between two revisions."""

    rules = (
        Rule(
            "gateway",
            "is required with provider GatewayAPI: it names the Gateways of the route",
            "!has(self.provider) || self.provider != 'GatewayAPI' || has(self.gateway)",
            lambda self: self.provider is not Provider.GATEWAY_API or self.gateway is not None,
        ),
    )

    provider: Provider = Provider.AUTO
    """ReplicaRatio: by the number of ready pods, with nothing installed. GatewayAPI: by the exact
    weights of an HTTPRoute. Auto: GatewayAPI if gateway is set and the cluster knows HTTPRoute,
    otherwise ReplicaRatio. Kept for a rollout that is under way."""
    gateway: Gateway | None = None
    """The route for the Gateway API. Absent: none is rendered."""
