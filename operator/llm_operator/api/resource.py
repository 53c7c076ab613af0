"""The LLMDeployment as it is read from the API server, and the one error of reading it.

``parse`` is the edge: inside, the models are typed and frozen. The API server has checked the
schema already, so a refusal here means an object that is older than the schema, or another
release's CRD.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from llm_operator.api.schema import ApiModel, Rule
from llm_operator.api.spec import Spec
from llm_operator.api.status import Status

NAME_LIMIT: Final = 37
"""37 + "-" + 8 (hash) + "-" + 10 + "-" + 5 (ReplicaSet, pod) = 63, the limit of a DNS label."""

CANARY_SUFFIX: Final = "-canary"
"""What the Service of a new revision has after the resource's name, where it has one of its own."""

_NAME_PATTERN: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"


class SpecInvalid(ValueError):
    """The spec is not what the API allows: which field, what is wrong, what is allowed."""

    def __init__(self, field: str, message: str, allowed: str = "") -> None:
        super().__init__(f"{field}: {message}" + (f"; allowed: {allowed}" if allowed else ""))
        self.field = field
        self.message = message
        self.allowed = allowed


class Metadata(BaseModel):
    """What the operator needs of an object's metadata; written by the API server alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    name: str
    namespace: str
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    deletion_timestamp: str | None = None
    annotations: Mapping[str, str] = Field(default_factory=dict)
    managed_fields: tuple[Mapping[str, Any], ...] = ()


class LLMDeployment(ApiModel):
    """One language model behind one stable address."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "metadata.name must be a DNS label that starts with a letter, at most"
            f" {NAME_LIMIT} characters of a-z, 0-9 and -: it names a Service and pods",
            f"self.metadata.name.size() <= {NAME_LIMIT}"
            f" && self.metadata.name.matches('^{_NAME_PATTERN}$')",
            lambda self: _is_name(self.metadata.name),
        ),
        Rule(
            "",
            f"metadata.name must not end in {CANARY_SUFFIX}: the Service of another resource's new"
            " revision may have that name",
            f"!self.metadata.name.endsWith('{CANARY_SUFFIX}')",
            lambda self: not self.metadata.name.endswith(CANARY_SUFFIX),
        ),
    )

    metadata: Metadata
    """Identity of the object."""
    spec: Spec
    """What is asked for."""
    status: Status = Status()
    """What the operator says about it."""

    @classmethod
    def parse(cls, obj: Mapping[str, Any]) -> Self:
        """Read an object as the API server returns it.

        Raises:
            SpecInvalid: a part of the spec is missing, out of bounds or of the wrong type.
        """
        status = Status.from_json(obj.get("status"))
        try:
            return cls(
                metadata=Metadata.model_validate(obj.get("metadata")),
                spec=Spec.model_validate(obj.get("spec")),
                status=status,
            )
        except ValidationError as error:
            raise _refusal(error.errors()[0]) from error


def _is_name(name: str) -> bool:
    return len(name) <= NAME_LIMIT and re.fullmatch(_NAME_PATTERN, name) is not None


def _refusal(error: ErrorDetails) -> SpecInvalid:
    field = "spec" + "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in error["loc"]
    )
    return SpecInvalid(field, error["msg"], _allowed(error.get("ctx", {})))


def _allowed(context: Mapping[str, Any]) -> str:
    """Say what pydantic's context of an error allows."""
    words = {
        "ge": "{} or more",
        "le": "{} or less",
        "min_length": "{} or more long",
        "max_length": "{} or less long",
        "pattern": "what {} matches",
        "expected": "{}",
    }
    return ", ".join(words[key].format(context[key]) for key in words if key in context)
