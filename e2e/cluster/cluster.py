"""A running cluster, as tests, the demo and benchmarks use it.

Every command runs where the cluster's API server answers, with KUBECONFIG set. How a cluster comes
and goes is in `lifecycle`.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from e2e.cluster import audit, commands
from e2e.cluster.audit import AuditMark
from e2e.cluster.commands import Outcome
from e2e.cluster.diagnose import diagnose
from e2e.cluster.docker_engine import DockerEngine
from e2e.cluster.engine import ContainerTool, Engine
from e2e.cluster.paths import DEFAULT_NAME, ClusterFiles
from e2e.cluster.podman_engine import PodmanEngine

_FIELD_MANAGER = "e2e"


class ClusterMissing(LookupError):
    """There is no complete cluster of this name."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A kind cluster by name, and the container tool that runs it."""

    name: str
    engine: Engine

    @classmethod
    def existing(cls, name: str = DEFAULT_NAME) -> "Cluster":
        """Return the cluster that `up` made.

        Raises:
            ClusterMissing: `up` has not been run for this name, or did not finish.
        """
        files = ClusterFiles.of(name)
        if not files.facts.exists():
            msg = f"no cluster {name!r}: make one with `python -m e2e.cluster up --name {name}`"
            raise ClusterMissing(msg)
        facts = json.loads(files.facts.read_text())
        if facts["tool"] == ContainerTool.DOCKER:
            return cls(name, DockerEngine())
        return cls(name, PodmanEngine(Path(facts["programs"])))

    @property
    def files(self) -> ClusterFiles:
        """Where its kubeconfig, logs and settings lie."""
        return ClusterFiles.of(self.name)

    @property
    def kubeconfig(self) -> Path:
        """Of a user who may do everything. Works only for commands that go through this class."""
        return self.files.kubeconfig

    @property
    def node(self) -> str:
        """The name of the only node, and of the container that is it."""
        return f"{self.name}-control-plane"

    def argv(self, *command: str) -> list[str]:
        """Return `command` with what puts it into the cluster's network."""
        return [*self.engine.prefix(self.name), *command]

    def environment(self) -> dict[str, str]:
        """Return the environment that goes with `argv`."""
        return {**self.engine.environment(self.name), "KUBECONFIG": str(self.kubeconfig)}

    def attempt(
        self, *command: str, stdin: str | None = None, timeout_seconds: float = 120
    ) -> Outcome:
        """Run a command and return how it ended, whatever its exit status."""
        return commands.attempt(
            *self.argv(*command),
            stdin=stdin,
            env=self.environment(),
            timeout_seconds=timeout_seconds,
        )

    def run(self, *command: str, stdin: str | None = None, timeout_seconds: float = 120) -> str:
        """Run a command and return its standard output.

        Raises:
            CommandFailed: Its exit status was not 0.
            CommandTimeout: It ran longer than `timeout_seconds`.
        """
        outcome = self.attempt(*command, stdin=stdin, timeout_seconds=timeout_seconds)
        if not outcome.ok:
            raise commands.CommandFailed(outcome)
        return outcome.stdout

    def popen(
        self,
        *command: str,
        stdout: int | IO[Any] = subprocess.PIPE,
        stderr: int | IO[Any] = subprocess.STDOUT,
    ) -> subprocess.Popen[str]:
        """Start a command that stays, in a process group of its own; the caller ends it."""
        return subprocess.Popen(
            self.argv(*command),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
            env=self.environment(),
            start_new_session=True,
        )

    def kubectl(self, *args: str, stdin: str | None = None, timeout_seconds: float = 120) -> str:
        """Run kubectl; raises as `run` does."""
        return self.run("kubectl", *args, stdin=stdin, timeout_seconds=timeout_seconds)

    def helm(self, *args: str, stdin: str | None = None, timeout_seconds: float = 300) -> str:
        """Run helm; raises as `run` does."""
        return self.run("helm", *args, stdin=stdin, timeout_seconds=timeout_seconds)

    def apply(self, manifest: str | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
        """Apply YAML text, an object or several objects on the server's side, as manager `e2e`."""
        return self.kubectl(
            *("apply", "--server-side", "--force-conflicts", f"--field-manager={_FIELD_MANAGER}"),
            *("-f", "-"),
            stdin=_as_text(manifest),
        )

    def get_json(self, *args: str) -> dict[str, Any]:
        """Return `kubectl get ARGS -o json`."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *args, "-o", "json"))
        return found

    def delete(self, *args: str) -> str:
        """Delete objects and wait until they are gone; those that are not there count as gone."""
        return self.kubectl("delete", "--ignore-not-found", "--wait", *args, timeout_seconds=300)

    def audit_mark(self) -> AuditMark:
        """Return the end of the API server's audit log, for `audit_events`."""
        return audit.mark_of(self.files.audit)

    def audit_events(self, since: AuditMark | None = None) -> list[dict[str, Any]]:
        """Return the audit events after `since`; raises as `audit.events_since` does."""
        return audit.events_since(self.files.audit, since)

    def node_exec(self, *command: str, timeout_seconds: float = 60) -> str:
        """Run a command on the node as root; raises as `run` does."""
        tool = self.engine.tool.value
        return self.run(tool, "exec", self.node, *command, timeout_seconds=timeout_seconds)

    def fake_accelerator(self, resource_name: str, count: int) -> None:
        """Have the node offer `count` devices that do not exist, so that pods are placed."""
        self._patch_resources({resource_name: str(count)})

    def remove_accelerator(self, resource_name: str) -> None:
        """Take back what `fake_accelerator` offered."""
        self._patch_resources({resource_name: None})

    def diagnose(self, directory: Path) -> None:
        """Write what one needs to understand a failure below `directory`."""
        diagnose(self, directory)

    def _patch_resources(self, resources: Mapping[str, str | None]) -> None:
        patch = {"status": {"capacity": resources, "allocatable": resources}}
        flags = ("--subresource=status", "--type=merge", "-p", json.dumps(patch))
        self.kubectl("patch", "node", self.node, *flags)


def _as_text(manifest: str | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(manifest, str):
        return manifest
    if isinstance(manifest, Mapping):
        return json.dumps(manifest)
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifest)})
