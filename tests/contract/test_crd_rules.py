"""The operator refuses what the API server refuses: for objects that are older than a rule."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.refused import RefusedSpec
from e2e.refused_specs import REFUSED
from llm_operator.api import crd
from llm_operator.api.resource import LLMDeployment, SpecInvalid
from llm_operator.api.schema import ApiModel
from llm_operator.api.validate import RenderedNames, find_violations

NOTHING_RENDERED = RenderedNames(frozenset(), frozenset())


def refused_fields(manifest: dict[str, Any]) -> list[str]:
    """Return the fields that the operator's own mirror complains about."""
    manifest["metadata"]["namespace"] = "default"
    try:
        resource = LLMDeployment.parse(manifest)
    except SpecInvalid as refusal:
        return [refusal.field]
    return [violation.field for violation in find_violations(resource, NOTHING_RENDERED)]


@pytest.mark.parametrize("wrong", REFUSED, ids=lambda wrong: wrong.title)
def test_the_operator_refuses_the_same_specs_by_the_same_field(wrong: RefusedSpec) -> None:
    """Bounds by the models, CEL rules by their mirror, under one path."""
    assert wrong.field in refused_fields(wrong.manifest())


def models() -> Iterator[type[ApiModel]]:
    """Yield every model of the API."""
    pending = list(ApiModel.__subclasses__())
    while pending:
        found = pending.pop()
        pending += found.__subclasses__()
        if found.__module__.startswith("llm_operator.api."):
            yield found


def test_every_rule_travels_to_the_schema() -> None:
    """A rule that stood in a model only would be found out late, in status."""
    schema = json.dumps(crd.resource_schema(), ensure_ascii=False)
    for model in models():
        for rule in model.rules:
            assert json.dumps(rule.cel, ensure_ascii=False) in schema


def test_every_message_says_what_is_allowed_in_one_line() -> None:
    """The API server refuses line breaks in messages, and readers refuse riddles."""
    messages = [rule.message for model in models() for rule in model.rules]
    assert len(messages) > 20
    assert all(len(message) > 20 and "\n" not in message for message in messages)
