"""What the API server accepts of a setting is what the server starts with: each end of each bound.

The bounds are read from the CRD, so that a field with a wider one fails here. Patterns are rules in
CEL, and the string at each of their ends is written down by hand.
"""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from llm_operator.api import crd
from llm_operator.api.resource import LLMDeployment, SpecInvalid
from llm_operator.api.validate import SETTING_FIELDS, RenderedNames, find_violations
from llm_operator.desired.identity import Identity
from llm_operator.desired.pod import render_pod_template
from llm_operator.desired.revision import make_revision
from llm_server.contract import Setting
from llm_server.models.source import parse_source
from llm_server.settings import ServerSettings
from tests.builders import an_llm_deployment
from tests.pod_settings import settings_in_container

Json = dict[str, Any]

WITHOUT_A_VALUE: Final = {Setting.CACHE_DIR, Setting.DEVICE, Setting.API_KEYS_DIR}
"""Settings whose fields say only whether, and the operator renders a path or a device."""

VALUES: Final = {
    setting: field for setting, field in SETTING_FIELDS.items() if setting not in WITHOUT_A_VALUE
}
NAME_CHARACTERS: Final = "Za0._:/-"
PATH_CHARACTERS: Final = "Za0._/-"
LONGEST: Final = {
    Setting.SERVED_NAME: ("a" + "-" * 252,),
    Setting.MODEL: (
        f"hf://{'o' * 96}/{'n' * 96}@{'r' * 128}",
        f"pvc://{'c' * 253}/{'p' * 512}",
        f"file:///{'p' * 519}",
    ),
}
"""Of each form of the fields that have a pattern; one character more is too many."""

SHORTEST_AND_ODDEST: Final = {
    Setting.SERVED_NAME: ("a", "Z", "0", f"a{NAME_CHARACTERS}"),
    Setting.MODEL: (
        "hf://a/b",
        f"hf://a._-0/Z._-9@0{PATH_CHARACTERS}",
        "pvc://a/b",
        "pvc://a//",
        f"pvc://a.-0/{PATH_CHARACTERS}",
        "builtin://tiny",
        "file:///a",
        f"file:///{PATH_CHARACTERS}",
    ),
}


def schema_of(field: str) -> Json:
    """Return the node of the CRD at a path like ``spec.model.dtype``."""
    node = crd.resource_schema()
    for name in field.split("."):
        node = node["properties"][name]
    return node


def ends(setting: Setting) -> Iterator[Any]:
    """Yield the values at the ends of what the CRD allows of a field."""
    node = schema_of(VALUES[setting])
    if "enum" in node:
        yield from node["enum"]
    elif node["type"] == "integer":
        yield from (node["minimum"], node["maximum"])
    else:
        yield from (*LONGEST[setting], *SHORTEST_AND_ODDEST[setting])


ENDS: Final = [(setting, value) for setting in VALUES for value in ends(setting)]


def spec_with(field: str, value: Any) -> Json:
    """Return the smallest spec that has a value at a path like ``spec.model.dtype``."""
    spec: Json = {"model": {"source": "builtin://simulated"}}
    *outer, last = field.split(".")[1:]
    node = spec
    for name in outer:
        node = node.setdefault(name, {})
    node[last] = value
    return spec


def is_allowed(spec: Json) -> bool:
    """Whether the operator's mirror of the CRD finds nothing wrong."""
    try:
        resource = LLMDeployment.parse(an_llm_deployment(**spec))
    except SpecInvalid:
        return False
    return not find_violations(resource, RenderedNames(frozenset(), frozenset()))


def settings_of(spec: Json) -> ServerSettings:
    """Return what the server of the spec's pod starts with; raises ``StartupError`` otherwise."""
    template = render_pod_template(
        Identity("default", "chat", "uid-1"), make_revision(spec, 1, "llm-server:1")
    )
    chosen = settings_in_container(template["spec"]["containers"][0])
    parse_source(chosen.model)
    return chosen


@pytest.mark.parametrize(("setting", "value"), ENDS)
def test_the_server_starts_with_each_end_of_what_the_api_allows(
    setting: Setting, value: Any
) -> None:
    """A value that the API server takes and the server refuses would end in a crash loop."""
    spec = spec_with(VALUES[setting], value)

    assert is_allowed(spec)
    taken = getattr(settings_of(spec), setting)
    assert taken == value or str(value).startswith("pvc://")


@pytest.mark.parametrize(
    ("setting", "longest"), [(setting, text) for setting in LONGEST for text in LONGEST[setting]]
)
def test_the_longest_strings_are_the_longest_that_the_api_allows(
    setting: Setting, longest: str
) -> None:
    """A field that is allowed more needs a longer string here."""
    assert not is_allowed(spec_with(VALUES[setting], longest + "x"))
