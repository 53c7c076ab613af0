"""Which part of a spec is a revision's, and which is hot.

The mark of each top-level field (``schema.Effect``) is the one table that hashing, snapshots and
the documentation follow.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic.fields import FieldInfo

from llm_operator.api.schema import ApiModel, Effect
from llm_operator.api.spec import Spec


def _effect(field: FieldInfo) -> Effect:
    (effect,) = (mark for mark in field.metadata if isinstance(mark, Effect))
    return effect


EFFECTS: Final[Mapping[str, Effect]] = MappingProxyType(
    {name: _effect(field) for name, field in Spec.model_fields.items()}
)
"""What a change of each field of the spec does; by Python name."""


def revisioned_part(spec: Spec) -> dict[str, Any]:
    """Return the fields whose change starts a revision, as plain JSON.

    What is absent or empty is left out, at every depth; an empty object that says something
    (``emptyDir: {}``, a selector of everything) stays. Whole-number quantities are text.
    """
    return _plain_fields(spec, Effect.REVISION)


def hot_part(spec: Spec) -> dict[str, Any]:
    """Return the other fields as plain JSON, with the schema's defaults."""
    return _plain_fields(spec, Effect.HOT)


def _plain_fields(spec: Spec, effect: Effect) -> dict[str, Any]:
    marked = {name for name, mark in EFFECTS.items() if mark is effect}
    return _plain_model(spec, marked)


def _plain_model(model: ApiModel, names: set[str] | None = None) -> dict[str, Any]:
    content = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if value is None or (names is not None and name not in names):
            continue
        plain = _plain(value)
        if plain not in ({}, []) or (isinstance(value, ApiModel) and value.empty_is_meant):
            content[field.alias or name] = plain
    return content


def _plain(value: object) -> Any:
    match value:
        case ApiModel():
            return _plain_model(value)
        case tuple():
            return [_plain(item) for item in value]
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case str():
            return str(value)
        case _:
            return value
