"""Builders of the objects that tests speak about; they show only what matters."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from llm_operator import kinds
from llm_operator.observation import Environment

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CREATED = "2026-01-01T11:00:00Z"
ENVIRONMENT = Environment("llm-server:1", renderer=1)


def an_llm_deployment(
    name: str = "chat", status: Mapping[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """Return an LLMDeployment as the API server stores it, with the schema's defaults."""
    defaults: dict[str, Any] = {
        "model": {"source": "builtin://simulated"},
        "replicas": 1,
        "service": {"type": "ClusterIP", "port": 80},
        "rollout": {
            "strategy": "BlueGreen",
            "bakeSeconds": 10,
            "progressDeadlineSeconds": 1800,
            "revisionHistoryLimit": 10,
        },
    }
    return {
        "apiVersion": kinds.LLM_DEPLOYMENT.api_version,
        "kind": kinds.LLM_DEPLOYMENT.kind,
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": CREATED,
        },
        "spec": {**defaults, **spec},
        **({"status": dict(status)} if status else {}),
    }


def a_pod(
    revision: str,
    name: str = "pod-1",
    *,
    instance: str = "chat",
    ready: bool = True,
    **status: Any,
) -> dict[str, Any]:
    """Return a pod of a revision; ``status`` overrides parts of its status."""
    conditions = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Ready", "status": "True" if ready else "False"},
    ]
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {kinds.INSTANCE_LABEL: instance, kinds.REVISION_LABEL: revision},
        },
        "status": {"phase": "Running", "conditions": conditions, **status},
    }
