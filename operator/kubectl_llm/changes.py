"""Differences between two specs, field by field, and what each of them does. Pure.

A field is named by its path from ``spec``. Lists are compared as a whole, as most of them merge:
a list that differs is one change.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from llm_operator.api.revisioned import EFFECTS, hot_part, revisioned_part
from llm_operator.api.schema import Effect
from llm_operator.api.spec import Spec

_EFFECTS: Final[Mapping[str, Effect]] = {
    Spec.model_fields[name].alias or name: effect for name, effect in EFFECTS.items()
}


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs."""

    path: str
    """From the root, e.g. ``spec.server.args``."""
    before: Any
    """None where the field was absent."""
    after: Any
    """None where the field is absent now."""
    effect: Effect


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return what turns ``before`` into ``after``, in the order of the API's fields."""
    return tuple(
        Change(".".join(("spec", *path)), old, new, _EFFECTS[path[0]])
        for name in _EFFECTS
        for path, old, new in _differences((name,), before.get(name), after.get(name))
    )


def _differences(
    path: tuple[str, ...], before: Any, after: Any
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    if before == after:
        return
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        yield path, before, after
        return
    for key in dict.fromkeys((*before, *after)):
        yield from _differences((*path, key), before.get(key), after.get(key))


def plain_spec(spec: Spec) -> dict[str, Any]:
    """Return a whole spec in the form that is compared: defaults filled in, emptiness left out."""
    return {**revisioned_part(spec), **hot_part(spec)}


def restarts(changes: tuple[Change, ...]) -> bool:
    """Whether any of the changes starts a revision."""
    return any(change.effect is Effect.REVISION for change in changes)
