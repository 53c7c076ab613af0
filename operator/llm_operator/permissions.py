"""What the operator may ask of the API server: kinds, verbs, and where.

Pure data, and the one list of it. The chart's roles are compared with it in both directions, and
so is what the operator asks for: in whole passes on a model of the API server, and in the audit
log of a real one.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from llm_operator import kinds


class Verb(StrEnum):
    """A verb of Kubernetes' RBAC."""

    GET = "get"
    LIST = "list"
    WATCH = "watch"
    CREATE = "create"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"


class Scope(StrEnum):
    """Where a permission holds."""

    WATCHED = "watched"
    """In the namespaces that are looked after: one, or all."""
    CLUSTER = "cluster"
    """In every namespace and outside of them; where one namespace is looked after, it is neither
    granted nor asked for."""
    OWN = "own"
    """In the namespace of the operator itself, on its own Lease; ``create`` takes no name."""


@dataclass(frozen=True, slots=True)
class Permission:
    """The verbs on one resource or subresource."""

    group: str
    resource: str
    """Plural, with the subresource behind a slash: ``llmdeployments/status``."""
    verbs: frozenset[Verb]
    scope: Scope = Scope.WATCHED
    implied: frozenset[Verb] = frozenset()
    """Those of ``verbs`` that the API server demands for requests of another verb or resource."""


_READ: Final = frozenset({Verb.LIST, Verb.WATCH})
_LIST: Final = frozenset({Verb.LIST})
_CREATE: Final = frozenset({Verb.CREATE})
_UPDATE: Final = frozenset({Verb.UPDATE})
_APPLY: Final = frozenset({Verb.CREATE, Verb.PATCH})
_PRUNE: Final = frozenset({Verb.DELETE})


def _permission(
    kind: kinds.ResourceKind, verbs: frozenset[Verb], subresource: str = ""
) -> Permission:
    resource = f"{kind.plural}/{subresource}" if subresource else kind.plural
    return Permission(kind.group, resource, verbs)


PERMISSIONS: Final[tuple[Permission, ...]] = (
    _permission(kinds.LLM_DEPLOYMENT, _READ),
    _permission(kinds.LLM_DEPLOYMENT, frozenset({Verb.PATCH}), "status"),
    # A controller reference that blocks its owner's deletion needs this where the admission
    # plug-in OwnerReferencesPermissionEnforcement is on; nothing is ever sent to finalizers.
    Permission(
        kinds.LLM_DEPLOYMENT.group,
        f"{kinds.LLM_DEPLOYMENT.plural}/finalizers",
        _UPDATE,
        implied=_UPDATE,
    ),
    # An apply of an object that does not exist is a PATCH that needs `create` as well.
    *(
        Permission(kind.group, kind.plural, _READ | _APPLY | _PRUNE, implied=_CREATE)
        for kind in kinds.PRUNED_KINDS
    ),
    Permission(
        kinds.SERVICE_ACCOUNT.group,
        kinds.SERVICE_ACCOUNT.plural,
        _READ | _APPLY,
        implied=_CREATE,
    ),
    *(_permission(kind, _READ) for kind in kinds.WATCHED_KINDS if kind not in kinds.APPLIED_KINDS),
    # Read only for pods that are not ready and do not say why themselves.
    _permission(kinds.EVENT, frozenset({Verb.CREATE, Verb.LIST})),
    _permission(kinds.VOLUME_CLAIM, frozenset({Verb.GET})),
    Permission(
        kinds.NODE.group,
        kinds.NODE.plural,
        frozenset({Verb.GET, Verb.LIST}),
        scope=Scope.CLUSTER,
    ),
    *(
        Permission(kind.group, kind.plural, _LIST, scope=Scope.CLUSTER)
        for kind in (kinds.GATEWAY, kinds.GATEWAY_CLASS)
    ),
    Permission(
        kinds.LEASE.group,
        kinds.LEASE.plural,
        frozenset({Verb.GET, Verb.CREATE, Verb.UPDATE}),
        scope=Scope.OWN,
    ),
)
"""Everything the operator's ServiceAccount is granted; discovery comes with every account."""
