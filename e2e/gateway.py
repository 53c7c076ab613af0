"""Resources behind the Gateway of the test cluster, and who answers the requests that it takes."""

import json
import math
import uuid
from dataclasses import dataclass
from statistics import NormalDist

from e2e.cluster import gateway
from e2e.installation import restart_operator
from e2e.manifests import Manifest, client_pod
from e2e.rollouts import Rolled, quick, served
from e2e.story import Cluster, Namespace
from e2e.traffic.harness import Load, Traffic
from llm_operator import kinds
from llm_operator.api.status import RolloutPhase
from llm_operator.kinds import ResourceKind

_CRDS = ResourceKind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "")
_ROUTES = f"{kinds.HTTP_ROUTE.plural}.{kinds.HTTP_ROUTE.group}"

DRAIN_SECONDS = 120
FALSE_ALARM = 1e-3
"""How often a split by chance would be found too far off; Traefik takes turns and is closer."""


def host(namespace: Namespace, name: str) -> str:
    """Return the host name that the route of a resource answers to."""
    return f"{name}.{namespace.name}.example"


def traffic(namespace: Namespace, name: str, *, gateway_name: str = gateway.GATEWAY) -> Manifest:
    """Return ``spec.traffic`` for the Gateway of the cluster, or for one of another name."""
    parent = {"name": gateway_name, "namespace": gateway.NAMESPACE}
    return {"gateway": {"parentRefs": [parent], "hostnames": [host(namespace, name)]}}


def ensure_kinds(cluster: Cluster) -> None:
    """Have the kinds of the Gateway API in the cluster, and an operator that knows of them."""
    if cluster.get(_CRDS.path(name=_ROUTES)) is None:
        gateway.install_kinds(cluster.backend)
        restart_operator(cluster.backend)


def behind(
    namespace: Namespace, name: str, *steps: Manifest, gateway_name: str = gateway.GATEWAY
) -> Rolled:
    """Apply a resource with two pods whose traffic comes through a Gateway; wait until it serves.

    Its pods drain for two minutes, so that a stream of a minute is never cut.
    """
    manifest = served(name, quick(*steps), replicas=2)
    manifest["spec"]["server"]["drainSeconds"] = DRAIN_SECONDS
    manifest["spec"]["traffic"] = traffic(namespace, name, gateway_name=gateway_name)
    namespace.apply(manifest)
    namespace.until_settled(name)
    return Rolled(namespace, name)


def until_paused_at(resource: Rolled, weight_percent: int) -> None:
    """Wait until a rollout has stopped after the step with this weight."""
    resource.namespace.until(
        f"{resource.name} stops at {weight_percent} %",
        lambda: (
            resource.phase == RolloutPhase.PAUSED
            and resource.rollout.get("weightPercent") == weight_percent
        ),
        within_seconds=90,
    )


def send(namespace: Namespace, name: str, load: Load) -> Traffic:
    """Start recorded traffic to a resource through the Gateway."""
    command = ["python3", "client.py", *_target(namespace, name), *load.arguments()]
    return Traffic(namespace, _start(namespace, name, f"gateway-{name}", command))


@dataclass(frozen=True, slots=True)
class Shares:
    """Who answered so many requests."""

    answered: dict[str, int]
    failed: int
    first_failures: list[str]
    seconds: float

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return sum(self.answered.values()) + self.failed

    def percent(self, revision: str) -> float:
        """Return the share of a revision."""
        return 100 * self.answered.get(revision, 0) / self.requests


def count_shares(namespace: Namespace, name: str, requests: int, *, revision: str = "") -> Shares:
    """Send requests through the Gateway, each of which may ask for a revision, and count."""
    wanted = [f"--requests={requests}", f"--revision={revision}"]
    command = ["python3", "shares.py", *_target(namespace, name), *wanted]
    pod = _start(namespace, name, f"shares-{uuid.uuid4().hex[:6]}", command)
    traffic = Traffic(namespace, pod)
    namespace.until(
        f"{requests} requests are answered",
        lambda: traffic.phase() in ("Succeeded", "Failed"),
        within_seconds=60 + requests / 20,
    )
    lines = traffic.lines()
    assert lines, f"{pod} printed nothing"
    shares = Shares(**json.loads(json.dumps(lines[-1])))
    namespace.delete(kinds.POD, pod)
    return shares


def bound_points(requests: int, weight_percent: float) -> float:
    """Return how far, in points, a sample of independent requests strays from its weight.

    The normal approximation of the binomial distribution, exceeded in ``FALSE_ALARM`` of samples.
    """
    weight = weight_percent / 100
    deviations = NormalDist().inv_cdf(1 - FALSE_ALARM / 2)
    return 100 * deviations * math.sqrt(weight * (1 - weight) / requests)


def _target(namespace: Namespace, name: str) -> list[str]:
    return [f"--base-url=http://{host(namespace, name)}/v1", f"--model={name}"]


def _start(namespace: Namespace, name: str, pod: str, command: list[str]) -> str:
    """Start a client pod that knows the resource's host name as an address of the Gateway."""
    service = namespace.cluster.get(kinds.SERVICE.path(gateway.NAMESPACE, gateway.CLASS))
    assert service is not None, "the cluster has no Gateway: e2e.cluster.gateway.install"
    manifest = client_pod(pod, namespace.cluster.images.client, command)
    address = service["spec"]["clusterIP"]
    manifest["spec"]["hostAliases"] = [{"ip": address, "hostnames": [host(namespace, name)]}]
    namespace.apply(manifest)
    return pod
