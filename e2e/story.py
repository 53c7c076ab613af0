"""Given, when, then: what the tests say to a cluster and how they wait for its answers.

Reads go to the API server over HTTP (``kubectl proxy`` on a unix socket); what a user would type
goes through kubectl. Nothing here knows how the cluster came up.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import yaml

import e2e.cluster
from e2e.cluster import CommandFailed
from llm_operator import kinds
from llm_operator.api.status import RolloutPhase
from llm_operator.kinds import ResourceKind

Manifest = dict[str, Any]
T = TypeVar("T")
POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Condition:
    """One entry of ``status.conditions``; absent ones have status ``Absent``."""

    status: str = "Absent"
    reason: str = ""
    message: str = ""


def condition_of(status: Manifest, type_: str) -> Condition:
    """Return a condition of a status."""
    for found in status.get("conditions", []):
        if found["type"] == type_:
            return Condition(found["status"], found["reason"], found.get("message", ""))
    return Condition()


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster with the operator in it."""

    backend: e2e.cluster.Cluster
    api: httpx.Client
    images: e2e.cluster.Images

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it prints; raises e2e.cluster.CommandFailed."""
        return self.backend.kubectl(*arguments, stdin=stdin)

    def get(self, path: str) -> Manifest | None:
        """Return the JSON at a path of the API server; None when it answers 404."""
        response = self.api.get(path)
        if response.status_code == 404:
            return None
        assert response.is_success, f"GET {path}: {response.status_code} {response.text[:500]}"
        found: Manifest = response.json()
        return found


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace of a cluster and everything a test does in it."""

    cluster: Cluster
    name: str

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in this namespace and return what it prints; raises CommandFailed."""
        return self.cluster.kubectl("-n", self.name, *arguments, stdin=stdin)

    def apply(self, manifest: Manifest, *flags: str) -> str:
        """Apply server-side, as ``kubectl apply --server-side`` does."""
        arguments = ("apply", "--server-side", *flags, "-f", "-")
        return self.kubectl(*arguments, stdin=yaml.safe_dump(manifest))

    def apply_client_side(self, manifest: Manifest) -> str:
        """Apply with the last-applied annotation, as plain ``kubectl apply`` does."""
        return self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(manifest))

    def get(self, kind: ResourceKind, name: str) -> Manifest | None:
        """Return one object; None when there is none."""
        return self.cluster.get(kind.path(self.name, name))

    def objects(self, kind: ResourceKind, selector: str = "") -> list[Manifest]:
        """Return the objects of a kind that a label selector matches."""
        response = self.cluster.api.get(kind.path(self.name), params={"labelSelector": selector})
        assert response.is_success, response.text[:500]
        items: list[Manifest] = response.json()["items"]
        return items

    def objects_named(self, plural: str) -> list[str]:
        """Return the names of the objects of a plural, as kubectl knows it."""
        return self.kubectl("get", plural, "-o", "jsonpath={.items[*].metadata.name}").split()

    def patch(self, kind: ResourceKind, name: str, body: Manifest, subresource: str = "") -> None:
        """Merge-patch one object as the manager ``by-hand``."""
        path = kind.path(self.name, name) + (f"/{subresource}" if subresource else "")
        response = self.cluster.api.patch(
            path,
            params={"fieldManager": "by-hand"},
            content=json.dumps(body),
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert response.is_success, f"PATCH {path}: {response.status_code} {response.text[:500]}"

    def delete(self, kind: ResourceKind, name: str) -> None:
        """Delete one object in the background, at once where that is asked by its own grace."""
        response = self.cluster.api.delete(kind.path(self.name, name))
        assert response.is_success, response.text[:500]

    def resource(self, name: str) -> Manifest:
        """Return an LLMDeployment that must exist."""
        found = self.get(kinds.LLM_DEPLOYMENT, name)
        assert found is not None, f"there is no LLMDeployment {self.name}/{name}"
        return found

    def status(self, name: str) -> Manifest:
        """Return the status of an LLMDeployment, empty before the operator has written it."""
        status: Manifest = self.resource(name).get("status", {})
        return status

    def condition(self, name: str, type_: str) -> Condition:
        """Return a condition of an LLMDeployment."""
        return condition_of(self.status(name), type_)

    def children(self, kind: ResourceKind, name: str) -> list[Manifest]:
        """Return the objects of a kind that carry an LLMDeployment's instance label."""
        return self.objects(kind, f"{kinds.INSTANCE_LABEL}={name},{kinds.WATCH_SELECTOR}")

    def kinds_of_children(self, name: str) -> set[str]:
        """Return the kinds of which an LLMDeployment has objects here, pods among them."""
        watched = [kind for kind in kinds.WATCHED_KINDS if kind not in kinds.OPTIONAL_KINDS]
        return {kind.kind for kind in watched if self.children(kind, name)}

    def live_pods(self, name: str) -> list[Manifest]:
        """Return an LLMDeployment's pods that are neither ending nor ended."""
        return [
            pod
            for pod in self.objects(kinds.POD, f"{kinds.INSTANCE_LABEL}={name}")
            if "deletionTimestamp" not in pod["metadata"]
            and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        ]

    def endpoints(self, name: str) -> set[str]:
        """Return the names of the pods that a Service sends requests to."""
        return {
            endpoint["targetRef"]["name"]
            for piece in self.objects(kinds.ENDPOINT_SLICE, f"kubernetes.io/service-name={name}")
            for endpoint in piece.get("endpoints") or []
            if endpoint["conditions"].get("ready") and endpoint.get("targetRef")
        }

    def settled(self, name: str) -> bool:
        """Whether the resource is Ready and its status speaks of the spec as it is now."""
        resource = self.resource(name)
        status = resource.get("status", {})
        return (
            status.get("observedGeneration") == resource["metadata"]["generation"]
            and condition_of(status, "Ready").status == "True"
            and condition_of(status, "Progressing").status != "True"
        )

    def is_rolling(self, name: str) -> bool:
        """Whether a change of revision, or the way back from one, is under way."""
        phase = self.status(name).get("rollout", {}).get("phase", RolloutPhase.STABLE)
        return phase not in (RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK)

    def until(self, rule: str, probe: Callable[[], T | None], *, within_seconds: float) -> T:
        """Poll until a probe's answer is true and return it.

        Raises AssertionError with the rule, the last answer or error and the state of every
        LLMDeployment here once the deadline has passed.
        """
        started, last = time.monotonic(), "nothing"
        while True:
            try:
                answer = probe()
                if answer:
                    return answer
                last = repr(answer)
            except (AssertionError, LookupError, CommandFailed, httpx.HTTPError) as error:
                last = repr(error)
            if time.monotonic() - started > within_seconds:
                told = f"not within {within_seconds:.0f} s: {rule}; last: {last[:2000]}"
                raise AssertionError(f"{told}\n{self.picture()}")
            time.sleep(POLL_SECONDS)

    def until_settled(self, name: str, *, within_seconds: float = 90) -> Manifest:
        """Wait until the resource is Ready for its current spec and return it."""
        self.until(f"{name} is Ready", lambda: self.settled(name), within_seconds=within_seconds)
        return self.resource(name)

    def until_quiet(self, name: str, *, for_seconds: float = 5) -> None:
        """Wait until nobody has written the LLMDeployment, its status included, for a while."""
        seen = {"": time.monotonic()}

        def quiet() -> bool:
            version = self.resource(name)["metadata"]["resourceVersion"]
            if version not in seen:
                seen.clear()
            return time.monotonic() - seen.setdefault(version, time.monotonic()) > for_seconds

        self.until(f"{name} is left alone", quiet, within_seconds=60)

    def picture(self) -> str:
        """Return the LLMDeployments' states and the pods of this namespace, for a failure."""
        lines = [f"in namespace {self.name}:"]
        for resource in self.objects(kinds.LLM_DEPLOYMENT):
            status = json.dumps(resource.get("status", {}), sort_keys=True)
            lines.append(f"  LLMDeployment {resource['metadata']['name']}: {status[:4000]}")
        for pod in self.objects(kinds.POD):
            states = pod.get("status", {}).get("containerStatuses", [])
            brief = [{"ready": s["ready"], "state": s["state"]} for s in states]
            phase = pod.get("status", {}).get("phase")
            lines.append(f"  Pod {pod['metadata']['name']}: {phase} {json.dumps(brief)[:600]}")
        return "\n".join(lines)
