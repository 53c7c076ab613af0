"""The two operators that are compared, and everything in which they differ.

Both are one process of this machine's Python with an identity, a namespace and resources of their
own; both look after that namespace only. Pure data; ``arena`` prepares the ground, ``trial`` runs.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from llm_operator import kinds
from llm_operator.kinds import ResourceKind

SERVICE_ACCOUNT: Final = "operator-under-test"
PEER_KIND: Final = ResourceKind(
    "plain-kopf.llm-operator.io", kinds.VERSION, kinds.LLM_DEPLOYMENT.plural, "LLMDeployment"
)
"""The same schema in a group of its own, so that each operator has its own resources."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One operator under test."""

    title: str
    namespace: str
    """Where its account and its resources are; made and removed by the benchmark."""
    kind: ResourceKind
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def user(self) -> str:
        """The name that the audit log knows it by."""
        return f"system:serviceaccount:{self.namespace}:{SERVICE_ACCOUNT}"

    def resource(self, name: str) -> dict[str, Any]:
        """Return a manifest that starts no pod."""
        return {
            "apiVersion": self.kind.api_version,
            "kind": self.kind.kind,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"model": {"source": "builtin://simulated"}, "replicas": 0},
        }


def product(probe_port: int) -> Contender:
    """Return this repository's operator, as its image starts it."""
    namespace = "bench-llm-operator"
    return Contender(
        title="llm-operator",
        namespace=namespace,
        kind=kinds.LLM_DEPLOYMENT,
        command=(sys.executable, "-m", "llm_operator"),
        environment={
            "LLM_OPERATOR_NAMESPACE": namespace,
            "LLM_OPERATOR_WATCH_NAMESPACE": namespace,
            "LLM_OPERATOR_PROBE_PORT": str(probe_port),
            "LLM_OPERATOR_LOG_FORMAT": "json",
        },
    )


def plain_kopf() -> Contender:
    """Return the usual kopf operator (``plain_kopf``), with kopf's own settings."""
    namespace = "bench-plain-kopf"
    run = ("-m", "kopf", "run", "--standalone", f"--namespace={namespace}")
    return Contender(
        title="plain kopf",
        namespace=namespace,
        kind=PEER_KIND,
        command=(sys.executable, *run, "-m", "benchmarks.plain_kopf"),
    )
