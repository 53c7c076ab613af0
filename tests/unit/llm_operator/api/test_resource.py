from typing import Any

import pytest

from llm_operator.api.resource import LLMDeployment, SpecInvalid

METADATA = {
    "name": "chat",
    "namespace": "team",
    "uid": "u-1",
    "generation": 3,
    "resourceVersion": "17",
    "annotations": {"a": "b"},
    "managedFields": [{"manager": "kubectl", "subresource": "scale"}],
}
SPEC = {"model": {"source": "builtin://tiny"}}


def resource(**parts: Any) -> dict[str, Any]:
    """Return a resource as the API server does."""
    return {"metadata": METADATA, "spec": SPEC, **parts}


def test_a_resource_is_read_with_its_metadata() -> None:
    """The operator needs who it is, which generation, and who manages which field."""
    parsed = LLMDeployment.parse(resource(status={"replicas": 2}))
    assert (parsed.metadata.name, parsed.metadata.namespace) == ("chat", "team")
    assert (parsed.metadata.uid, parsed.metadata.generation) == ("u-1", 3)
    assert parsed.metadata.resource_version == "17"
    assert parsed.metadata.managed_fields == ({"manager": "kubectl", "subresource": "scale"},)
    assert parsed.status.replicas == 2


def test_an_unknown_field_is_ignored_when_read() -> None:
    """An object that an earlier release stored is still served."""
    parsed = LLMDeployment.parse(resource(spec=SPEC | {"retired": 1}))
    assert parsed.spec.model.source == "builtin://tiny"


@pytest.mark.parametrize(
    ("spec", "field", "allowed"),
    [
        ({}, "spec.model", ""),
        (None, "spec", ""),
        (SPEC | {"replicas": -1}, "spec.replicas", "0 or more"),
        (SPEC | {"replicas": "3"}, "spec.replicas", ""),
        (SPEC | {"rollout": {"strategy": "Fast"}}, "spec.rollout.strategy", "'BlueGreen'"),
        (SPEC | {"server": {"env": [{"value": "x"}]}}, "spec.server.env[0].name", ""),
        (SPEC | {"server": {"args": ["x"] * 65}}, "spec.server.args", "64 or less long"),
        (
            SPEC | {"resources": {"limits": {"memory": "much"}}},
            "spec.resources.limits.memory",
            "matches",
        ),
    ],
)
def test_a_wrong_spec_names_the_field_and_what_is_allowed(
    spec: Any, field: str, allowed: str
) -> None:
    """An object that is older than the schema says what is wrong with it."""
    with pytest.raises(SpecInvalid) as refusal:
        LLMDeployment.parse(resource(spec=spec))
    assert refusal.value.field == field
    assert allowed in refusal.value.allowed
    assert str(refusal.value).startswith(f"{field}: ")


def test_a_spoilt_status_does_not_make_a_spec_invalid() -> None:
    """The status is the operator's own affair."""
    assert LLMDeployment.parse(resource(status={"replicas": "many"})).status.replicas is None
