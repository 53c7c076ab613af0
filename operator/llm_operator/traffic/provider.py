"""The interface of those who split traffic."""

from collections.abc import Mapping
from typing import Any, Protocol

from llm_operator.desired.objects import HotSpec
from llm_operator.rollout.state import AppliedTraffic
from llm_operator.traffic.asked import Asked
from llm_operator.traffic.scene import Scene

Manifest = Mapping[str, Any]


class TrafficProvider(Protocol):
    """One way to split requests between two revisions. Stateless: all it knows is given to it."""

    def render(self, scene: Scene, hot: HotSpec, asked: Asked) -> tuple[Manifest, ...]:
        """Return the objects for the next move towards what is asked, in the order of writing.

        What is not among them and ours is removed. Where a move must wait for another one to have
        arrived, the objects stand for the first of them; later passes bring the rest.
        """
        ...

    def observe(self, scene: Scene, asked: Asked) -> AppliedTraffic:
        """Return the canary's share that the cluster is set to, and whether proxies have it."""
        ...

    def objection(self, scene: Scene) -> str:
        """Return what somebody has against what is rendered; empty while it is only on its way."""
        ...
