"""Names, labels, selectors and the owner reference of everything that belongs to one resource."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from llm_operator import kinds

COMPONENT: Final = "server"
APPLICATION: Final = "llm-server"
CANARY_SUFFIX: Final = "-canary"
"""No LLMDeployment may have a name that ends so: its Service would be another one's canary."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The LLMDeployment that a set of objects belongs to."""

    namespace: str
    name: str
    uid: str

    def child_name(self, revision_hash: str) -> str:
        """Name of a revision's ControllerRevision and Deployment; at most 46 characters."""
        return f"{self.name}-{revision_hash}"

    @property
    def canary_name(self) -> str:
        """Name of the canary's own Service; at most 44 characters, and no resource has it."""
        return f"{self.name}{CANARY_SUFFIX}"

    def labels(self, revision_hash: str | None = None) -> dict[str, str]:
        """Labels of an object, with the revision's hash where it belongs to one."""
        labels = {
            kinds.NAME_LABEL: APPLICATION,
            kinds.INSTANCE_LABEL: self.name,
            kinds.COMPONENT_LABEL: COMPONENT,
            kinds.MANAGED_BY_LABEL: kinds.FIELD_MANAGER,
        }
        return labels | ({kinds.REVISION_LABEL: revision_hash} if revision_hash else {})

    def selector(self, revision_hash: str) -> dict[str, str]:
        """What selects the pods of one revision: fixed identity labels plus the hash."""
        return {kinds.INSTANCE_LABEL: self.name, kinds.REVISION_LABEL: revision_hash}

    def open_selector(self) -> dict[str, str]:
        """What selects the pods of every revision."""
        return {kinds.INSTANCE_LABEL: self.name, kinds.COMPONENT_LABEL: COMPONENT}

    def serving_selector(self, hashes: Iterable[str]) -> str:
        """``status.selector``: the pods of the hashes that take traffic, and no others.

        An instance-wide selector would count loading pods as idle and stop an autoscaler for
        the length of every load.
        """
        return (
            f"{kinds.INSTANCE_LABEL}={self.name},{kinds.COMPONENT_LABEL}={COMPONENT},"
            f"{kinds.REVISION_LABEL} in ({','.join(sorted(hashes))})"
        )

    def manifest(
        self, kind: kinds.ResourceKind, name: str, revision_hash: str | None = None, **body: Any
    ) -> dict[str, Any]:
        """Return a complete object of ``kind``, owned by this resource."""
        return {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": self.labels(revision_hash),
                "ownerReferences": [self.owner_reference()],
            },
            **body,
        }

    def owner_reference(self) -> dict[str, Any]:
        """The controller reference by which the garbage collector finds every child."""
        return {
            "apiVersion": kinds.LLM_DEPLOYMENT.api_version,
            "kind": kinds.LLM_DEPLOYMENT.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }

    def owns(self, obj: Mapping[str, Any]) -> bool:
        """Whether ``obj`` has a controller reference with this resource's UID."""
        references = obj.get("metadata", {}).get("ownerReferences", ())
        return any(ref.get("controller") and ref.get("uid") == self.uid for ref in references)


def controller_of(obj: Mapping[str, Any]) -> str:
    """Say who controls an object: kind and name, or nobody."""
    references = obj.get("metadata", {}).get("ownerReferences", ())
    controllers = (f"{ref['kind']} {ref['name']}" for ref in references if ref.get("controller"))
    return next(controllers, "nobody")
