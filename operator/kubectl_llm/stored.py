"""What is read of a stored resource, whichever operator wrote it. Pure."""

from collections.abc import Mapping
from typing import Any

from kubectl_llm.changes import plain_spec
from llm_operator.api.resource import LLMDeployment, SpecInvalid
from llm_operator.api.revisioned import revisioned_part
from llm_operator.api.status import Status


def asked_revision(resource: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the revisioned part of the spec; None where the spec cannot be read."""
    try:
        return revisioned_part(LLMDeployment.parse(resource).spec)
    except SpecInvalid:
        return None


def asked_spec(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole spec in its plain form; as it is stored where it cannot be read."""
    try:
        return plain_spec(LLMDeployment.parse(resource).spec)
    except SpecInvalid:
        return dict(resource.get("spec") or {})


def status_of(resource: Mapping[str, Any]) -> Status:
    """Return the status, without what this release cannot understand of it."""
    return Status.from_json(resource.get("status"))
