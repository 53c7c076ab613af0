"""A cluster as traffic sees it: Services, EndpointSlices, a route, and a proxy that lags behind.

The operator's writes are there at once. Slices follow when the endpoint controller runs, and the
proxy learns of routes and slices in the order in which they were written, some time later.
"""

import copy
from collections.abc import Mapping
from typing import Any

from llm_operator import kinds
from llm_operator.api.traffic import Provider
from llm_operator.desired.identity import Identity
from llm_operator.desired.objects import HotSpec
from llm_operator.observation import Environment, Observation
from llm_operator.rollout.state import AppliedTraffic
from llm_operator.traffic import providers
from llm_operator.traffic.asked import Asked
from tests.builders import a_pod, an_llm_deployment

IDENTITY = Identity("default", "chat", "uid-chat")
GATEWAY = {"parentRefs": [{"name": "public", "namespace": "infra"}], "hostnames": ["chat.example"]}
HOT = HotSpec({"type": "ClusterIP", "port": 80}, None, None, GATEWAY)
ENVIRONMENT = Environment("llm-server:1", 1, optional_kinds=kinds.OPTIONAL_KINDS)
SERVICES = (IDENTITY.name, IDENTITY.canary_name)


class TrafficModel:
    """One resource under one provider."""

    def __init__(self, provider: Provider, environment: Environment = ENVIRONMENT) -> None:
        self.provider = provider
        self.environment = environment
        self.pods: dict[str, str] = {}
        """Ready pods: name to revision."""
        self.children: dict[tuple[kinds.ResourceKind, str], dict[str, Any]] = {}
        self.slices: dict[str, frozenset[str]] = {}
        self.backlog: list[tuple[str, Any]] = []
        """What the proxy has yet to learn, oldest first."""
        self.proxy_slices: dict[str, frozenset[str]] = {}
        self.proxy_rules: list[dict[str, Any]] = []

    def asked(self, stable: str | None, canary: str | None, weight_percent: int) -> Asked:
        """Ask for traffic of this provider."""
        return Asked(stable, canary, weight_percent, self.provider)

    def run_pods(self, revision: str, count: int) -> None:
        """Have exactly so many ready pods of a revision."""
        self.pods = {name: hash_ for name, hash_ in self.pods.items() if hash_ != revision}
        self.pods |= {f"{revision}-{index}": revision for index in range(count)}

    def observation(self) -> Observation:
        """Return what the operator's cache holds."""
        return Observation(
            resource=an_llm_deployment(),
            children=self.children,
            pods=tuple(a_pod(revision, name) for name, revision in self.pods.items()),
            endpoint_slices=tuple(
                a_slice(service, *sorted(pods)) for service, pods in self.slices.items()
            ),
        )

    def pass_once(self, asked: Asked, hot: HotSpec = HOT) -> bool:
        """Render and write; return whether anything changed."""
        wanted = {
            (kind_of(manifest), manifest["metadata"]["name"]): copy.deepcopy(dict(manifest))
            for manifest in providers.render(self.observation(), self.environment, hot, asked)
        }
        before = {address: obj["spec"] for address, obj in self.children.items()}
        for address, manifest in wanted.items():
            self._write(address, manifest)
        for gone in self.children.keys() - wanted.keys():
            self._remove(gone)
        return before != {address: obj["spec"] for address, obj in self.children.items()}

    def observe(self, asked: Asked) -> AppliedTraffic:
        """Return what the operator sees of the traffic."""
        return providers.observe(self.observation(), self.environment, asked)

    def objection(self, asked: Asked) -> str:
        """Return what somebody has against the traffic."""
        return providers.objection(self.observation(), self.environment, asked)

    def run_endpoints(self, service: str) -> None:
        """Let the endpoint controller bring the slices of one Service up to date."""
        obj = self.children.get((kinds.SERVICE, service))
        if obj is None:
            self.slices.pop(service, None)
            return
        selector = {**obj["spec"]["selector"]}
        revision = selector.get(kinds.REVISION_LABEL)
        pods = frozenset(pod for pod, hash_ in self.pods.items() if revision in (None, hash_))
        if self.slices.get(service) != pods:
            self.slices[service] = pods
            self.backlog.append((service, pods))

    def run_proxy(self) -> None:
        """Let the proxy learn one thing, and answer for the route if it is that."""
        if not self.backlog:
            return
        what, news = self.backlog.pop(0)
        if what != "route":
            self.proxy_slices[what] = news
            return
        generation, self.proxy_rules = news
        route = self.route()
        if route is not None:
            route["status"] = answers(route, generation)

    def run_all(self) -> None:
        """Let everything catch up."""
        for service in SERVICES:
            self.run_endpoints(service)
        while self.backlog:
            self.run_proxy()

    def settle(self, asked: Asked) -> int:
        """Let operator and cluster take turns until nothing changes; return the passes it took."""
        for turn in range(1, 10):
            changed = self.pass_once(asked)
            self.run_all()
            if not changed:
                return turn
        raise AssertionError(f"{asked} does not come to rest: {self.children}")

    def route(self) -> dict[str, Any] | None:
        """Return the live route."""
        return self.children.get((kinds.HTTP_ROUTE, IDENTITY.name))

    def services(self) -> set[str]:
        """Return the names of the live Services."""
        return {name for kind, name in self.children if kind == kinds.SERVICE}

    def named_by_proxy(self) -> set[str]:
        """Return the Services that the proxy sends to, as far as it knows."""
        return {ref["name"] for rule in self.proxy_rules for ref in rule["backendRefs"]}

    def shares(self) -> dict[str, float]:
        """Return the share of each revision as the proxy splits now; the empty hash is nobody."""
        if self.provider is Provider.REPLICA_RATIO:
            return self._behind(IDENTITY.name, 1.0)
        shares: dict[str, float] = {}
        for rule in self.proxy_rules:
            if "headers" not in rule["matches"][0]:
                total = sum(ref["weight"] for ref in rule["backendRefs"])
                for ref in rule["backendRefs"]:
                    for revision, share in self._behind(ref["name"], ref["weight"] / total).items():
                        shares[revision] = shares.get(revision, 0) + share
        return {revision: share for revision, share in shares.items() if share}

    def pinned(self, revision: str) -> dict[str, float]:
        """Return where the proxy sends requests that ask for a revision."""
        for rule in self.proxy_rules:
            headers = rule["matches"][0].get("headers", [])
            if any(header["value"] == revision for header in headers):
                return self._behind(rule["backendRefs"][0]["name"], 1.0)
        return self.shares()

    def _behind(self, service: str, share: float) -> dict[str, float]:
        shown = self.proxy_slices.get(service, frozenset())
        alive = [self.pods.get(pod, "") for pod in shown]
        if not share or not alive:
            return {"": share} if share else {}
        return {hash_: share * alive.count(hash_) / len(alive) for hash_ in set(alive)}

    def _write(self, address: tuple[kinds.ResourceKind, str], manifest: dict[str, Any]) -> None:
        live = self.children.get(address)
        if live is not None and live["spec"] == manifest["spec"]:
            return
        generation = live["metadata"]["generation"] + 1 if live else 1
        manifest["metadata"]["generation"] = generation
        if live is not None and "status" in live:
            manifest["status"] = live["status"]
        self.children[address] = manifest
        if address[0] == kinds.HTTP_ROUTE:
            self.backlog.append(("route", (generation, manifest["spec"]["rules"])))

    def _remove(self, address: tuple[kinds.ResourceKind, str]) -> None:
        del self.children[address]
        if address[0] == kinds.HTTP_ROUTE:
            self.backlog.append(("route", (0, [])))
        else:
            self.slices.pop(address[1], None)
            self.backlog.append((address[1], frozenset()))


def kind_of(manifest: Mapping[str, Any]) -> kinds.ResourceKind:
    """Return the kind of a manifest."""
    return next(kind for kind in kinds.APPLIED_KINDS if kind.kind == manifest["kind"])


def a_slice(service: str, *pods: str, ready: bool = True) -> dict[str, Any]:
    """Return an EndpointSlice of a Service."""
    return {
        "metadata": {
            "name": f"{service}-abc",
            "namespace": IDENTITY.namespace,
            "labels": {"kubernetes.io/service-name": service, kinds.INSTANCE_LABEL: IDENTITY.name},
        },
        "endpoints": [
            {"targetRef": {"kind": "Pod", "name": pod}, "conditions": {"ready": ready}}
            for pod in pods
        ],
    }


def answers(route: Mapping[str, Any], generation: int) -> dict[str, Any]:
    """Return the status with which every Gateway takes up a generation of a route."""
    conditions = [
        {"type": type_, "status": "True", "observedGeneration": generation, "reason": type_}
        for type_ in ("Accepted", "ResolvedRefs")
    ]
    return {
        "parents": [
            {"parentRef": parent, "controllerName": "example/c", "conditions": conditions}
            for parent in route["spec"]["parentRefs"]
        ]
    }
