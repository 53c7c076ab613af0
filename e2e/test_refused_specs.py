"""Wrong specs are refused by the real API server, in words that help."""

import json
from pathlib import Path

import pytest
import yaml

from e2e.refused import RefusedSpec, UnknownField
from e2e.refused_specs import REFUSED, UNKNOWN_FIELDS
from e2e.story import Cluster, Namespace
from llm_operator.api.resource import LLMDeployment
from llm_operator.api.revisioned import revisioned_part
from llm_operator.desired.identity import Identity
from llm_operator.desired.objects import render_deployment
from llm_operator.desired.pod import CURRENT_RENDERER
from llm_operator.desired.revision import make_revision
from llm_operator.kinds import DEPLOYMENT, GROUP, LLM_DEPLOYMENT

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[1]
STORED_LIMIT = 256 * 1024


def refusal(namespace: Namespace, manifest: dict[str, object]) -> str:
    """Create an object with strict fields and return the message that refuses it."""
    response = namespace.cluster.api.post(
        LLM_DEPLOYMENT.path(namespace.name),
        params={"fieldValidation": "Strict", "fieldManager": "e2e"},
        json=manifest,
    )
    assert not response.is_success, f"accepted: {json.dumps(manifest)}"
    message: str = response.json()["message"]
    return message


@pytest.mark.parametrize("wrong", REFUSED, ids=lambda wrong: wrong.title)
def test_a_wrong_spec_is_refused_with_field_and_what_is_allowed(
    module_namespace: Namespace, wrong: RefusedSpec
) -> None:
    """The message names the field and says what is allowed."""
    message = refusal(module_namespace, wrong.manifest())
    assert wrong.field in message
    assert wrong.allowed in message


@pytest.mark.parametrize("wrong", UNKNOWN_FIELDS, ids=lambda wrong: wrong.title)
def test_an_unknown_field_is_refused_by_name(
    module_namespace: Namespace, wrong: UnknownField
) -> None:
    """With strict validation a field that does not exist is named."""
    manifest = RefusedSpec(wrong.title, wrong.spec, wrong.field, "").manifest()
    assert f'unknown field "{wrong.field}"' in refusal(module_namespace, manifest)


@pytest.mark.parametrize(
    "example", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda example: example.name
)
def test_an_example_is_accepted(module_namespace: Namespace, example: Path) -> None:
    """Every example passes the real API server's strict validation."""
    module_namespace.kubectl(
        "create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=example.read_text()
    )


def test_every_field_is_one_that_a_deployment_takes(module_namespace: Namespace) -> None:
    """What the schema accepts, the API server accepts in the Deployment that is made of it."""
    manifest = yaml.safe_load((ROOT / "examples/every-field.yaml").read_text())
    metadata = {"namespace": module_namespace.name, "uid": "e2e"}
    resource = LLMDeployment.parse(manifest | {"metadata": manifest["metadata"] | metadata})
    revision = make_revision(revisioned_part(resource.spec), CURRENT_RENDERER, "server:1")
    identity = Identity(module_namespace.name, resource.metadata.name, resource.metadata.uid)
    response = module_namespace.cluster.api.post(
        DEPLOYMENT.path(module_namespace.name),
        params={"dryRun": "All", "fieldValidation": "Strict"},
        json=render_deployment(identity, revision, replicas=1),
    )
    assert response.is_success, response.json()["message"]


def test_the_crd_is_within_the_api_servers_limits(cluster: Cluster) -> None:
    """The API server takes the CRD: structural, its rules cheap enough, its size small enough."""
    text = (ROOT / "crds/llmdeployments.yaml").read_text()
    manifest = yaml.safe_load(text)
    # A name of its own: an update would not estimate again the cost of rules that are stored.
    manifest["spec"]["group"] = f"dry-run.{GROUP}"
    manifest["metadata"]["name"] = f"{LLM_DEPLOYMENT.plural}.dry-run.{GROUP}"
    response = cluster.api.post(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        params={"dryRun": "All", "fieldValidation": "Strict"},
        json=manifest,
    )
    assert response.is_success, response.json()["message"]
    assert len(json.dumps(manifest)) < STORED_LIMIT
    assert "warning" not in response.headers


def test_the_crd_is_served_as_structural(cluster: Cluster) -> None:
    """The installed CRD has no condition NonStructuralSchema and is established."""
    name = f"{LLM_DEPLOYMENT.plural}.{GROUP}"
    found = cluster.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
    assert found is not None
    conditions = {entry["type"]: entry["status"] for entry in found["status"]["conditions"]}
    assert conditions.get("Established") == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"
