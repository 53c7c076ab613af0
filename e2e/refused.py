"""The shapes of a wrong spec, for the tables of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = Mapping[str, Any]

MODEL: Final[Json] = {"source": "builtin://simulated"}


@dataclass(frozen=True, slots=True)
class RefusedSpec:
    """One wrong resource."""

    title: str
    spec: Json
    field: str
    """The path that the refusal names."""
    allowed: str
    """Part of the API server's message that says what is allowed."""
    name: str = "refused"

    def manifest(self) -> dict[str, Any]:
        """Return the whole object."""
        return {
            "apiVersion": "serving.llm-operator.io/v1alpha1",
            "kind": "LLMDeployment",
            "metadata": {"name": self.name},
            "spec": dict(self.spec),
        }


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A spec with a field that does not exist."""

    title: str
    field: str
    spec: Json


def spec_with(**fields: object) -> Json:
    """Return a spec that is right but for ``fields``."""
    return {"model": MODEL, **fields}
