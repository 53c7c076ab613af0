"""Rules of whole passes: the operator on a model of the API server, with controllers."""

import copy
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from llm_operator import kinds
from llm_operator.api.status import Status
from llm_operator.children import REFUSAL_RETRY
from llm_operator.cluster.client import Object
from llm_operator.cluster.errors import ClusterUnavailable, Conflict, Invalid
from llm_operator.desired.revision import STARTED_ANNOTATION, VERDICT_ANNOTATION
from llm_operator.queue import Lane
from tests.builders import an_llm_deployment
from tests.models.operator import KEY, OperatorModel

TINY = {"source": "builtin://tiny"}
SIMULATED = {"source": "builtin://simulated"}


async def a_ready_resource(**spec: Any) -> OperatorModel:
    """Return an operator whose one resource is ready, with the count of writes at zero."""
    operator = OperatorModel()
    await operator.relist()
    operator.write(**spec)
    await operator.settle()
    operator.writes()
    return operator


async def test_a_new_resource_becomes_ready_and_then_nothing_is_written() -> None:
    """A steady state makes no request."""
    operator = await a_ready_resource()

    assert operator.condition("Ready") == ("True", "Available")
    assert operator.status()["phase"] == "Ready"
    await operator.relist()
    await operator.settle()
    assert operator.writes() == []


async def test_a_stopped_resource_costs_one_write_per_child_and_one_for_the_status() -> None:
    """Creation makes at most children + 2 writes and reads nothing."""
    operator = OperatorModel()
    await operator.relist()
    operator.api.requests.clear()

    operator.write(replicas=0)
    await operator.settle()

    requests = [request for request in operator.api.requests if request[1] != "Event"]
    children = 4
    assert len(requests) <= children + 2
    assert all(verb in ("apply", "patch") for verb, _ in requests)
    assert operator.condition("Ready") == ("True", "Stopped")


async def test_a_restarted_operator_writes_nothing() -> None:
    """A new process finds everything as it should be."""
    operator = await a_ready_resource(replicas=2)

    again = await operator.restart()
    await again.settle()

    assert again.writes() == []


async def test_a_deleted_child_comes_back() -> None:
    """Each kind of child is made again when somebody deletes it."""
    operator = await a_ready_resource(
        replicas=2,
        resources={"requests": {"cpu": "1"}},
        autoscaling={
            "minReplicas": 2,
            "maxReplicas": 4,
            "metrics": [{"type": "CPU", "targetUtilizationPercent": 70}],
        },
    )
    before = {kind: operator.names(kind) for kind in kinds.APPLIED_KINDS}

    for kind, names in before.items():
        for name in names:
            operator.api.remove(kind, KEY.namespace, name)
            await operator.settle(rounds=3)

    assert {kind: operator.names(kind) for kind in kinds.APPLIED_KINDS} == before
    assert before[kinds.DISRUPTION_BUDGET] == {"chat"}
    assert before[kinds.AUTOSCALER] == {"chat"}


async def test_a_child_that_was_edited_is_put_right() -> None:
    """An added key in the Service's selector, which would stop traffic, is taken out."""
    operator = await a_ready_resource()

    operator.api.edit(
        kinds.SERVICE, KEY, lambda obj: obj["spec"]["selector"].update({"extra": "key"})
    )
    await operator.run_queue()

    service = operator.api.find(kinds.SERVICE, *KEY)
    assert service is not None
    assert "extra" not in service["spec"]["selector"]
    assert operator.posted().count("Repaired") == 1


async def test_a_child_lost_while_the_watch_was_down_is_found_by_the_next_list() -> None:
    """What a watch missed is repaired by the list."""
    operator = await a_ready_resource()
    operator.deaf = True
    operator.api.remove(kinds.SERVICE, *KEY)
    operator.deaf = False

    await operator.relist()
    await operator.run_queue()

    assert operator.names(kinds.SERVICE) == {"chat"}


async def test_a_revision_that_never_becomes_ready_leaves_the_old_one_serving() -> None:
    """At the deadline the new Deployment goes; Ready stays True and Stalled says why."""
    operator = await a_ready_resource()
    operator.cluster.broken_sources.add("builtin://tiny")

    operator.write(model=TINY)
    await operator.settle()
    operator.now += timedelta(seconds=1800)
    await operator.settle()

    assert operator.sizes() == {"builtin://simulated": 1}
    assert operator.condition("Ready") == ("True", "Available")
    assert operator.condition("Stalled") == ("True", "ProgressDeadlineExceeded")
    assert len(operator.rollout()["rejected"]) == 1


