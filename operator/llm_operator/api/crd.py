"""The CustomResourceDefinition as a whole: names, columns, subresources around the schema."""

from typing import Any, Final

from llm_operator import kinds
from llm_operator.api.resource import LLMDeployment
from llm_operator.api.structural import to_structural

SHORT_NAME: Final = "llmd"
CATEGORY: Final = "llm"


def definition() -> dict[str, Any]:
    """Return the CRD of LLMDeployment."""
    kind = kinds.LLM_DEPLOYMENT
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "names": {
                "categories": [CATEGORY],
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "shortNames": [SHORT_NAME],
                "singular": kind.kind.lower(),
            },
            "scope": "Namespaced",
            "versions": [_version(kind.version)],
        },
    }


def _version(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": _columns(),
        "subresources": {
            "scale": {
                "labelSelectorPath": ".status.selector",
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
            },
            "status": {},
        },
        "schema": {"openAPIV3Schema": resource_schema()},
    }


def resource_schema() -> dict[str, Any]:
    """Return the structural schema; metadata is the API server's and is not in it.

    The status has no default: an object that was never looked at has none.
    """
    schema = LLMDeployment.model_json_schema()
    del schema["properties"]["metadata"]
    del schema["properties"]["status"]["default"]
    schema["required"] = ["spec"]
    return to_structural(schema)


def _columns() -> list[dict[str, Any]]:
    return [
        _column("Phase", "string", ".status.phase", "What is going on, in one word"),
        _column("Ready", "integer", ".status.readyReplicas", "Ready pods that take traffic"),
        _column("Replicas", "integer", ".status.desiredReplicas", "Pods asked for"),
        _column("Rollout", "string", ".status.rollout.phase", "Where a rollout is"),
        _column("Weight", "integer", ".status.rollout.weightPercent", "Percent for its revision"),
        _column("Revision", "string", ".status.stableRevision", "Revision that takes traffic"),
        _column("Model", "string", ".spec.model.source", "Where the model comes from"),
        _column("Age", "date", ".metadata.creationTimestamp", "Time since the resource was made"),
        _wide("Reason", ".status.conditions[?(@.type=='Ready')].reason", "Why Ready is as it is"),
        _wide("Target", ".status.rollout.target", "Revision that was started last"),
        _wide("Endpoint", ".status.endpoint", "URL of the API inside the cluster"),
    ]


def _column(name: str, type_: str, json_path: str, description: str) -> dict[str, Any]:
    return {"name": name, "type": type_, "jsonPath": json_path, "description": description}


def _wide(name: str, json_path: str, description: str) -> dict[str, Any]:
    return _column(name, "string", json_path, description) | {"priority": 1}
