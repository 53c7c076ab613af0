"""Reading JSON that may have any shape: what is absent or of another type counts as empty.

Statuses and events come from programs of every version and make; none of them may break a pass.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

Object = Mapping[str, Any]


def part(obj: object, *path: str) -> Object:
    """Return the object at a path, empty when there is none."""
    for name in path:
        obj = obj.get(name) if isinstance(obj, Mapping) else None
    return obj if isinstance(obj, Mapping) else {}


def entries(obj: Object, name: str) -> tuple[Object, ...]:
    """Return the objects of a list."""
    value = obj.get(name)
    if not isinstance(value, list | tuple):
        return ()
    return tuple(entry for entry in value if isinstance(entry, Mapping))


def text(obj: Object, name: str) -> str:
    """Return a string."""
    value = obj.get(name)
    return value if isinstance(value, str) else ""


def strings(obj: Object, name: str) -> dict[str, str]:
    """Return a map from strings to strings, without what is neither."""
    found = part(obj, name).items()
    return {key: item for key, item in found if isinstance(item, str)}


def whole(obj: Object, name: str) -> int | None:
    """Return an integer."""
    value = obj.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def moment(obj: Object, name: str) -> datetime | None:
    """Return a time of RFC 3339; None for one without a zone or outside of what can be added to."""
    try:
        found = datetime.fromisoformat(text(obj, name))
    except ValueError:
        return None
    return found if found.tzinfo is not None and 1900 < found.year < 9000 else None
