"""From pydantic's JSON schema to a structural schema, as CustomResourceDefinitions want it.

JSON Schema says more than KEP-2335 allows. What has an equivalent is translated, and everything
else is refused with its path: a schema that silently lost a rule would accept wrong specs.
Called by ``crd`` and ``reference``, when files are generated.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

Json = dict[str, Any]

_INT32_MAX: Final = 2**31 - 1
_RULES: Final = "x-kubernetes-validations"
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"
_COMMON: Final = frozenset({"type", "description", "default", "enum", _RULES})
_BY_TYPE: Final[Mapping[str, frozenset[str]]] = {
    "object": frozenset({"properties", "required", "additionalProperties", "maxProperties"}),
    "array": frozenset(
        {"items", "minItems", "maxItems", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"}
    ),
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "integer": frozenset({"minimum", "maximum"}),
    "boolean": frozenset(),
}
_INT_OR_STRING_KEYS: Final = frozenset(
    {_INT_OR_STRING, "description", "minimum", "maximum", "minLength", "maxLength", "pattern"}
)
_ORDER: Final = (
    "description",
    "type",
    "format",
    "default",
    "enum",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
    "properties",
    "additionalProperties",
    "items",
)


class NotStructural(ValueError):
    """A schema has a part that a structural schema cannot express; ``path`` leads to it."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


def to_structural(schema: Mapping[str, Any], path: str = "$") -> Json:
    """Translate a JSON schema with ``$defs`` as pydantic makes it.

    Raises:
        NotStructural: a part cannot be expressed, or is recursive.
    """
    return _Translation(schema.get("$defs", {})).node(schema, path, ())


class _Translation:
    """One run over a schema and the definitions that it refers to."""

    def __init__(self, definitions: Mapping[str, Json]) -> None:
        self._definitions = definitions

    def node(self, schema: Mapping[str, Any], path: str, within: tuple[str, ...]) -> Json:
        """Translate one node; ``within`` are the definitions that are being inlined."""
        schema, within = self._inline(schema, path, within)
        schema.pop("title", None)
        schema.pop("$defs", None)
        _settle_default(schema)
        if "description" in schema:
            schema["description"] = " ".join(schema["description"].split())
        if schema.get(_INT_OR_STRING):
            _refuse_unknown(schema, _INT_OR_STRING_KEYS, path)
            return _ordered(schema)
        kind = schema.get("type")
        if not isinstance(kind, str) or kind not in _BY_TYPE:
            raise NotStructural(path, f"needs one type of {', '.join(_BY_TYPE)}, has {kind!r}")
        if kind == "integer":
            _settle_integer(schema)
        if schema.get("additionalProperties") is False:
            del schema["additionalProperties"]
        _refuse_unknown(schema, _COMMON | _BY_TYPE[kind] | {"format"}, path)
        return _ordered(schema | dict(self._children(schema, path, within)))

    def _children(
        self, schema: Json, path: str, within: tuple[str, ...]
    ) -> Iterator[tuple[str, Json]]:
        if schema.get("properties"):
            yield (
                "properties",
                {
                    name: self.node(child, f"{path}.{name}", within)
                    for name, child in schema["properties"].items()
                },
            )
        for keyword, suffix in (("additionalProperties", "{}"), ("items", "[]")):
            child = schema.get(keyword)
            if child is not None:
                if not isinstance(child, Mapping):
                    raise NotStructural(path, f"{keyword} needs a schema, has {child!r}")
                yield keyword, self.node(child, path + suffix, within)

    def _inline(
        self, schema: Mapping[str, Any], path: str, within: tuple[str, ...]
    ) -> tuple[Json, tuple[str, ...]]:
        """Follow ``$ref`` and ``anyOf [X, null]``; what stands beside them wins over X."""
        schema = dict(schema)
        while True:
            if "$ref" in schema:
                name = schema.pop("$ref").removeprefix("#/$defs/")
                if name in within or name not in self._definitions:
                    raise NotStructural(path, f"cannot inline {name}, recursive or unknown")
                within = (*within, name)
                schema = _beside(self._definitions[name], schema)
            elif "anyOf" in schema:
                options = [item for item in schema.pop("anyOf") if item != {"type": "null"}]
                if len(options) != 1:
                    raise NotStructural(path, "anyOf is a union of several types")
                schema = _beside(options[0], schema)
            else:
                return schema, within


def _beside(inner: Mapping[str, Any], outer: Json) -> Json:
    merged = dict(inner) | outer
    both = [*inner.get(_RULES, ()), *outer.get(_RULES, ())]
    return merged | ({_RULES: both} if both else {})


def _settle_default(schema: Json) -> None:
    """Keep only defaults that say something: absent is absent, and an empty list says no more.

    The API server fills in an object's fields only where the object is, so that one whose fields
    have defaults is itself by default empty.
    """
    match schema.get("default"):
        case dict():
            schema["default"] = {}
        case None | list():
            schema.pop("default", None)


def _settle_integer(schema: Json) -> None:
    """Translate exclusive bounds, and name the format that typed clients need."""
    if "exclusiveMinimum" in schema:
        schema["minimum"] = schema.pop("exclusiveMinimum") + 1
    if "exclusiveMaximum" in schema:
        schema["maximum"] = schema.pop("exclusiveMaximum") - 1
    schema["format"] = "int32" if schema.get("maximum", _INT32_MAX + 1) <= _INT32_MAX else "int64"


def _refuse_unknown(schema: Json, known: frozenset[str], path: str) -> None:
    unknown = sorted(schema.keys() - known)
    if unknown:
        raise NotStructural(path, f"{', '.join(unknown)} cannot be expressed")


def _ordered(schema: Json) -> Json:
    """Return the keywords in one order, extensions last."""
    order = {keyword: index for index, keyword in enumerate(_ORDER)}
    return dict(sorted(schema.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))