async def test_a_stable_revision_deleted_by_hand_is_rebuilt_with_its_content() -> None:
    """The snapshot on the Deployment brings the ControllerRevision back."""
    operator = await a_ready_resource()
    (name,) = operator.names(kinds.CONTROLLER_REVISION)
    before = operator.api.find(kinds.CONTROLLER_REVISION, KEY.namespace, name)
    assert before is not None

    operator.api.remove(kinds.CONTROLLER_REVISION, KEY.namespace, name)
    await operator.settle(rounds=3)

    after = operator.api.find(kinds.CONTROLLER_REVISION, KEY.namespace, name)
    assert after is not None
    assert after["data"] == before["data"]
    assert operator.sizes() == {"builtin://simulated": 1}


async def test_a_lost_status_is_recovered_from_what_serves() -> None:
    """A resource restored without its status keeps serving what its Service selects."""
    operator = await a_ready_resource()
    stable = operator.status()["stableRevision"]
    operator.api.edit(kinds.LLM_DEPLOYMENT, KEY, lambda obj: obj.pop("status"), "restore", "status")
    operator.api.edit(kinds.LLM_DEPLOYMENT, KEY, lambda obj: obj["spec"].update(model=TINY))

    await operator.run_queue()

    assert operator.status()["stableRevision"] == stable
    assert operator.sizes() == {"builtin://simulated": 1, "builtin://tiny": 1}


async def test_a_lost_pointer_alone_is_recovered_too() -> None:
    """Without status.stableRevision the Service's selector says what serves."""
    operator = await a_ready_resource()
    stable = operator.status()["stableRevision"]

    def lose(obj: dict[str, Any]) -> None:
        del obj["status"]["stableRevision"]

    operator.api.edit(kinds.LLM_DEPLOYMENT, KEY, lose, "editor", "status")
    operator.write(model=TINY)
    await operator.run_queue()

    service = operator.api.find(kinds.SERVICE, *KEY)
    assert service is not None
    assert service["spec"]["selector"][kinds.REVISION_LABEL] == stable
    assert operator.sizes() == {"builtin://simulated": 1, "builtin://tiny": 1}


async def test_a_refused_spec_does_not_stop_repair_and_scaling() -> None:
    """While a flag is refused, lost children come back and replicas are obeyed."""
    operator = await a_ready_resource(replicas=2)
    operator.write(server={"args": ["--model=other"]})
    await operator.settle(rounds=2)
    (deployment,) = operator.names(kinds.DEPLOYMENT)

    operator.api.remove(kinds.DEPLOYMENT, KEY.namespace, deployment)
    await operator.settle(rounds=4)
    repaired = operator.sizes()
    operator.write(replicas=0)
    await operator.settle(rounds=4)

    assert repaired == {"builtin://simulated": 2}
    assert operator.sizes() == {"builtin://simulated": 0}
    assert operator.condition("Stalled") == ("True", "OwnedFlag")


async def test_a_first_revision_without_room_may_be_made_smaller() -> None:
    """Before anything serves, a lower number of replicas is obeyed at once."""
    operator = OperatorModel()
    await operator.relist()
    operator.cluster.broken_sources.add("builtin://simulated")
    operator.write(replicas=3)
    await operator.settle(rounds=3)

    operator.write(replicas=1)
    await operator.settle(rounds=3)

    assert operator.sizes() == {"builtin://simulated": 1}


async def test_the_newest_rejection_is_the_one_that_a_lost_status_remembers() -> None:
    """After two rejections and a lost status the rejected target is not started again."""
    operator = await a_ready_resource()
    operator.cluster.broken_sources |= {"builtin://tiny", "file:///other"}
    for source in ("builtin://tiny", "file:///other"):
        operator.write(model={"source": source})
        await operator.settle()
        operator.now += timedelta(seconds=1800)
        await operator.settle()

    operator.api.edit(kinds.LLM_DEPLOYMENT, KEY, lambda obj: obj.pop("status"), "restore", "status")
    await operator.settle()

    assert operator.sizes() == {"builtin://simulated": 1}
    assert operator.condition("Stalled") == ("True", "ProgressDeadlineExceeded")


