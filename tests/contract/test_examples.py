"""The examples are right, those in texts too, and together they show everything."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from llm_operator import kinds
from llm_operator.api import crd
from llm_operator.api.model import Cache
from llm_operator.api.pod_template import Volume
from llm_operator.api.resource import LLMDeployment
from llm_operator.api.revisioned import revisioned_part
from llm_operator.api.schema import ApiModel
from llm_operator.api.spec import Spec
from llm_operator.api.validate import RenderedNames, find_violations
from llm_operator.desired.identity import Identity
from llm_operator.desired.pod import (
    CURRENT_RENDERER,
    RENDERED_MOUNT_PATHS,
    RENDERED_VOLUMES,
    render_pod_template,
)
from llm_operator.desired.revision import make_revision
from tests.models.schema import closed
from tests.pod_settings import settings_in_container

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
NOTES = ROOT / "charts/llm-operator/templates/NOTES.txt"
RENDERED = RenderedNames(RENDERED_VOLUMES, RENDERED_MOUNT_PATHS)


def resources() -> Iterator[tuple[str, Json]]:
    """Yield the LLMDeployments of all examples by file name and name."""
    for path in sorted(EXAMPLES.glob("*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            if manifest["kind"] == kinds.LLM_DEPLOYMENT.kind:
                yield f"{path.name}: {manifest['metadata']['name']}", manifest


def snippets() -> Iterator[tuple[str, Json]]:
    """Yield the LLMDeployments that texts show by file and line; a lone `spec` is made whole."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for block in re.finditer(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            manifest = yaml.safe_load(block[1])
            if manifest.get("kind") in (None, kinds.LLM_DEPLOYMENT.kind):
                line = text.count("\n", 0, block.start()) + 1
                yield f"{path.relative_to(ROOT)}:{line}", whole(manifest)
    # As a shell reads it that the block is pasted into: the word that ends it stands alone.
    [shown] = re.findall(r"<<EOF\n(.*?)^EOF$", NOTES.read_text(), re.MULTILINE | re.DOTALL)
    yield NOTES.name, yaml.safe_load(re.sub(r"{{.*?}}", "default", shown))


def whole(manifest: Json) -> Json:
    """Return a manifest with what a fragment leaves out."""
    frame: Json = {
        "apiVersion": kinds.LLM_DEPLOYMENT.api_version,
        "kind": kinds.LLM_DEPLOYMENT.kind,
        "metadata": {"name": "chat"},
    }
    model = {"model": {"source": "builtin://tiny"}}
    return frame | manifest | {"spec": model | manifest["spec"]}


EXAMPLE_RESOURCES = dict(resources())
RESOURCES = EXAMPLE_RESOURCES | dict(snippets())


def parse(name: str) -> LLMDeployment:
    """Return an example as the operator reads it from the API server."""
    manifest = RESOURCES[name]
    given = {"namespace": "default", "uid": "uid-1"}
    return LLMDeployment.parse(manifest | {"metadata": manifest["metadata"] | given})


def test_every_file_is_an_example() -> None:
    """No file is without a resource of ours: each is covered by what follows."""
    files = {name.partition(":")[0] for name in EXAMPLE_RESOURCES}
    assert files == {path.name for path in EXAMPLES.iterdir()}


def test_the_texts_that_show_a_resource_are_found() -> None:
    """What follows is about the examples in texts as well."""
    files = {name.partition(":")[0] for name in RESOURCES.keys() - EXAMPLE_RESOURCES}
    assert files == {"README.md", "docs/rollouts.md", "docs/traffic.md", "NOTES.txt"}


SPEC_SCHEMA = closed(crd.resource_schema()["properties"]["spec"])


@pytest.mark.parametrize("name", RESOURCES)
def test_an_example_fits_the_schema(name: str) -> None:
    """By JSON Schema alone, unknown fields refused."""
    Draft202012Validator(SPEC_SCHEMA).validate(RESOURCES[name]["spec"])


@pytest.mark.parametrize("name", RESOURCES)
def test_an_example_has_no_field_that_the_model_does_not_know(name: str) -> None:
    """By the model, strictly."""
    Spec.model_validate(RESOURCES[name]["spec"], extra="forbid")


@pytest.mark.parametrize("name", RESOURCES)
def test_an_example_breaks_no_rule(name: str) -> None:
    """Neither of the API server's nor of the operator's own rules."""
    assert find_violations(parse(name), RENDERED) == ()


@pytest.mark.parametrize("name", RESOURCES)
def test_the_server_starts_with_the_settings_of_an_example(name: str) -> None:
    """It knows every flag and variable of the pod, those in server.args and env included."""
    resource = parse(name)
    identity = Identity("default", resource.metadata.name, resource.metadata.uid)
    revision = make_revision(revisioned_part(resource.spec), CURRENT_RENDERER, "server:1")
    container = render_pod_template(identity, revision)["spec"]["containers"][0]

    assert settings_in_container(container).revision == revision.hash


@pytest.mark.parametrize("name", RESOURCES)
def test_an_example_has_the_current_version(name: str) -> None:
    """Group and version are those of the CRD."""
    assert RESOURCES[name]["apiVersion"] == kinds.LLM_DEPLOYMENT.api_version


def shown_fields(value: object) -> Iterator[tuple[type[ApiModel], str]]:
    """Yield every field that is set, by the model that it belongs to."""
    if isinstance(value, ApiModel):
        for name in value.model_fields_set:
            yield type(value), name
            yield from shown_fields(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from shown_fields(item)


def test_every_field_is_shown_how_to_write() -> None:
    """every-field.yaml sets every field of every part; a cache has one of its two forms."""
    spec = Spec.model_validate(RESOURCES["every-field.yaml: every-field"]["spec"])
    shown = set(shown_fields(spec))
    known = {(model, name) for model, _ in shown for name in model.model_fields}
    assert known - shown == {(Cache, "empty_dir"), (Volume, "host_path")}
