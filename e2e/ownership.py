"""Reads ``managedFields``: which manager owns which field."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any


def _leaves(fields: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, below in fields.items():
        if key == ".":
            continue
        here = f"{path}.{key.removeprefix('f:')}"
        if any(k != "." for k in below):
            yield from _leaves(below, here)
        else:
            yield here


def managers_by_field(item: dict[str, Any]) -> dict[str, set[str]]:
    """Return the managers of each leaf of an object, ``status`` left out."""
    managers: dict[str, set[str]] = defaultdict(set)
    for entry in item["metadata"].get("managedFields", []):
        who = f"{entry['manager']}/{entry['operation']}"
        for leaf in _leaves(entry.get("fieldsV1", {})):
            if not leaf.startswith(".status"):
                managers[leaf].add(who)
    return managers


def fields_with_two_managers(item: dict[str, Any]) -> dict[str, list[str]]:
    """Return the fields of ``spec`` that more than one manager claims."""
    return {
        leaf: sorted(managers)
        for leaf, managers in managers_by_field(item).items()
        if leaf.startswith(".spec") and len(managers) > 1
    }