async def test_a_cause_is_read_before_a_foreign_field() -> None:
    """An annotation by somebody else does not hide why the pods are not ready."""
    operator = await a_ready_resource()
    (name,) = operator.names(kinds.DEPLOYMENT)

    def annotate(obj: dict[str, Any]) -> None:
        obj["spec"]["template"]["metadata"]["annotations"] = {"restartedAt": "now"}

    operator.api.edit(kinds.DEPLOYMENT, (KEY.namespace, name), annotate, "kubectl-rollout")
    for pod in operator.names(kinds.POD):

        def trouble(obj: dict[str, Any]) -> None:
            waiting = {"reason": "ErrImagePull", "message": "no words for it"}
            obj["status"]["conditions"][1]["status"] = "False"
            obj["status"]["containerStatuses"] = [{"image": "i", "state": {"waiting": waiting}}]

        operator.api.edit(kinds.POD, ("default", pod), trouble, "kubelet", "status")
    await operator.run_queue()

    assert operator.condition("Ready") == ("False", "ImagePullFailed")
    assert operator.condition("Conflict") == ("True", "ForeignField")


async def test_an_upgraded_operator_restarts_nothing() -> None:
    """A newer default image is used only by revisions whose spec is new."""
    operator = await a_ready_resource()
    before = operator.names(kinds.DEPLOYMENT)

    again = await operator.restart()
    again.environment = type(again.environment)("llm-server:2", 1)
    await again.settle()

    assert again.names(kinds.DEPLOYMENT) == before
    assert again.writes() == []


async def test_a_decision_is_persisted_before_it_is_acted_upon() -> None:
    """A new revision: its record, then the status that names it, then its Deployment."""
    operator = await a_ready_resource()

    operator.write(model=TINY)
    await operator.run_queue()

    assert operator.writes()[:3] == [
        ("apply", "ControllerRevision"),
        ("patch", "LLMDeployment"),
        ("apply", "Deployment"),
    ]


async def test_a_hot_edit_reaches_the_child_before_the_status_reports_it() -> None:
    """A status that decides nothing keeps no child waiting."""
    operator = await a_ready_resource()

    operator.write(service={"type": "ClusterIP", "port": 80, "annotations": {"a": "b"}})
    await operator.run_queue()

    assert operator.writes() == [("apply", "Service"), ("patch", "LLMDeployment")]


async def test_a_refused_spec_changes_nothing_and_names_the_field() -> None:
    """A flag that the operator renders is refused in the status; what serves goes on."""
    operator = await a_ready_resource()

    operator.write(server={"args": ["--model=other"]})
    await operator.settle()

    assert operator.writes() == [("patch", "LLMDeployment")]
    assert operator.condition("Stalled") == ("True", "OwnedFlag")
    assert operator.condition("Ready")[0] == "True"
    assert operator.sizes() == {"builtin://simulated": 1}


async def test_a_foreign_service_is_a_conflict_and_the_rest_goes_on() -> None:
    """A Service of somebody else is not touched; the condition names it."""
    operator = OperatorModel()
    await operator.relist()
    foreign = {
        "metadata": {"name": "chat", "namespace": "default"},
        "spec": {"selector": {"app": "other"}, "ports": [{"port": 80}], "type": "ClusterIP"},
    }
    operator.api.create(kinds.SERVICE, foreign, "kubectl")

    operator.write()
    await operator.settle(rounds=5)

    service = operator.api.find(kinds.SERVICE, *KEY)
    assert service is not None
    assert service["spec"]["selector"] == {"app": "other"}
    assert operator.condition("Conflict") == ("True", "ForeignObject")
    assert operator.sizes() == {"builtin://simulated": 1}


@pytest.mark.parametrize("made", ["2025-01-01T00:00:00Z", "2026-11-22T12:00:00Z"])
async def test_a_foreign_account_is_a_conflict_and_stays_as_it_is(made: str) -> None:
    """Nothing of it collides with ours; neither then nor later is it touched, however old it is."""
    operator = OperatorModel()
    await operator.relist()
    metadata = {"name": "chat", "namespace": "default", "creationTimestamp": made}
    operator.api.create(kinds.SERVICE_ACCOUNT, {"metadata": metadata}, "kubectl")
    before = copy.deepcopy(operator.api.find(kinds.SERVICE_ACCOUNT, *KEY))

    operator.write()
    await operator.settle(rounds=5)
    assert operator.condition("Conflict") == ("True", "ForeignObject")
    operator.writes()
    for _ in range(3):
        operator.now += REFUSAL_RETRY
        await operator.settle(rounds=5)
        assert operator.condition("Conflict") == ("True", "ForeignObject")
        assert set(operator.writes()) == {("apply", "ServiceAccount")}

    assert operator.api.find(kinds.SERVICE_ACCOUNT, *KEY) == before


