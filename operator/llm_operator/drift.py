"""Whether applying an object again would change it; pure.

The comparison follows server-side apply without a copy of its schemas: the API server itself
recorded, in the ``managedFields`` entry of our last apply, which fields are ours and how each map
and list merges. A leaf there is a scalar or an atomic map or list and is compared whole; a node
with fields is merged by key, one with ``k:`` items is a list map. An object drifts when

* a desired field is not in that entry: we never applied it, or somebody took it from us;
* a desired value differs from the live one;
* the entry holds a field that is not desired any more and that an apply would prune.

What other managers keep beside our fields is no drift. Neither is what an apply stores in another
form: quantities are normalised, and a zero value that we own and that is absent was left out by
the API server's encoding.
"""

import json
import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_UP, Decimal
from typing import Any, Final

from llm_operator.ownership import Fields, applied_fields, children, render_element

Path = tuple[str, ...]
"""Elements as in ``fieldsV1``."""

_IDENTITY: Final = frozenset({"apiVersion", "kind"})
_METADATA_IDENTITY: Final = frozenset({"name", "namespace", "uid", "resourceVersion"})

_QUANTITY_PARENTS: Final = frozenset({("f:limits",), ("f:requests",)})
_QUANTITY_FIELDS: Final = frozenset({"f:sizeLimit", "f:averageValue"})
_QUANTITY: Final = re.compile(
    r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))"
    r"(?:(?P<suffix>[numkMGTPE]|[KMGTPE]i)|[eE](?P<exponent>[+-]?\d+))?"
)
_NANO: Final = Decimal("1e-9")
_SUFFIXES: Final[Mapping[str | None, Decimal]] = {
    None: Decimal(1),
    "n": _NANO,
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}


def drifted(desired: Mapping[str, Any], live: Mapping[str, Any]) -> str | None:
    """Return the first path at which applying ``desired`` would change ``live``, or None.

    Paths read like ``spec.template.spec.containers[name=server].image``.
    """
    intent = {key: value for key, value in desired.items() if key not in _IDENTITY}
    metadata = desired.get("metadata", {})
    intent["metadata"] = {k: v for k, v in metadata.items() if k not in _METADATA_IDENTITY}
    path = _map_difference(intent, live, applied_fields(live), ())
    return "".join(map(render_element, path)).removeprefix(".") if path else None


def _difference(desired: Any, live: Any, owned: Fields | None, path: Path) -> Path | None:
    if owned is None:
        return path
    if isinstance(desired, Mapping) and children(owned):
        return _map_difference(desired, live, owned, path)
    if isinstance(desired, list | tuple) and children(owned):
        return _items_difference(desired, live, owned, path)
    same = _same_quantity if _holds_quantity(path) else _same
    return None if same(desired, live) else path


def _map_difference(
    desired: Mapping[str, Any], live: Any, owned: Fields, path: Path
) -> Path | None:
    there: Mapping[str, Any] = live if isinstance(live, Mapping) else {}
    for name, value in desired.items():
        if value is None:
            continue
        element = f"f:{name}"
        found = _difference(value, there.get(name), owned.get(element), (*path, element))
        if found:
            return found
    for element in children(owned):
        if desired.get(element.removeprefix("f:")) is None:
            return (*path, element)
    return None


def _items_difference(desired: Sequence[Any], live: Any, owned: Fields, path: Path) -> Path | None:
    there: Sequence[Any] = live if isinstance(live, list) else ()
    keys = {element: json.loads(element[2:]) for element in children(owned)}
    for index, item in enumerate(desired):
        element = next((e for e, key in keys.items() if _claims(key, item)), None)
        if element is None:
            return (*path, f"i:{index}")
        key = keys.pop(element)
        match = next((other for other in there if _is_item(key, other)), None)
        found = _difference(item, match, owned[element], (*path, element))
        if found:
            return found
    dropped = next(iter(keys), None)
    return (*path, dropped) if dropped else None


def _claims(key: Any, item: Any) -> bool:
    """Whether a desired item has this key; a part of the key that it omits is a default."""
    if isinstance(key, Mapping) and isinstance(item, Mapping):
        return all(item.get(name, value) == value for name, value in key.items())
    return bool(key == item)


def _is_item(key: Any, item: Any) -> bool:
    """Whether a live item has exactly this key."""
    if isinstance(key, Mapping) and isinstance(item, Mapping):
        return all(item.get(name) == value for name, value in key.items())
    return bool(key == item)


def _same(desired: Any, live: Any) -> bool:
    """Compare whole, as an atomic value; absent and zero are the same at every depth."""
    if isinstance(desired, Mapping) and isinstance(live, Mapping):
        names = desired.keys() | live.keys()
        return not desired or all(_same(desired.get(n), live.get(n)) for n in names)
    if isinstance(desired, list | tuple) and isinstance(live, list | tuple):
        pairs = zip(desired, live, strict=False)
        return len(desired) == len(live) and all(_same(one, other) for one, other in pairs)
    if live is None or desired is None:
        return not desired and not live
    if isinstance(desired, bool) or isinstance(live, bool):
        return desired is live
    return bool(desired == live)


def _holds_quantity(path: Path) -> bool:
    return path[-1] in _QUANTITY_FIELDS or path[-2:-1] in _QUANTITY_PARENTS


def _same_quantity(desired: Any, live: Any) -> bool:
    return _same(_quantity(desired), _quantity(live))


def _quantity(value: Any) -> Any:
    """Return the amount that a quantity stands for, or the value itself if it is none.

    The API server rounds what is finer than nano up.
    """
    match = _QUANTITY.fullmatch(str(value))
    if match is None or isinstance(value, bool):
        return value
    scale = _SUFFIXES[match["suffix"]] * Decimal(10) ** int(match["exponent"] or 0)
    return (Decimal(match["number"]) * scale).quantize(_NANO, rounding=ROUND_UP)
