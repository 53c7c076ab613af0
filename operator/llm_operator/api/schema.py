"""What every model of the API is made of: the strict frozen model, rules, lists, scalars.

Pydantic checks types, bounds and list keys when a resource is read; the same annotations become
the structural schema (``structural``). A rule stands here in both of its forms, side by side: CEL
travels to the schema, and ``validate`` applies its mirror in the operator.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    StrictBool,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel, to_snake
from pydantic_core import CoreSchema, core_schema

from llm_operator.api import quantity

INT32_MAX: Final = 2**31 - 1
WHOLE_MAX: Final = 2**53
"""The highest bound of an integer: the API server reads bounds as floating point."""


class Effect(StrEnum):
    """What a change of a top-level field of the spec does."""

    HOT = "hot"
    """No pod is touched."""
    REVISION = "revision"
    """A new revision starts."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a model, for the API server (``cel``) and for the operator (``holds``).

    ``field`` is the camelCase field that is to blame, "" for the object itself. The message
    completes "<field>: " and says what is allowed.
    """

    field: str
    message: str
    cel: str
    holds: Callable[[Any], bool]
    """The mirror of ``cel`` over the parsed model."""

    def to_json(self) -> dict[str, str]:
        """Return the entry of ``x-kubernetes-validations``."""
        path = {"fieldPath": f".{self.field}"} if self.field else {}
        return {"rule": self.cel, "message": self.message} | path


def exactly_one(*fields: str) -> Rule:
    """Return the rule that exactly one of these optional fields is set."""
    return Rule(
        "",
        f"must have exactly one of {', '.join(fields)}",
        f"[{', '.join(f'has(self.{field})' for field in fields)}].exists_one(given, given)",
        lambda model: sum(getattr(model, to_snake(field)) is not None for field in fields) == 1,
    )


def matches(field: str, pattern: str, message: str) -> Rule:
    """Return the rule that a string field, if set, is matched by all of ``pattern`` (RE2)."""
    compiled = re.compile(pattern)

    def holds(model: ApiModel) -> bool:
        value = getattr(model, to_snake(field))
        return value is None or compiled.fullmatch(value) is not None

    cel = f"!has(self.{field}) || self.{field}.matches(r'^(?:{pattern})$')"
    return Rule(field, f"must be {message}", cel, holds)


def _add_rules(schema: dict[str, Any], model: type["ApiModel"]) -> None:
    if model.rules:
        schema["x-kubernetes-validations"] = [rule.to_json() for rule in model.rules]


class ApiModel(BaseModel):
    """An object of the API: frozen, camelCase outside, snake_case inside.

    Unknown fields are dropped when read, as the API server does with an older schema's objects.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        use_attribute_docstrings=True,
        json_schema_extra=_add_rules,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    """What must hold beyond types and bounds."""

    empty_is_meant: ClassVar[bool] = False
    """Whether an empty object says something, as ``emptyDir: {}`` does."""


@dataclass(frozen=True, slots=True)
class ListKind:
    """How server-side apply merges a list: by keys, which are unique, or as a whole."""

    keys: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Check the uniqueness of keys after the items themselves."""
        schema = handler(source)
        if not self.keys:
            return schema
        return core_schema.no_info_after_validator_function(self._unique, schema)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Add the list type and its keys."""
        listed: dict[str, Any] = {"x-kubernetes-list-type": "map" if self.keys else "atomic"}
        keys = {"x-kubernetes-list-map-keys": list(self.keys)} if self.keys else {}
        return handler(schema) | listed | keys

    def _unique(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        seen = [self._key(item) for item in items]
        repeated = [key for key in seen if seen.count(key) > 1]
        if repeated:
            msg = f"{' '.join(repeated[0])!r} is repeated"
            raise ValueError(msg)
        return items

    def _key(self, item: object) -> tuple[str, ...]:
        return tuple(str(getattr(item, to_snake(key))) for key in self.keys)


ATOMIC: Final = ListKind()


def list_map(*keys: str) -> ListKind:
    """Return the list kind whose items are merged by ``keys`` (camelCase)."""
    return ListKind(keys)


def keys_are_qualified(field: str) -> Rule:
    """Return the rule that the keys of a map of labels or annotations are such keys."""
    compiled = re.compile(_KEY)
    return Rule(
        field,
        "each key must be a name of at most 63 letters, digits, - _ and ., with or without a DNS"
        " name and / before it",
        f"!has(self.{field}) || self.{field}.all(key, key.matches(r'^{_KEY}$'))",
        lambda model: all(compiled.fullmatch(key) for key in getattr(model, to_snake(field))),
    )


def _whole_number_as_text(value: object) -> object:
    """Take ``cpu: 2`` for ``cpu: "2"``, so that the spelling starts no revision."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_DNS_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_PATTERN: Final = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
_KEY: Final = (
    "([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)

Quantity = Annotated[
    str,
    BeforeValidator(_whole_number_as_text),
    Field(max_length=32, pattern=quantity.PATTERN),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "minimum": 0,
            "maximum": WHOLE_MAX,
            "minLength": 1,
            "maxLength": 32,
            "pattern": quantity.PATTERN,
        }
    ),
]
"""A Kubernetes quantity such as ``500m`` or ``2Gi``: not negative, no exponent."""

ObjectName = Annotated[
    str, Field(min_length=1, max_length=253, pattern=rf"^{_DNS_LABEL}(\.{_DNS_LABEL})*$")
]
"""Name of a Kubernetes object (DNS subdomain)."""

HASH_PATTERN: Final = "[bcdfghjklmnpqrstvwxz2456789]{8}"
Hash = Annotated[str, Field(pattern=f"^{HASH_PATTERN}$", max_length=8)]
"""The hash of a revision."""

DnsLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=f"^{_DNS_LABEL}$")]
LabelKey = Annotated[str, Field(min_length=1, max_length=317, pattern=f"^{_KEY}$")]
LabelValue = Annotated[str, Field(max_length=63, pattern=_LABEL_PATTERN)]
SecretKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
Labels = Annotated[Mapping[str, LabelValue], Field(max_length=32)]
Annotations = Annotated[
    Mapping[str, Annotated[str, Field(max_length=16384)]],
    Field(max_length=32),
]
Int32 = Annotated[int, Field(strict=True, le=INT32_MAX)]
Flag = StrictBool


def _write_time(value: datetime) -> str:
    spec = "microseconds" if value.microsecond else "seconds"
    return value.astimezone(UTC).isoformat(timespec=spec).replace("+00:00", "Z")


Time = Annotated[
    AwareDatetime,
    PlainSerializer(_write_time, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 64}),
]
"""An RFC 3339 time; aware inside, UTC outside."""
