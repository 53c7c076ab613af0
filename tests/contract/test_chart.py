"""Chart, values, package and settings say the same."""

import tomllib
from typing import Any

import jsonschema
import pytest
import yaml

from llm_operator.settings import OperatorSettings
from tests.models.chart import CHART, ROOT, Json, leaves, values, values_schema, values_table

DERIVED = {"namespace", "pod_name", "watch_namespace", "server_image", "lease_name", "probe_port"}
"""Settings that the chart derives: from the pod, the release, or values with names of their own."""

DIFFERENT_DEFAULTS = {"log_format"}
"""In a cluster nobody watches the console: json instead of auto."""


def package_version() -> str:
    """Return the version in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def camel(name: str) -> str:
    """Return a setting's name as it is spelled in values."""
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


def schema_of_setting(field: Json, definitions: Json) -> Json:
    """Return what the values schema must say about a setting: its words, type and bounds."""
    reference = field.get("$ref", "").rpartition("/")[2]
    merged = {**definitions.get(reference, {}), **field}
    kept = ("description", "type", "enum", "minimum", "exclusiveMinimum", "maximum")
    return {key: merged[key] for key in kept if key in merged}


def value_at(path: tuple[str, ...]) -> Any:
    """Return the default value at a path."""
    found: Any = values()
    for name in path:
        found = found[name]
    return found


def test_chart_and_package_have_one_version() -> None:
    """A release is one number: package, chart and the images that the chart deploys."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["version"] == chart["appVersion"] == package_version()


def test_the_default_server_image_is_the_one_of_this_release() -> None:
    """An operator outside a cluster names the same server image as the chart."""
    image = values()["server"]["image"]

    assert OperatorSettings.model_fields["server_image"].default == (
        f"{image['repository']}:{package_version()}"
    )


def test_the_chart_carries_the_crds_of_the_repository() -> None:
    """The chart's CRDs are byte for byte those of ``crds/``."""
    ours = {path.name: path.read_bytes() for path in (ROOT / "crds").iterdir()}
    carried = {path.name: path.read_bytes() for path in (CHART / "crds").iterdir()}

    assert ours
    assert carried == ours


def test_helm_leaves_the_crds_alone() -> None:
    """No CRD is a template: helm would remove it, and every resource with it, on uninstall."""
    templates = [path.read_text() for path in (CHART / "templates").iterdir()]

    assert not any("kind: CustomResourceDefinition" in text for text in templates)


def test_the_defaults_meet_the_schema() -> None:
    """values.yaml is valid under values.schema.json."""
    schema = values_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.Draft7Validator(schema).validate(values())


def test_every_value_is_described_and_stands_in_values_yaml() -> None:
    """Each value has a description, and a default that a reader of values.yaml sees."""
    for path, schema in leaves(values_schema()):
        assert schema.get("description"), path
        if path[0] != "global" and path[:1] != ("resources",):
            assert value_at(path) is not None, path


@pytest.mark.parametrize("path", [(), ("image",), ("server", "image"), ("settings",), ("metrics",)])
def test_an_unknown_value_is_refused(path: tuple[str, ...]) -> None:
    """A misspelled value fails the installation instead of doing nothing."""
    changed = values()
    part = changed
    for name in path:
        part = part[name]
    part["misspelled"] = 1

    with pytest.raises(jsonschema.ValidationError, match="misspelled"):
        jsonschema.validate(changed, values_schema())


def test_values_know_every_setting_and_no_other() -> None:
    """``settings`` has words, type and bounds of each field of OperatorSettings, and no more."""
    model = OperatorSettings.model_json_schema()
    wanted = {
        camel(name): schema_of_setting(field, model.get("$defs", {}))
        for name, field in model["properties"].items()
        if name not in DERIVED
    }

    assert set(model["properties"]) >= DERIVED
    assert values_schema()["properties"]["settings"]["properties"] == wanted


def test_settings_have_the_same_default_in_chart_and_program() -> None:
    """Running the operator by hand and by the chart does the same, but for what is said above."""
    settings = values()["settings"]

    for name, field in OperatorSettings.model_fields.items():
        if name not in DERIVED | DIFFERENT_DEFAULTS:
            assert settings[camel(name)] == field.default, name


def test_the_documented_values_are_the_charts() -> None:
    """The table in docs/install.md has each value with its default and its description."""
    assert values_table() in (ROOT / "docs" / "install.md").read_text()
