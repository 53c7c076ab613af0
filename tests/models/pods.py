"""The controllers of a cluster, as far as a rollout sees them: Deployments, endpoints, Gateways.

Each call of ``run`` is one turn: pods are made, get ready, or begin to end; those that were ending
are gone; slices and routes follow. What the pods of a model do is told by its source.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from llm_operator import kinds
from tests.builders import a_pod
from tests.models.apiserver import ApiServerModel
from tests.models.traffic import a_slice, answers

NAMESPACE = "default"
PODS_MAX = 64


@dataclass(slots=True)
class Cluster:
    """Controllers on one API server."""

    api: ApiServerModel
    broken_sources: set[str] = field(default_factory=set)
    """Models whose pods never get ready."""
    crashing_sources: set[str] = field(default_factory=set)
    """Models whose server ends with an error, again and again."""
    room: int = PODS_MAX
    """Pods that fit; more of them stay pending."""
    image_id: str = ""
    """What the kubelet reports of the server's image from now on."""
    made: int = 0
    pods_most: int = 0
    """The most pods that existed at once."""

    def __post_init__(self) -> None:
        """Give the cluster its one node."""
        node = {
            "metadata": {"name": "node-1", "namespace": ""},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        self.api.create(kinds.NODE, node, "kubelet")

    def run(self, now: datetime) -> None:
        """Take one turn."""
        self._end_pods()
        for deployment in self.all(kinds.DEPLOYMENT):
            self._scale(deployment, now)
        self._drop_orphans()
        self._make_ready(now)
        self._fill_slices()
        self._answer_for_routes()
        self.pods_most = max(self.pods_most, len(self.all(kinds.POD)))

    def all(self, kind: kinds.ResourceKind) -> list[dict[str, Any]]:
        """Return the objects of a kind."""
        return [obj for (other, _, _), obj in self.api.objects.items() if other == kind]

    def pods_of(self, deployment: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the pods of a Deployment that are not ending, ready ones first."""
        name = deployment["metadata"]["name"]
        own = [
            pod
            for pod in self.all(kinds.POD)
            if owner_of(pod) == name and "deletionTimestamp" not in pod["metadata"]
        ]
        return sorted(own, key=lambda pod: (not is_ready(pod), number_of(pod)))

    def served_by(self, service: str) -> list[str]:
        """Return the pods that the slices of a Service show."""
        found = self.api.find(kinds.ENDPOINT_SLICE, NAMESPACE, f"{service}-abc")
        endpoints = found["endpoints"] if found else ()
        return [endpoint["targetRef"]["name"] for endpoint in endpoints]

    def _end_pods(self) -> None:
        for pod in self.all(kinds.POD):
            if "deletionTimestamp" in pod["metadata"]:
                self.api.remove(kinds.POD, NAMESPACE, pod["metadata"]["name"])

    def _scale(self, deployment: Mapping[str, Any], now: datetime) -> None:
        pods, wanted = self.pods_of(deployment), deployment["spec"]["replicas"]
        for pod in pods[wanted:]:
            end(self.api, pod, now)
        for _ in range(wanted - len(pods)):
            self._make(deployment, now)

    def _make(self, deployment: Mapping[str, Any], now: datetime) -> None:
        self.made += 1
        template = deployment["spec"]["template"]
        labels = dict(template["metadata"]["labels"])
        name = f"{deployment['metadata']['name']}-{self.made}"
        pod = a_pod(
            labels[kinds.REVISION_LABEL],
            name,
            ready=False,
            podIP=f"10.0.{self.made // 250}.{self.made % 250 + 1}",
        )
        pod["metadata"] |= {"labels": labels, "creationTimestamp": now.isoformat()}
        pod["spec"] = {"containers": template["spec"]["containers"], "nodeName": "node-1"}
        self.api.create(kinds.POD, pod, "kubelet")

    def _drop_orphans(self) -> None:
        names = {deployment["metadata"]["name"] for deployment in self.all(kinds.DEPLOYMENT)}
        for pod in self.all(kinds.POD):
            if owner_of(pod) not in names:
                self.api.remove(kinds.POD, NAMESPACE, pod["metadata"]["name"])

    def _make_ready(self, now: datetime) -> None:
        """Make pods ready that were there before this turn, as far as they fit."""
        for index, pod in enumerate(sorted(self.all(kinds.POD), key=number_of)):
            source = source_of(pod)
            if index >= self.room or pod["metadata"]["creationTimestamp"] == now.isoformat():
                continue
            if source in self.crashing_sources:
                crash(self.api, pod)
            elif is_ready(pod) == (source in self.broken_sources):
                self._report_image(pod)
                mark(self.api, pod, now, is_ready=not is_ready(pod))

    def _report_image(self, pod: Mapping[str, Any]) -> None:
        if self.image_id:
            server = {"name": "server", "image": "llm-server:1", "imageID": self.image_id}
            change = partial(_report, containerStatuses=[server])
            address = (NAMESPACE, pod["metadata"]["name"])
            self.api.edit(kinds.POD, address, change, "kubelet", "status")

    def _fill_slices(self) -> None:
        services = {obj["metadata"]["name"]: obj for obj in self.all(kinds.SERVICE)}
        for obj in self.all(kinds.ENDPOINT_SLICE):
            name = obj["metadata"]["name"]
            if name.removesuffix("-abc") not in services:
                self.api.remove(kinds.ENDPOINT_SLICE, NAMESPACE, name)
        for name, service in services.items():
            shown = self._selected(service["spec"]["selector"])
            wanted = a_slice(name, *shown)
            wanted["metadata"]["labels"] |= service["metadata"].get("labels", {})
            if self.api.find(kinds.ENDPOINT_SLICE, NAMESPACE, f"{name}-abc") is None:
                self.api.create(kinds.ENDPOINT_SLICE, wanted, "endpointslice-controller")
                continue
            change = partial(_update, endpoints=wanted["endpoints"])
            address = (NAMESPACE, f"{name}-abc")
            self.api.edit(kinds.ENDPOINT_SLICE, address, change, "endpointslice-controller")

    def _selected(self, selector: Mapping[str, str]) -> Iterable[str]:
        return [
            pod["metadata"]["name"]
            for pod in sorted(self.all(kinds.POD), key=number_of)
            if selector.items() <= pod["metadata"]["labels"].items()
            and is_ready(pod)
            and "deletionTimestamp" not in pod["metadata"]
        ]

    def _answer_for_routes(self) -> None:
        for route in self.all(kinds.HTTP_ROUTE):
            change = partial(_update, status=answers(route, route["metadata"]["generation"]))
            address = (NAMESPACE, route["metadata"]["name"])
            self.api.edit(kinds.HTTP_ROUTE, address, change, "gateway", "status")


def _update(obj: dict[str, Any], **changes: Any) -> None:
    obj.update(changes)


def _report(obj: dict[str, Any], **changes: Any) -> None:
    obj["status"].update(changes)


def owner_of(pod: Mapping[str, Any]) -> str:
    """Return the name of the Deployment that made a pod."""
    return str(pod["metadata"]["name"]).rpartition("-")[0]


def number_of(pod: Mapping[str, Any]) -> int:
    """Return when a pod was made, among the others."""
    return int(str(pod["metadata"]["name"]).rpartition("-")[2])


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod has the condition Ready."""
    return bool(pod["status"]["conditions"][1]["status"] == "True")


def source_of(workload: Mapping[str, Any]) -> str:
    """Return the model that a pod, or the pods of a Deployment, serve."""
    spec = workload["spec"].get("template", workload)["spec"]
    environment = spec["containers"][0]["env"]
    return str(next(e["value"] for e in environment if e["name"] == "LLM_SERVER_MODEL"))


def end(api: ApiServerModel, pod: Mapping[str, Any], now: datetime) -> None:
    """Begin the end of a pod; it is gone in the next turn."""

    def change(obj: dict[str, Any]) -> None:
        obj["metadata"]["deletionTimestamp"] = now.isoformat()

    api.edit(kinds.POD, (NAMESPACE, pod["metadata"]["name"]), change, "kube-controller-manager")


def mark(api: ApiServerModel, pod: Mapping[str, Any], now: datetime, *, is_ready: bool) -> None:
    """Set the condition Ready."""

    def change(obj: dict[str, Any]) -> None:
        obj["status"]["conditions"][1] |= {
            "status": "True" if is_ready else "False",
            "lastTransitionTime": now.isoformat(),
        }

    api.edit(kinds.POD, (NAMESPACE, pod["metadata"]["name"]), change, "kubelet", "status")


def crash(api: ApiServerModel, pod: Mapping[str, Any]) -> None:
    """Have the server of a pod end for the third time."""
    ended = {"exitCode": 1, "reason": "Error", "message": "no such weights"}

    def change(obj: dict[str, Any]) -> None:
        obj["status"]["conditions"][1]["status"] = "False"
        obj["status"]["containerStatuses"] = [
            {
                "name": "server",
                "image": "llm-server:1",
                "restartCount": 3,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                "lastState": {"terminated": ended},
            }
        ]

    api.edit(kinds.POD, (NAMESPACE, pod["metadata"]["name"]), change, "kubelet", "status")
