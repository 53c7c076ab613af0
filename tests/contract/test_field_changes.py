"""The table of field changes, before it meets a cluster: each one is allowed and a change."""

import copy

import pytest

from e2e.field_changes import CHOSEN, FieldChange, example_spec, field_changes
from llm_operator import kinds
from llm_operator.api.resource import LLMDeployment
from llm_operator.api.spec import Spec
from llm_operator.api.validate import RenderedNames, find_violations
from llm_operator.desired.pod import RENDERED_MOUNT_PATHS, RENDERED_VOLUMES

CHANGES = list(field_changes())


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.path)
def test_a_changed_field_is_allowed_and_different(change: FieldChange) -> None:
    """The spec parses strictly, breaks no rule, and is not the one before."""
    before = example_spec()
    after = copy.deepcopy(before) | {change.top: change.value}
    manifest = {
        "apiVersion": kinds.LLM_DEPLOYMENT.api_version,
        "kind": kinds.LLM_DEPLOYMENT.kind,
        "metadata": {"name": "x", "namespace": "default", "uid": "u"},
        "spec": after,
    }

    Spec.model_validate(after, extra="forbid")
    violations = find_violations(
        LLMDeployment.parse(manifest), RenderedNames(RENDERED_VOLUMES, RENDERED_MOUNT_PATHS)
    )

    assert violations == ()
    assert Spec.model_validate(after) != Spec.model_validate(before)


def test_every_chosen_value_is_used() -> None:
    """No entry of the table names a field that is not there."""
    assert set(CHOSEN) <= {change.path for change in CHANGES}
