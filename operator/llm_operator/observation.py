"""Everything one reconcile pass looks at, taken from the cache in one go; frozen and pure.

Nothing downstream reads the cluster. Objects are the plain JSON of the API server and are never
changed in place.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llm_operator import diagnosis, kinds
from llm_operator.api.reasons import Reason
from llm_operator.desired.identity import Identity
from llm_operator.rollout.state import World

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An apply that the API server refused; kept by the worker until it succeeds."""

    kind: kinds.ResourceKind
    name: str
    reason: Reason
    message: str
    at: datetime
    generation: int | None = None
    """Generation of the resource when it was refused; an edit may have cured it."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What holds for every resource of this installation."""

    default_image: str
    renderer: int
    optional_kinds: frozenset[kinds.ResourceKind] = frozenset()
    """Those of ``kinds.OPTIONAL_KINDS`` that the cluster has."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One resource and all that belongs to it or stands in its way."""

    resource: Object
    children: Mapping[tuple[kinds.ResourceKind, str], Object]
    """Objects of the applied kinds in the namespace that carry the resource's instance label."""
    pods: tuple[Object, ...]
    endpoint_slices: tuple[Object, ...]
    refusals: tuple[Refusal, ...] = ()

    @property
    def identity(self) -> Identity:
        """Namespace, name and UID of the resource."""
        metadata = self.resource["metadata"]
        return Identity(metadata["namespace"], metadata["name"], metadata["uid"])

    def owned(self, kind: kinds.ResourceKind) -> tuple[Object, ...]:
        """Return the children of one kind that are the resource's own."""
        identity = self.identity
        return tuple(
            obj
            for (child_kind, _), obj in self.children.items()
            if child_kind == kind and identity.owns(obj)
        )

    def refusal(self, kind: kinds.ResourceKind, name: str) -> Refusal | None:
        """Return the standing refusal of one child."""
        return next((r for r in self.refusals if (r.kind, r.name) == (kind, name)), None)


def observe_world(observation: Observation) -> World:
    """Count pods, Deployment sizes and endpoints by revision hash."""
    counted = [pod for pod in observation.pods if not diagnosis.is_finished(pod)]
    serving = [pod for pod in counted if not diagnosis.is_terminating(pod)]
    return World(
        ready=Counter(revision_of(pod) for pod in serving if diagnosis.is_ready(pod)),
        existing=Counter(revision_of(pod) for pod in counted),
        replicas={
            revision_of(deployment): int(deployment.get("spec", {}).get("replicas", 1))
            for deployment in observation.owned(kinds.DEPLOYMENT)
        },
        endpoints=_endpoint_revisions(observation),
    )


def revision_of(obj: Object) -> str:
    """Return the revision hash that an object is labelled with, or the empty string."""
    return str(obj.get("metadata", {}).get("labels", {}).get(kinds.REVISION_LABEL, ""))


def _endpoint_revisions(observation: Observation) -> frozenset[str]:
    """Return the hashes behind the ready endpoints; an unknown pod counts as the empty hash."""
    revisions = {pod["metadata"]["name"]: revision_of(pod) for pod in observation.pods}
    endpoints = [
        endpoint
        for endpoint_slice in observation.endpoint_slices
        for endpoint in endpoint_slice.get("endpoints") or ()
    ]
    return frozenset(
        revisions.get(endpoint.get("targetRef", {}).get("name", ""), "")
        for endpoint in endpoints
        if endpoint.get("conditions", {}).get("ready", True)
    )
