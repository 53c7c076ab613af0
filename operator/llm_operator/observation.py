"""Everything one reconcile pass looks at, gathered before it begins; frozen and pure.

Nothing downstream reads the cluster or a pod. Objects are the plain JSON of the API server and are
never changed in place.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from llm_operator import diagnosis, kinds
from llm_operator.api.reasons import Reason
from llm_operator.desired.identity import Identity
from llm_operator.desired.pod import CONTAINER_NAME
from llm_operator.judgement.evidence import Evidence as Readings
from llm_operator.rollout.state import World

Object = Mapping[str, Any]

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


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
    unlimited_gateways: frozenset[tuple[str, str]] = frozenset()
    """Gateways, by namespace and name, that let a route lift its time limit."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One resource and all that belongs to it or stands in its way."""

    resource: Object
    children: Mapping[tuple[kinds.ResourceKind, str], Object]
    """Objects of the applied kinds in the namespace that carry the resource's instance label."""
    pods: tuple[Object, ...]
    endpoint_slices: tuple[Object, ...]
    refusals: tuple[Refusal, ...] = ()
    evidence: diagnosis.Evidence = diagnosis.NOTHING
    """What was asked beyond the watched objects, because pods do not get ready."""
    readings: Readings | None = None
    """The pods' counters, while a rollout is judged."""

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


def count_pods(observation: Observation) -> World:
    """Count pods and Deployment sizes by revision hash; causes and traffic are not looked at."""
    counted = [pod for pod in observation.pods if not diagnosis.is_finished(pod)]
    staying = [pod for pod in counted if not diagnosis.is_terminating(pod)]
    return World(
        ready=Counter(revision_of(pod) for pod in staying if diagnosis.is_ready(pod)),
        existing=Counter(revision_of(pod) for pod in counted),
        replicas={
            revision_of(deployment): int(deployment.get("spec", {}).get("replicas", 1))
            for deployment in observation.owned(kinds.DEPLOYMENT)
        },
        starting=Counter(revision_of(pod) for pod in staying if not diagnosis.is_ready(pod)),
    )


def running_digests(pods: Iterable[Object], revision: str) -> tuple[str, ...]:
    """Return the digest of the server's image for each ready pod of a revision.

    That is what the node really runs (``imageID``), whatever the tag says by now: the digest of the
    manifest, or of the image's configuration where the image came to the node without a registry.
    """
    found = (
        _DIGEST.search(str(container.get("imageID", "")))
        for pod in pods
        if revision_of(pod) == revision and diagnosis.is_ready(pod)
        for container in pod.get("status", {}).get("containerStatuses") or ()
        if container.get("name") == CONTAINER_NAME
    )
    return tuple(match[0] for match in found if match)


def revision_of(obj: Object) -> str:
    """Return the revision hash that an object is labelled with, or the empty string."""
    return str(obj.get("metadata", {}).get("labels", {}).get(kinds.REVISION_LABEL, ""))
