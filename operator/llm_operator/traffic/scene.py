"""What of an observation the traffic providers look at."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from llm_operator import diagnosis, kinds
from llm_operator.desired.identity import Identity
from llm_operator.observation import Environment, Observation, revision_of
from llm_operator.traffic.route import LiveRoute

SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"
"""Set on each EndpointSlice by the controller that makes it."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The live Services, their endpoints, the route, and the pods behind them."""

    identity: Identity
    selectors: Mapping[str, Mapping[str, str]]
    """Selectors of the resource's own Services by name."""
    shown: Mapping[str, frozenset[str]]
    """Pods that the EndpointSlices of a Service show as ready, by the Service's name; pods that
    are terminating are left out."""
    revisions: Mapping[str, str]
    """Revision hash of each pod, by the pod's name."""
    ready: frozenset[str]
    """Names of the pods that are ready and not terminating."""
    route: LiveRoute | None
    """The resource's own HTTPRoute."""
    environment: Environment

    def selected(self, service: str) -> str | None:
        """Return the one revision that a live Service selects.

        None when there is no such Service, when it selects every revision, and when its selector
        is none that is rendered here.
        """
        selector = self.selectors.get(service, {})
        hash_ = selector.get(kinds.REVISION_LABEL)
        return hash_ if hash_ and selector == self.identity.selector(hash_) else None

    def is_open(self, service: str) -> bool:
        """Whether a live Service selects the pods of every revision."""
        return self.selectors.get(service) == self.identity.open_selector()

    def has_ready(self, revision: str | None) -> bool:
        """Whether a revision has a ready pod."""
        return any(self.revisions[pod] == revision for pod in self.ready)

    def shows(self, service: str, revision: str | None) -> bool:
        """Whether a Service sends to pods of this revision, one of them ready, and to no other."""
        pods = self.shown.get(service, frozenset())
        is_pure = all(self.revisions.get(pod) == revision for pod in pods)
        return is_pure and not pods.isdisjoint(self.ready)

    def agrees(self, service: str) -> bool:
        """Whether a Service's endpoints are just the ready pods that its selector matches."""
        revision = self.selected(service)
        if revision is None and not self.is_open(service):
            return False
        matched = {pod for pod in self.ready if revision is None or self.revisions[pod] == revision}
        return self.shown.get(service, frozenset()) == matched


def look(observation: Observation, environment: Environment) -> Scene:
    """Take from an observation what concerns traffic."""
    identity = observation.identity
    routes = {obj["metadata"]["name"]: obj for obj in observation.owned(kinds.HTTP_ROUTE)}
    return Scene(
        identity=identity,
        selectors={
            obj["metadata"]["name"]: obj.get("spec", {}).get("selector", {})
            for obj in observation.owned(kinds.SERVICE)
        },
        shown=_shown(observation),
        revisions={pod["metadata"]["name"]: revision_of(pod) for pod in observation.pods},
        ready=frozenset(
            pod["metadata"]["name"]
            for pod in observation.pods
            if diagnosis.is_ready(pod) and not diagnosis.is_terminating(pod)
        ),
        route=LiveRoute(routes[identity.name]) if identity.name in routes else None,
        environment=environment,
    )


def _shown(observation: Observation) -> dict[str, frozenset[str]]:
    leaving = {pod["metadata"]["name"] for pod in observation.pods if diagnosis.is_terminating(pod)}
    found: dict[str, set[str]] = defaultdict(set)
    for piece in observation.endpoint_slices:
        service = piece["metadata"].get("labels", {}).get(SERVICE_NAME_LABEL, "")
        found[service] |= set(_ready_endpoints(piece)) - leaving
    return {service: frozenset(names) for service, names in found.items()}


def _ready_endpoints(piece: Mapping[str, Any]) -> Iterator[str]:
    """Yield the pods that an EndpointSlice shows; absent ``ready`` means ready (its API)."""
    for endpoint in piece.get("endpoints") or ():
        conditions = endpoint.get("conditions") or {}
        if conditions.get("ready", True) and not conditions.get("terminating", False):
            yield str((endpoint.get("targetRef") or {}).get("name", ""))
