from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, create_model

from llm_operator.api.structural import NotStructural, to_structural

Json = dict[str, Any]


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    size: Annotated[int, Field(ge=1, le=9)]
    label: Annotated[str, Field(max_length=5)] | None = None


LEAVES = st.sampled_from(
    [
        Annotated[int, Field(ge=-3, le=7)],
        Annotated[int, Field(gt=0, lt=5)],
        Annotated[str, Field(min_length=1, max_length=4)],
        Annotated[str, Field(pattern="^[ab]+$", max_length=6)],
        bool,
        Colour,
        Inner,
    ]
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw bounded lists and maps."""
    return inner.map(
        lambda item: Annotated[tuple[item, ...], Field(max_length=3)]  # type: ignore[valid-type]
    ) | inner.map(
        lambda item: Annotated[dict[str, item], Field(max_length=2)]  # type: ignore[valid-type]
    )


TYPES = st.recursive(LEAVES, containers, max_leaves=3)
SCALARS = st.one_of(st.integers(-5, 12), st.text("abc", max_size=7), st.booleans())
INSTANCES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["size", "label", "x", "y"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def accepts(schema: Json, instance: object) -> bool:
    """Whether a schema accepts an instance."""
    return bool(Draft202012Validator(schema).is_valid(instance))


@given(TYPES, st.booleans(), INSTANCES)
def test_translation_neither_loses_nor_adds_a_constraint(
    type_: Any, optional: bool, instance: object
) -> None:
    """What the JSON schema of a model accepts, nulls apart, is what its structural schema does."""
    field = (type_ | None, None) if optional else (type_, ...)
    model = create_model("Drawn", x=field)
    original = model.model_json_schema()
    translated = to_structural(original)
    assert accepts(original, {"x": instance}) == accepts(translated, {"x": instance})
    assert accepts(original, {}) == accepts(translated, {})


def forbidden_keywords(node: object) -> list[str]:
    """Return what a structural schema may not contain."""
    if isinstance(node, dict):
        found = [
            key for key in node if key in {"$ref", "anyOf", "oneOf", "allOf", "const", "title"}
        ]
        return found + [name for child in node.values() for name in forbidden_keywords(child)]
    return []


@given(TYPES)
def test_a_translation_has_a_type_everywhere_and_no_junctor(type_: Any) -> None:
    """References, unions and titles are gone."""
    translated = to_structural(
        create_model("Drawn", value=(type_ | None, None)).model_json_schema()
    )
    assert forbidden_keywords(translated) == []
    assert translated["properties"]["value"]["type"]


REFUSED: dict[str, tuple[Any, str]] = {
    "a single choice, which becomes const": (Literal["a"], "$.value"),
    "a union": (int | str, "$.value"),
    "anything": (Any, "$.value"),
    "a pair": (tuple[int, str], "$.value"),
    "a fraction": (float, "$.value"),
    "a map of anything": (dict[str, Any], "$.value"),
    "patterned keys": (dict[Annotated[str, Field(pattern="^a")], str], "$.value"),
    "a union in a list": (list[int | str], "$.value[]"),
    "multiples": (Annotated[int, Field(multiple_of=2)], "$.value"),
}


@pytest.mark.parametrize(("type_", "path"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_expressed_is_refused_with_its_path(type_: Any, path: str) -> None:
    """No rule is lost in silence: the generator stops and names the place."""
    model = create_model("Drawn", value=(type_, ...))
    with pytest.raises(NotStructural) as refusal:
        to_structural(model.model_json_schema())
    assert refusal.value.path == path


class Node(BaseModel):
    children: list["Node"] = []


def test_a_recursive_model_is_refused() -> None:
    """A structural schema has no references, so recursion has no end."""
    with pytest.raises(NotStructural, match="recursive"):
        to_structural(Node.model_json_schema())


def test_words_beside_a_reference_win_and_rules_add_up() -> None:
    """The field's description replaces the class's; rules of both apply."""
    schema = {
        "$defs": {
            "Part": {
                "type": "object",
                "description": "A part.",
                "x-kubernetes-validations": [{"rule": "1"}],
            }
        },
        "type": "object",
        "properties": {
            "part": {
                "$ref": "#/$defs/Part",
                "description": "The\n  part.",
                "x-kubernetes-validations": [{"rule": "2"}],
            }
        },
    }
    assert to_structural(schema)["properties"]["part"] == {
        "description": "The part.",
        "type": "object",
        "x-kubernetes-validations": [{"rule": "1"}, {"rule": "2"}],
    }


@pytest.mark.parametrize("default", [None, []])
def test_a_default_that_says_nothing_is_absence(default: object) -> None:
    """Stored objects are not written into for nothing."""
    node = {"type": "array", "items": {"type": "boolean"}, "default": default}
    schema = {"type": "object", "properties": {"value": node}}
    assert "default" not in to_structural(schema)["properties"]["value"]


@pytest.mark.parametrize("default", [{}, {"size": 80}])
def test_an_object_is_by_default_empty(default: Json) -> None:
    """The values stand once, at the object's fields, which the API server then fills in."""
    fields = {"size": {"type": "integer", "maximum": 90, "default": 80}}
    node = {"type": "object", "properties": fields, "default": default}
    schema = {"type": "object", "properties": {"value": node}}
    assert to_structural(schema)["properties"]["value"]["default"] == {}


@pytest.mark.parametrize(("maximum", "format_"), [(2**31 - 1, "int32"), (2**31, "int64")])
def test_an_integer_names_the_format_that_its_bound_needs(maximum: int, format_: str) -> None:
    """Typed clients take the width of an integer from its format."""
    assert to_structural({"type": "integer", "maximum": maximum})["format"] == format_
