"""One injected fault: what is applied, what happens then, and what the status must say."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from e2e.manifests import Manifest, llm_deployment
from e2e.story import Namespace
from llm_operator.api.reasons import Reason

Injection = Callable[[Namespace, str], None]
"""Breaks the resource of a name; returns when the fault is there."""


class Batch(IntEnum):
    """Faults that run side by side; two cores start few servers at a time."""

    REFUSED = 1
    """No pod, or none with a node."""
    NOT_MADE = 2
    """Pods with a node, whose containers are not made or are no server."""
    SERVER = 3
    """The server itself runs and fails."""
    HUB = 4
    """The server fails because of its Hub, or needs much of the machine."""
    LIVING = 5
    """A server that was ready is broken."""
    SLOW = 6
    """As before, where Kubernetes itself takes long until the fault is there."""


class Admission(IntEnum):
    """What the namespace of a fault does to its pods."""

    OPEN = 0
    QUOTA = 1
    LIMITS = 2
    POLICY = 3
    WEBHOOK = 4


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault."""

    name: str
    """Of the resource; a DNS label."""
    batch: Batch
    expected: Reason
    word: str
    """Stands in the message."""
    resource: Manifest
    beside: tuple[Manifest, ...] = ()
    """Objects of the namespace that are applied first."""
    admission: Admission = Admission.OPEN
    inject: Injection | None = None
    """Done once the resource is ready; the clock starts when it is done."""
    before: frozenset[Reason] = frozenset()
    """Causes that are true as well while the expected one builds up."""
    in_sample: bool = False


@dataclass(frozen=True, slots=True)
class Pieces:
    """The parts of a resource's spec; what a fault does not name is small and quick."""

    source: str = "builtin://simulated"
    server: Manifest = field(default_factory=dict)
    pod: Manifest = field(default_factory=dict)
    """``spec.podTemplate.spec``."""
    model: Manifest = field(default_factory=dict)
    more: Manifest = field(default_factory=dict)
    """Further fields of the spec."""

    def resource(self, name: str) -> Manifest:
        """Return the LLMDeployment."""
        server = {"drainSeconds": 0, **self.server}
        manifest = llm_deployment(name, source=self.source, server=server, **self.more)
        manifest["spec"]["model"] |= self.model
        if self.pod:
            manifest["spec"]["podTemplate"] = {"spec": self.pod}
        return manifest
