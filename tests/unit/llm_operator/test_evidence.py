"""Rules of reading evidence: only where there is trouble, bounded, rarely, and never in the way."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from llm_operator import evidence, kinds
from llm_operator.api.reasons import Reason
from llm_operator.cluster.cache import ResourceKey
from llm_operator.cluster.errors import ClusterUnavailable, Forbidden
from llm_operator.diagnosis import NOTHING, Evidence, diagnose
from llm_operator.evidence import Allowance, EvidenceReader
from tests.builders import NOW
from tests.diagnosis_builders import (
    NODE,
    Json,
    a_claim,
    a_deployment,
    a_node,
    a_pod,
    a_ready_pod,
    an_unbound_pod,
    crashed,
    running,
    stamp,
)
from tests.models.apiserver import ApiServerModel

KEY = ResourceKey("default", "chat")
TAINTED = "0/1 nodes are available: 1 node(s) had untolerated taint(s)."
UNBOUND = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."


@dataclass
class Reading:
    """A reader on a model of the API server, with a clock that a test moves."""

    api: ApiServerModel = field(default_factory=ApiServerModel)
    now: datetime = NOW
    watched_namespace: str = ""
    allowance: Allowance = field(default_factory=Allowance)
    reader: EvidenceReader = field(init=False)

    def __post_init__(self) -> None:
        """Make the reader."""
        self.reader = EvidenceReader(
            client=self.api,  # type: ignore[arg-type]  # the model has the client's verbs
            watched_namespace=self.watched_namespace,
            now=lambda: self.now,
            allowance=self.allowance,
        )

    async def gather(
        self, *pods: Json, deployment: Json | None = None, key: ResourceKey = KEY
    ) -> Evidence:
        """Gather for one resource."""
        return await self.reader.gather(key, pods, [deployment or a_deployment()])

    def put_event(self, name: str, uid: str, reason: str, note: str, at: datetime = NOW) -> None:
        """Have the cluster hold an event."""
        event = {
            "metadata": {"name": name, "namespace": "default"},
            "regarding": {"uid": uid},
            "reason": reason,
            "note": note,
            "deprecatedLastTimestamp": stamp(at),
        }
        self.api.create(kinds.EVENT, event, "kubelet")

    def put(self, kind: kinds.ResourceKind, name: str, obj: Json, namespace: str = "") -> None:
        """Have the cluster hold an object."""
        metadata = {**obj.get("metadata", {}), "name": name, "namespace": namespace}
        self.api.create(kind, {**obj, "metadata": metadata}, "admin")

    def requests(self) -> Counter[tuple[str, str]]:
        """Return the requests since the last call."""
        asked = Counter(self.api.requests)
        self.api.requests.clear()
        return asked


async def test_a_healthy_resource_is_never_read_about() -> None:
    """Ready pods, new pods and pods that say themselves what is wrong cost no request."""
    reading = Reading()

    for pods in (
        [],
        [a_ready_pod("a"), a_ready_pod("b")],
        [a_pod(made_at=NOW)],
        [a_pod(containerStatuses=[crashed(1, "boom")])],
        [a_pod(containerStatuses=[running(seconds=5)])],
    ):
        evidence = await reading.gather(*pods)
        assert (evidence.events, evidence.claims, evidence.nodes) == ({}, {}, {})

    assert reading.requests() == Counter()


async def test_a_new_pod_brings_the_reader_back_in_time() -> None:
    """Nothing else would: a pod that hangs gives no news."""
    evidence = await Reading().gather(a_pod(made_at=NOW - timedelta(seconds=1)))

    assert evidence.look_again_at == NOW + timedelta(seconds=4)


async def test_events_of_a_pod_become_its_cause() -> None:
    """The last event that tells counts, whatever order they come in."""
    reading = Reading()
    reading.put(kinds.NODE, NODE, a_node())
    pod, setup = a_pod(), 'MountVolume.SetUp failed for volume "v" : '
    uid, earlier = pod["metadata"]["uid"], NOW - timedelta(seconds=9)
    reading.put_event("e2", uid, "FailedMount", setup + 'secret "keys" not found')
    reading.put_event("e1", uid, "FailedMount", setup + 'configmap "c" not found', earlier)
    reading.put_event("other", "uid-other", "FailedMount", setup + "mount failed")

    evidence = await reading.gather(pod)

    (finding,) = diagnose([pod], [a_deployment()], evidence, NOW)
    assert finding.reason is Reason.SECRET_MISSING


async def test_a_claim_is_read_with_its_events_and_a_missing_one_is_known_as_missing() -> None:
    """404 is an answer."""
    reading = Reading()
    reading.put(kinds.VOLUME_CLAIM, "models", a_claim(), namespace="default")
    claim = reading.api.find(kinds.VOLUME_CLAIM, "default", "models") or {}
    note = 'storageclass.storage.k8s.io "fast" not found'
    reading.put_event("e", claim["metadata"]["uid"], "ProvisioningFailed", note)
    pod = an_unbound_pod(UNBOUND)

    for name, reason in (
        ("models", Reason.STORAGE_CLASS_MISSING),
        ("absent", Reason.VOLUME_CLAIM_MISSING),
    ):
        deployment = a_deployment(claims=(name,))
        reading.reader.forget(KEY)
        evidence = await reading.gather(pod, deployment=deployment)
        (finding,) = diagnose([pod], [deployment], evidence, NOW)
        assert finding.reason is reason


async def test_the_node_of_a_pod_is_read_and_others_only_for_taints() -> None:
    """One GET, or one page of the nodes that the pod selects."""
    reading = Reading()
    reading.put(kinds.NODE, NODE, a_node("dedicated"))

    assert (await reading.gather(a_pod())).nodes[NODE].taints == ("dedicated:NoSchedule",)
    assert reading.requests() == Counter([("list", "Event"), ("get", "Node")])

    reading.put(kinds.NODE, "gpu-1", a_node("dedicated", pool="gpu"))
    for labels, names in (({}, {NODE, "gpu-1"}), ({"pool": "gpu"}, {"gpu-1"})):
        reading.reader.forget(KEY)
        deployment = a_deployment(nodeSelector=labels)
        seen = await reading.gather(an_unbound_pod(TAINTED), deployment=deployment)
        assert set(seen.nodes) == names
        assert reading.requests() == Counter([("list", "Node")])


async def test_nodes_are_not_read_where_only_one_namespace_is_looked_after() -> None:
    """A Role cannot allow it, and asking would be refused each time."""
    reading = Reading(watched_namespace="default")

    await reading.gather(a_pod())
    reading.reader.forget(KEY)
    await reading.gather(an_unbound_pod(TAINTED))

    assert reading.requests() == Counter([("list", "Event")])


async def test_the_same_trouble_is_read_about_ever_more_rarely() -> None:
    """A pod that loads for an hour costs some seventy readings, not hundreds."""
    reading, times = Reading(), []
    pod = a_pod()
    while reading.now < NOW + timedelta(minutes=10):
        evidence = await reading.gather(pod)
        if reading.requests():
            times.append((reading.now - NOW).total_seconds())
        assert evidence.look_again_at is not None
        assert evidence.look_again_at > reading.now
        reading.now = evidence.look_again_at

    assert times[:5] == [0, 5, 15, 35, 75]
    assert len(times) == 13


async def test_passes_in_between_use_what_was_read() -> None:
    """News about other objects wakes the resource often; that is no reason to ask again."""
    reading = Reading()
    pod = a_pod()
    reading.put(kinds.NODE, NODE, a_node())
    first = await reading.gather(pod)
    reading.requests()

    reading.now += timedelta(seconds=2)

    assert await reading.gather(pod) == first
    assert reading.requests() == Counter()


async def test_other_symptoms_are_read_about_soon() -> None:
    """What was read about a pod that loads says nothing about its crash."""
    reading = Reading()
    await reading.gather(a_pod(containerStatuses=[running(seconds=25)]))
    reading.requests()
    dead = a_pod(containerStatuses=[crashed(137)])

    early = await reading.gather(dead)
    assert early.look_again_at == NOW + timedelta(seconds=evidence.SPACING_SECONDS)
    assert reading.requests() == Counter()

    reading.now += timedelta(seconds=evidence.SPACING_SECONDS)
    await reading.gather(dead)
    assert reading.requests()[("list", "Event")] == 1


async def test_one_reading_is_bounded() -> None:
    """However many pods there are: three of them, three claims, one node each."""
    reading = Reading()
    claims = tuple(f"claim-{n}" for n in range(9))
    pods = [a_pod(f"chat-one-{n}") for n in range(50)]

    await reading.gather(*pods, deployment=a_deployment(claims=claims))

    asked = reading.requests()
    assert asked == Counter(
        {("list", "Event"): 3, ("get", "PersistentVolumeClaim"): 3, ("get", "Node"): 1}
    )


async def test_all_resources_together_read_within_an_allowance() -> None:
    """A cluster that comes up with everything unready is not asked about everything at once."""
    reading = Reading(allowance=Allowance(per_second=2, burst=4, left=4))
    keys = [ResourceKey("default", f"chat-{n}") for n in range(100)]
    pod = a_pod()

    first = [await reading.gather(pod, key=key) for key in keys]
    assert reading.requests()[("list", "Event")] == 4
    assert all(evidence.look_again_at for evidence in first)

    reading.now += timedelta(seconds=1)
    for key in keys[50:]:
        await reading.gather(pod, key=key)
    assert reading.requests()[("list", "Event")] == 2


async def test_a_reading_that_fails_is_left_out() -> None:
    """A pass does not depend on evidence."""
    reading = Reading()
    pod = a_pod()

    for error in (ClusterUnavailable("down", 503), Forbidden("no", 403)):

        def refuse(_verb: str, _kind: kinds.ResourceKind, error: Exception = error) -> None:
            raise error

        reading.api.before_request = refuse
        reading.reader.forget(KEY)
        evidence = await reading.gather(pod)
        assert (evidence.events, evidence.nodes) == ({}, {})
        assert evidence.look_again_at is not None


async def test_a_server_that_does_not_answer_holds_no_pass_up(monkeypatch: Any) -> None:
    """What has come by the time limit is used."""
    monkeypatch.setattr(evidence, "READ_SECONDS", 0.05)

    class Slow(ApiServerModel):
        async def get(self, kind: kinds.ResourceKind, namespace: str | None, name: str) -> Json:
            await asyncio.sleep(60)
            return {}

    reading = Reading(api=Slow())
    pod = a_pod()
    reading.put_event("e", pod["metadata"]["uid"], "Pulling", "Pulling image")

    found = await reading.gather(pod)

    assert found.events[pod["metadata"]["uid"]][0].reason == "Pulling"
    assert found.nodes == {}


async def test_what_is_known_is_forgotten_when_the_resource_is_well() -> None:
    """Nothing grows with the number of resources that ever were in trouble."""
    reading = Reading()
    await reading.gather(a_pod())

    assert await reading.gather(a_ready_pod()) == NOTHING
    assert reading.reader.known == {}
