"""A person at a command line: runs verbs of the plugin against a model of a cluster.

The resource ``chat`` and its revisions are written as the operator would have left them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from typer.testing import CliRunner, Result

from kubectl_llm.app import make_app
from llm_operator import kinds
from llm_operator.api.resource import LLMDeployment
from llm_operator.api.revisioned import revisioned_part
from llm_operator.desired.identity import Identity
from llm_operator.desired.revision import (
    Record,
    Revision,
    RevisionVerdict,
    make_revision,
    render_controller_revision,
)
from tests.builders import an_llm_deployment
from tests.models.user_cluster import UserCluster

Object = dict[str, Any]
KEY = ("default", "chat")
OPERATOR_IMAGE = "registry.example/team/llm-server:1"


def a_revision(
    number: int,
    verdict: RevisionVerdict | None = RevisionVerdict.PROMOTED,
    reason: str = "",
    **spec: Any,
) -> Revision:
    """Return a kept revision; ``spec`` are the revisioned fields beside the model."""
    resource = LLMDeployment.parse(an_llm_deployment(**spec))
    revision = make_revision(revisioned_part(resource.spec), 1, OPERATOR_IMAGE)
    minute = f"2026-01-01T10:{number:02}"
    record = Record(verdict, reason, f"{minute}:00Z", f"{minute}:30Z")
    return replace(revision, number=number, record=record)


def condition(type_: str, status: str, reason: str, message: str) -> Object:
    """Return a condition as the operator writes it."""
    words = {"type": type_, "status": status, "reason": reason, "message": message}
    return {**words, "lastTransitionTime": "2026-01-01T11:00:00Z"}


class Person:
    """Types commands and reads what they print."""

    def __init__(self, cluster: UserCluster) -> None:
        self.cluster = cluster
        self.api = cluster.model

    def runs(self, *words: str, types: str | None = None) -> Result:
        """Run ``kubectl llm`` with these words on the cluster; ``types`` is what is typed in."""
        return self.runs_bare(*words, "--kubeconfig", str(self.cluster.kubeconfig), types=types)

    def runs_bare(self, *words: str, types: str | None = None) -> Result:
        """Run it with these words only."""
        return CliRunner().invoke(make_app(), list(words), input=types)

    def has(
        self,
        revisions: Iterable[Revision] = (),
        status: Mapping[str, Any] | None = None,
        **spec: Any,
    ) -> Object:
        """Put the resource ``chat`` into the cluster with its kept revisions and status."""
        resource = an_llm_deployment(**spec)
        del resource["metadata"]["uid"], resource["metadata"]["resourceVersion"]
        self.api.create(kinds.LLM_DEPLOYMENT, resource, "kubectl")
        for revision in revisions:
            self.keeps(revision)
        if status is not None:
            self.reports(status)
        return self.resource()

    def keeps(self, revision: Revision) -> None:
        """Keep one more revision of ``chat``."""
        identity = Identity(*KEY, self.resource()["metadata"]["uid"])
        manifest = render_controller_revision(identity, revision)
        self.api.applied(kinds.CONTROLLER_REVISION, manifest)

    def reports(self, status: Mapping[str, Any]) -> None:
        """Let the operator say this about ``chat``."""
        whole = {"observedGeneration": self.resource()["metadata"]["generation"], **status}

        def change(obj: Object) -> None:
            obj["status"] = whole

        self.api.edit(kinds.LLM_DEPLOYMENT, KEY, change, "llm-operator", "status")

    def resource(self) -> Object:
        """Return ``chat`` as the cluster has it."""
        found = self.api.find(kinds.LLM_DEPLOYMENT, *KEY)
        assert found is not None
        return found
