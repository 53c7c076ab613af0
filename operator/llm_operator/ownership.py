"""Who owns which field of an object, as the API server recorded it in ``metadata.managedFields``.

Pure. ``fieldsV1`` is a tree: ``f:name`` is a field, ``k:{...}`` an item of a list map, ``v:...`` an
item of a set, ``.`` the node itself; a node without children is owned whole, which is how an
atomic map or list looks. The cache keeps the trees of children as text (``compact``), so both
forms are read here.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llm_operator import kinds

Fields = Mapping[str, Any]
"""A decoded ``fieldsV1`` tree."""

NOTHING: Final[Fields] = {}
SELF: Final = "."
APPLY: Final = "Apply"


@dataclass(frozen=True, slots=True)
class Owner:
    """One manager, by the operation and the subresource that it wrote through."""

    manager: str
    operation: str
    subresource: str


@dataclass(frozen=True, slots=True)
class ForeignField:
    """A field that somebody else put into an object of ours."""

    manager: str
    path: str
    """Readable, e.g. ``spec.template.spec.containers[name=sidecar]``."""


def compact(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a managedFields entry without times and with its tree as one string."""
    return {
        "manager": entry.get("manager", ""),
        "operation": entry.get("operation", ""),
        "subresource": entry.get("subresource", ""),
        "fieldsV1": json.dumps(entry.get("fieldsV1") or {}, separators=(",", ":")),
    }


def applied_fields(obj: Mapping[str, Any]) -> Fields:
    """Return the tree that this operator's last apply of ``obj`` left there."""
    merged: Fields = NOTHING
    for entry in _entries(obj):
        if _owner(entry) == Owner(kinds.FIELD_MANAGER, APPLY, ""):
            merged = _merge(merged, _tree(entry)) if merged else _tree(entry)
    return merged


def owners(obj: Mapping[str, Any], path: Sequence[str]) -> tuple[Owner, ...]:
    """Return every manager that owns the field at ``path`` or something below it."""
    return tuple(
        _owner(entry) for entry in _entries(obj) if _descend(_tree(entry), path) is not None
    )


def held_through_scale(managed_fields: Sequence[Mapping[str, Any]]) -> bool:
    """Whether any manager owns ``spec.replicas`` through the ``scale`` subresource."""
    obj = {"metadata": {"managedFields": managed_fields}}
    return any(owner.subresource == "scale" for owner in owners(obj, ("spec", "replicas")))


def foreign_fields(obj: Mapping[str, Any], prefix: Sequence[str]) -> tuple[ForeignField, ...]:
    """Return what others own below ``prefix`` and this operator does not.

    What controllers write through a subresource (status, scale) is not foreign.
    """
    ours = _descend(applied_fields(obj), prefix) or NOTHING
    return tuple(
        ForeignField(owner.manager, ".".join(prefix) + path)
        for entry in _entries(obj)
        for owner in [_owner(entry)]
        if not owner.subresource and owner.manager != kinds.FIELD_MANAGER
        for path in _unshared(_descend(_tree(entry), prefix) or NOTHING, ours)
    )


def children(fields: Fields) -> tuple[str, ...]:
    """Return the elements below a node, without the node itself."""
    return tuple(element for element in fields if element != SELF)


def render_element(element: str) -> str:
    """Return how a path element reads: ``.image``, ``[name=server]``, ``["a"]``.

    >>> render_element('k:{"containerPort":8000,"protocol":"TCP"}')
    '[containerPort=8000,protocol=TCP]'
    """
    form, _, value = element.partition(":")
    match form:
        case "f":
            return f".{value}"
        case "k":
            keys = json.loads(value)
            return "[" + ",".join(f"{name}={key}" for name, key in keys.items()) + "]"
    return f"[{value}]"


def _entries(obj: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return obj.get("metadata", {}).get("managedFields") or ()


def _owner(entry: Mapping[str, Any]) -> Owner:
    return Owner(entry.get("manager", ""), entry.get("operation", ""), entry.get("subresource", ""))


def _tree(entry: Mapping[str, Any]) -> Fields:
    fields = entry.get("fieldsV1") or NOTHING
    decoded: Fields = json.loads(fields) if isinstance(fields, str) else fields
    return decoded


def _merge(one: Fields, other: Fields) -> Fields:
    return {
        element: _merge(one.get(element, NOTHING), other.get(element, NOTHING))
        for element in one.keys() | other.keys()
    }


def _descend(fields: Fields, path: Sequence[str]) -> Fields | None:
    node: Fields | None = fields
    for name in path:
        node = node.get(f"f:{name}") if node else None
    return node


def _unshared(theirs: Fields, ours: Fields) -> Iterator[str]:
    """Yield the paths of a tree that the other tree does not have; a new item is one path."""
    for element in children(theirs):
        below, shared = theirs[element], ours.get(element)
        added_item = shared is None and element.startswith("k:")
        if not children(below) or added_item:
            if shared is None:
                yield render_element(element)
        else:
            for path in _unshared(below, shared or NOTHING):
                yield render_element(element) + path
