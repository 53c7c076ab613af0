"""The operator's list of permissions against what the operator asks for, in both directions."""

import asyncio
import random
from collections import defaultdict
from dataclasses import replace

from llm_operator import kinds
from llm_operator.cluster.informer import Informer, Scope
from llm_operator.cluster.lease import Candidate, Elector, LeaseTiming
from llm_operator.evidence import EvidenceReader
from llm_operator.permissions import PERMISSIONS, Verb
from tests.builders import NOW
from tests.diagnosis_builders import a_deployment, a_pod, an_unbound_pod
from tests.models.apiserver import ApiServerModel
from tests.models.operator import KEY, OperatorModel

BY_KIND = {
    kind.kind: kind
    for kind in (
        kinds.LLM_DEPLOYMENT,
        *kinds.WATCHED_KINDS,
        kinds.EVENT,
        kinds.LEASE,
        kinds.VOLUME_CLAIM,
        kinds.NODE,
        kinds.GATEWAY,
        kinds.GATEWAY_CLASS,
    )
}
ASKED_BY_METHOD = {
    "list": {Verb.LIST},
    "get": {Verb.GET},
    "apply": {Verb.PATCH, Verb.CREATE},
    "delete": {Verb.DELETE},
    "create": {Verb.CREATE},
    "update": {Verb.UPDATE},
}
"""What the API server asks the authoriser for each method of the client."""

FAST = LeaseTiming(duration=2, renew_deadline=1, retry=0.01, request_timeout=0.5)
Grants = dict[tuple[str, str], set[Verb]]


async def start(operator: OperatorModel) -> tuple[kinds.ResourceKind, ...]:
    """List everything, as a process does that begins; return the kinds that it will watch."""
    informer = Informer(
        operator.api,
        operator.cache,
        operator.queue,
        Scope(namespace=None, relist_seconds=600),
        random.Random(0),
        lambda _kind, _count: None,
    )
    running = asyncio.create_task(informer.run())
    await informer.synced.wait()
    running.cancel()
    return informer.watched


async def hold_the_lease(api: ApiServerModel) -> None:
    """Create the Lease, renew it, give it back."""
    candidate = Candidate("llm-operator-system", "llm-operator", "one")
    elector = Elector(api, candidate, FAST, lambda: NOW, random.Random(0))
    running = asyncio.create_task(elector.run())
    await elector.elected.wait()
    await asyncio.sleep(5 * FAST.retry)
    running.cancel()
    await elector.release()


def plant_leftovers(operator: OperatorModel) -> None:
    """Give the resource one owned object too many of each kind, as another version may leave."""
    owner = operator.resource()["metadata"]["uid"]
    for kind in kinds.PRUNED_KINDS:
        name = next(iter(operator.names(kind)))
        spare = dict(operator.api.find(kind, KEY.namespace, name) or {})
        metadata = {key: spare["metadata"][key] for key in ("labels", "namespace")}
        metadata["ownerReferences"] = [
            {**reference, "uid": owner} for reference in spare["metadata"]["ownerReferences"]
        ]
        spare["metadata"] = {**metadata, "name": f"{name}-spare"}
        operator.api.create(kind, spare, "another-version")


async def look_into_trouble(operator: OperatorModel) -> None:
    """Read about pods that are not ready: one that hangs, and one that taints keep away."""
    reader = EvidenceReader(
        client=operator.api,  # type: ignore[arg-type]  # the model has the client's verbs
        watched_namespace="",
        now=lambda: NOW,
    )
    tainted = "0/1 nodes are available: 1 node(s) had untolerated taint(s)."
    pods = [a_pod(), an_unbound_pod(tainted, "chat-one-y")]
    await reader.gather(KEY, pods, [a_deployment(claims=("models",))])


async def asked_in_a_whole_life() -> Grants:
    """Return verbs by (group, resource) of an operator that does all that it ever does."""
    operator = OperatorModel()
    operator.environment = replace(operator.environment, optional_kinds=kinds.OPTIONAL_KINDS)
    watched = await start(operator)
    operator.write(
        replicas=2,
        resources={"requests": {"cpu": "1"}},
        monitoring={"serviceMonitor": {"enabled": True}},
        traffic={"provider": "Auto", "gateway": {"parentRefs": [{"name": "public"}]}},
        autoscaling={
            "minReplicas": 2,
            "maxReplicas": 4,
            "metrics": [{"type": "CPU", "targetUtilizationPercent": 70}],
        },
    )
    await operator.settle()
    plant_leftovers(operator)
    await operator.settle()
    await look_into_trouble(operator)
    await hold_the_lease(operator.api)
    asked = requests_as_grants(operator.api.requests)
    for kind in watched:
        asked[kind.group, kind.plural].add(Verb.WATCH)
    return asked


def requests_as_grants(requests: list[tuple[str, str]]) -> Grants:
    """Return what the authoriser is asked for such requests."""
    asked: Grants = defaultdict(set)
    for method, kind_name in requests:
        if method == "discover":  # open to every account
            continue
        kind = BY_KIND[kind_name]
        if method == "patch":  # the client's one patch goes to the status
            asked[kind.group, f"{kind.plural}/status"].add(Verb.PATCH)
        else:
            asked[kind.group, kind.plural] |= ASKED_BY_METHOD[method]
    return asked


async def test_the_operator_asks_for_what_is_listed_and_for_all_of_it() -> None:
    """Whole passes, lists, watches and election need exactly the listed verbs."""
    listed = {
        (permission.group, permission.resource): set(permission.verbs)
        for permission in PERMISSIONS
        if permission.verbs != permission.implied
    }

    assert dict(await asked_in_a_whole_life()) == listed


def test_a_resource_is_listed_once() -> None:
    """One line per resource, so that a reader sees all of its verbs."""
    listed = [(permission.group, permission.resource) for permission in PERMISSIONS]

    assert len(listed) == len(set(listed))


def test_only_listed_verbs_are_implied() -> None:
    """``implied`` says how a granted verb comes to be used and grants nothing."""
    for permission in PERMISSIONS:
        assert permission.implied <= permission.verbs, permission.resource
