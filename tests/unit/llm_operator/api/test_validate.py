from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.reasons import Reason
from llm_operator.api.resource import LLMDeployment
from llm_operator.api.validate import RenderedNames, Violation, find_violations
from llm_server.contract import Setting

RENDERED = RenderedNames(frozenset({"llm-cache"}), frozenset({"/var/cache/llm-server"}))
SETTINGS = st.sampled_from(Setting)


def violations(name: str = "chat", **spec: Any) -> tuple[Violation, ...]:
    """Return what is wrong with a resource with these fields."""
    model = {"source": "builtin://tiny"}
    obj = {"metadata": {"name": name, "namespace": "d"}, "spec": {"model": model, **spec}}
    return find_violations(LLMDeployment.parse(obj), RENDERED)


def pod(**settings: Any) -> dict[str, Any]:
    """Return the part of a spec that sets something of the pods."""
    return {"podTemplate": {"spec": settings}}


@given(SETTINGS, st.sampled_from(["{}", "{}=x", "{}= "]), st.booleans())
def test_a_flag_of_the_operator_is_refused_in_every_spelling(
    setting: Setting, spelling: str, underscores: bool
) -> None:
    """--flag value, --flag=value and --flag_with_underscores are one flag."""
    flag = setting.flag.replace("-", "_").replace("__", "--") if underscores else setting.flag
    found = violations(server={"args": ["--other", spelling.format(flag)]})
    assert [(entry.reason, entry.field) for entry in found] == [
        (Reason.OWNED_FLAG, "spec.server.args[1]")
    ]


@given(SETTINGS)
def test_a_variable_of_the_operator_is_refused(setting: Setting) -> None:
    """A setting has one place, whichever way it is spelled."""
    found = violations(server={"env": [{"name": setting.env, "value": "1"}]})
    assert [(entry.reason, entry.field) for entry in found] == [
        (Reason.OWNED_FLAG, "spec.server.env[0].name")
    ]


def test_a_refused_flag_names_the_field_to_use() -> None:
    """The reader learns where the setting belongs."""
    (found,) = violations(server={"args": ["--max-model-len=2048"]})
    assert str(found) == (
        "spec.server.args[0]: --max-model-len is set by the operator; use spec.model.maxModelLen"
    )


@pytest.mark.parametrize("argument", ["--log-level=debug", "model", "--modelling", "-m"])
def test_other_arguments_are_the_users(argument: str) -> None:
    """Only whole flags of the operator are refused."""
    assert violations(server={"args": [argument]}) == ()


def test_a_token_has_one_source() -> None:
    """HF_TOKEN in env is fine until credentialsSecretRef sets it too."""
    env = {"env": [{"name": "HF_TOKEN", "value": "t"}]}
    credentials = {"source": "hf://a/b", "credentialsSecretRef": {"name": "t", "key": "t"}}
    assert violations(server=env) == ()
    (found,) = violations(server=env, model=credentials)
    assert found.field == "spec.server.env[0].name"


def test_a_rendered_volume_name_is_refused() -> None:
    """Two volumes of one name would make the Deployment invalid."""
    (found,) = violations(**pod(volumes=[{"name": "llm-cache", "emptyDir": {}}]))
    assert (found.reason, found.field) == (
        Reason.OWNED_NAME,
        "spec.podTemplate.spec.volumes[0].name",
    )


@pytest.mark.parametrize("path", ["/var/cache/llm-server", "/var/cache/llm-server/"])
def test_a_rendered_mount_path_is_refused(path: str) -> None:
    """Nothing is mounted over what the operator mounts."""
    (found,) = violations(
        **pod(
            volumes=[{"name": "mine", "emptyDir": {}}],
            volumeMounts=[{"name": "mine", "mountPath": path}],
        )
    )
    assert (found.reason, found.field) == (
        Reason.OWNED_NAME,
        "spec.podTemplate.spec.volumeMounts[0].mountPath",
    )


def test_all_violations_are_told_at_once() -> None:
    """Nobody corrects a spec one refusal at a time."""
    found = violations(
        name="3chat",
        server={"args": ["--model=x"], "env": [{"name": "A"}]},
        **pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
    )
    assert [entry.field for entry in found] == [
        "metadata.name",
        "spec.server.env[0]",
        "spec.podTemplate.spec.volumes[0].hostPath",
        "spec.podTemplate.spec.volumes[0]",
        "spec.server.args[0]",
    ]


def test_a_plain_resource_has_no_violation() -> None:
    """The least that one can write is allowed."""
    assert violations() == ()