async def test_an_account_that_the_spec_names_is_no_conflict() -> None:
    """Who brings an account of the resource's own name keeps it."""
    operator = OperatorModel()
    await operator.relist()
    account = {"metadata": {"name": "chat", "namespace": "default"}}
    operator.api.create(kinds.SERVICE_ACCOUNT, account, "kubectl")

    operator.write(podTemplate={"spec": {"serviceAccountName": "chat"}})
    await operator.settle(rounds=5)

    assert operator.condition("Conflict")[0] == "False"
    live = operator.api.find(kinds.SERVICE_ACCOUNT, *KEY)
    assert live is not None
    assert "ownerReferences" not in live["metadata"]


async def test_an_own_account_stays_when_the_spec_comes_to_name_it() -> None:
    """Naming what the operator made is no reason to take it away from the pods."""
    operator = await a_ready_resource()

    operator.write(podTemplate={"spec": {"serviceAccountName": "chat"}})
    await operator.settle(rounds=5)
    field = "automountServiceAccountToken"
    operator.api.edit(kinds.SERVICE_ACCOUNT, KEY, lambda obj: obj.update({field: True}))
    await operator.settle(rounds=5)

    account = operator.api.find(kinds.SERVICE_ACCOUNT, *KEY)
    assert account is not None
    assert account[field] is False


async def test_a_child_that_lost_its_label_gets_it_back() -> None:
    """The cache loses sight of it, yet its owner reference says whose it is."""
    operator = await a_ready_resource()
    label = kinds.MANAGED_BY_LABEL
    operator.api.edit(kinds.SERVICE, KEY, lambda obj: obj["metadata"]["labels"].pop(label))
    await operator.relist()
    await operator.settle(rounds=5)

    live = operator.api.find(kinds.SERVICE, *KEY)
    assert live is not None
    assert live["metadata"]["labels"][label] == kinds.FIELD_MANAGER
    assert operator.condition("Conflict")[0] == "False"


async def test_an_object_that_the_api_server_refuses_is_named_in_stalled() -> None:
    """A 422 of a child is the spec's fault, and is said with the API server's words."""
    operator = OperatorModel()
    await operator.relist()

    def refuse(verb: str, kind: kinds.ResourceKind) -> None:
        if (verb, kind) == ("apply", kinds.DEPLOYMENT):
            raise Invalid("spec.template.spec.volumes[2]: not found", 422)

    operator.api.before_request = refuse
    operator.write()
    await operator.settle(rounds=5)

    assert operator.condition("Stalled") == ("True", "SpecInvalid")
    stalled = next(c for c in operator.status()["conditions"] if c["type"] == "Stalled")
    assert "volumes[2]" in stalled["message"]


async def test_a_refused_object_is_tried_again_after_an_edit() -> None:
    """A correction is carried out at once, not after the waiting time of a refusal."""
    operator = OperatorModel()
    await operator.relist()
    operator.api.before_request = _refuse_deployments
    operator.write()
    await operator.settle(rounds=2)

    operator.api.before_request = lambda _, __: None
    operator.write(model=TINY)
    await operator.run_queue()

    assert operator.sizes() == {"builtin://tiny": 1}


def _refuse_deployments(verb: str, kind: kinds.ResourceKind) -> None:
    if (verb, kind) == ("apply", kinds.DEPLOYMENT):
        raise Invalid("no", 422)


@pytest.mark.parametrize("fails_at", range(1, 12))
async def test_a_pass_that_fails_at_any_write_converges_to_the_same_end(fails_at: int) -> None:
    """A crash or an error between two writes loses and doubles nothing."""
    undisturbed = await a_ready_resource(replicas=2)
    undisturbed.write(model=TINY)
    await undisturbed.settle()
    operator = OperatorModel()
    await operator.relist()
    count = 0

    def fail_once(verb: str, kind: kinds.ResourceKind) -> None:
        nonlocal count
        count += verb not in ("list", "get") and kind != kinds.EVENT
        if count == fails_at:
            count += 1
            raise ClusterUnavailable("lost")

    operator.api.before_request = fail_once
    operator.write(replicas=2)
    await operator.settle()
    operator.write(model=TINY)
    await operator.settle()

    assert operator.sizes() == undisturbed.sizes()
    assert operator.status()["stableRevision"] == undisturbed.status()["stableRevision"]
    assert operator.condition("Ready") == ("True", "Available")


async def test_a_deleted_and_recreated_resource_waits_for_the_old_children() -> None:
    """Children of a predecessor of the same name are not touched; garbage collection takes them."""
    operator = await a_ready_resource()
    stale = operator.api.find(kinds.SERVICE, *KEY)
    operator.api.objects.pop((kinds.LLM_DEPLOYMENT, *KEY))
    resource = an_llm_deployment()
    resource["metadata"] |= {"creationTimestamp": operator.now.isoformat()}
    del resource["metadata"]["uid"], resource["metadata"]["resourceVersion"]
    operator.api.create(kinds.LLM_DEPLOYMENT, resource, "kubectl")
    operator.writes()

    await operator.run_queue()

    assert operator.api.find(kinds.SERVICE, *KEY) == stale
    assert ("apply", "Service") not in operator.writes()


async def test_events_are_posted_on_transitions_only() -> None:
    """Becoming ready is news once."""
    operator = await a_ready_resource()
    posted = [event["reason"] for _, event in operator.api.events]

    await operator.relist()
    await operator.settle()

    assert [event["reason"] for _, event in operator.api.events] == posted
    assert posted.count("Available") == 1


async def test_an_apply_that_something_undoes_is_not_repeated_for_ever() -> None:
    """A webhook that takes a label away again costs one apply, not one per pass."""
    operator = await a_ready_resource()
    apply = operator.api.apply

    async def mutated(kind: kinds.ResourceKind, obj: Mapping[str, Any], uid: str) -> Object:
        live = operator.api.find(kind, KEY.namespace, obj["metadata"]["name"])
        if kind != kinds.SERVICE or live is None:
            return await apply(kind, obj, uid)
        operator.api.requests.append(("apply", kind.kind))
        return live

    operator.api.apply = mutated  # type: ignore[method-assign]
    operator.api.edit(kinds.SERVICE, KEY, lambda obj: obj["spec"]["selector"].update(odd="key"))
    for _ in range(5):
        operator.queue.add(KEY, Lane.EDIT)
        await operator.run_queue()

    assert operator.writes().count(("apply", "Service")) == 1


async def test_a_status_stays_small() -> None:
    """A status is below 8 KiB even with many troubled pods and long messages."""
    operator = await a_ready_resource(replicas=8)
    for pod in operator.names(kinds.POD):

        def trouble(obj: dict[str, Any]) -> None:
            waiting = {"reason": "ErrImagePull", "message": "x" * 4000}
            obj["status"]["conditions"][1]["status"] = "False"
            obj["status"]["containerStatuses"] = [{"image": "i", "state": {"waiting": waiting}}]

        operator.api.edit(kinds.POD, ("default", pod), trouble, "kubelet", "status")
    await operator.run_queue()

    assert operator.condition("Ready") == ("False", "ImagePullFailed")
    assert len(json.dumps(operator.status())) < 8 * 1024
    assert Status.from_json(operator.status()).to_json() == operator.status()


async def test_a_race_for_a_new_object_is_no_conflict_with_anyone() -> None:
    """A 409 that names no field is tried again; until then nothing is decided without the object.

    Otherwise a rollout could begin, and even end, before its revision is kept.
    """
    operator = await a_ready_resource()
    refused: list[Conflict] = []

    def lose_once(verb: str, kind: kinds.ResourceKind) -> None:
        if (verb, kind) == ("apply", kinds.CONTROLLER_REVISION) and not refused:
            refused.append(Conflict("the object has been modified"))
            raise refused[0]

    operator.api.before_request = lose_once
    operator.write(model=TINY)
    await operator.run_queue()
    phase_without_record, records = operator.phase(), operator.names(kinds.CONTROLLER_REVISION)
    await operator.settle()

    assert refused
    assert (phase_without_record, len(records)) == ("Stable", 1)
    newest = max(operator.cluster.all(kinds.CONTROLLER_REVISION), key=lambda obj: obj["revision"])
    assert newest["metadata"]["annotations"].keys() >= {STARTED_ANNOTATION, VERDICT_ANNOTATION}
    assert "ForeignObject" not in operator.posted()


async def test_a_deletion_that_meets_a_conflict_is_looked_at_again_soon() -> None:
    """No watch brings news where the object is still the same one."""
    operator = await a_ready_resource()
    refused: list[Conflict] = []

    def lose_once(verb: str, kind: kinds.ResourceKind) -> None:
        if verb == "delete" and not refused:
            refused.append(Conflict("the object has been modified"))
            raise refused[0]

    operator.api.before_request = lose_once
    operator.write(model=TINY)
    await operator.until(lambda: bool(refused))
    await operator.settle(5)

    assert operator.sizes() == {TINY["source"]: 1}
