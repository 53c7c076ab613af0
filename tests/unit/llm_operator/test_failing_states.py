"""Rules of whole passes over a resource in trouble: the cause is named, once, and rarely read."""

import json
from collections import Counter
from typing import Any

import pytest

from llm_operator import kinds
from llm_server.contract import BUILTIN_MODELS
from llm_server.models.failures import StartupError
from llm_server.models.source import parse_source
from tests.diagnosis_builders import crashed
from tests.models.operator import KEY, OperatorModel

BAD = {"source": "builtin://tiny"}


async def a_hanging_resource() -> OperatorModel:
    """Return an operator whose one resource has a pod that is never made ready."""
    operator = OperatorModel()
    operator.cluster.broken_sources.add(BAD["source"])
    await operator.relist()
    operator.write(model=BAD, rollout={"progressDeadlineSeconds": 86400})
    await operator.settle(rounds=3)
    return operator


def put_event(operator: OperatorModel, reason: str, note: str) -> None:
    """Have the kubelet say something about each pod."""
    for name, uid in operator.uids().items():
        event: dict[str, Any] = {
            "metadata": {"name": f"{name}.{reason}", "namespace": KEY.namespace},
            "regarding": {"kind": "Pod", "name": name, "uid": uid},
            "reason": reason,
            "note": note,
        }
        operator.api.create(kinds.EVENT, event, "kubelet")


def change_pods(operator: OperatorModel, **status: Any) -> None:
    """Have the kubelet report something else about each pod."""
    for name in operator.uids():
        operator.api.edit(
            kinds.POD,
            (KEY.namespace, name),
            lambda pod: pod["status"].update(status),
            "kubelet",
            "status",
        )


def requests(operator: OperatorModel) -> Counter[tuple[str, str]]:
    """Return and forget the operator's requests."""
    made = Counter(operator.api.requests)
    operator.api.requests.clear()
    return made


async def test_a_missing_secret_behind_a_volume_is_named() -> None:
    """The pod's status says nothing; its events do, and the operator comes back to read them."""
    operator = await a_hanging_resource()
    put_event(
        operator, "FailedMount", 'MountVolume.SetUp failed for volume "k" : secret "s" not found'
    )

    await operator.settle(rounds=10)

    assert operator.condition("Ready") == ("False", "SecretMissing")
    assert 'secret "s" not found' in operator.message("Ready")


async def test_an_unknown_builtin_model_is_named_with_field_and_choice() -> None:
    """ModelNotFound: spec.model.source is to be corrected, to one of the builtin models."""
    operator = await a_hanging_resource()
    with pytest.raises(StartupError) as refused:
        parse_source("builtin://nope")
    left = {"reason": refused.value.reason, "message": refused.value.message}
    change_pods(operator, containerStatuses=[crashed(1, json.dumps(left))])

    await operator.settle(rounds=3)

    assert operator.condition("Ready") == ("False", "ModelNotFound")
    said = operator.message("Ready")
    assert all(words in said for words in ("spec.model.source", "builtin://nope", *BUILTIN_MODELS))


async def test_a_trouble_that_stays_is_written_once() -> None:
    """An hour of the same trouble costs no write, and one reading a minute."""
    operator = await a_hanging_resource()
    put_event(
        operator, "FailedMount", 'MountVolume.SetUp failed for volume "k" : secret "s" not found'
    )
    await operator.settle(rounds=60)
    requests(operator)

    await operator.settle(rounds=360, seconds=10)

    assert requests(operator) <= Counter({("list", "Event"): 61, ("get", "Node"): 61})


async def test_a_crash_loop_is_written_once_however_often_it_turns() -> None:
    """Restart counts, back-offs and the running pieces in between are no news."""
    operator = await a_hanging_resource()
    change_pods(operator, containerStatuses=[crashed(1, "boom", restarts=3)])
    await operator.settle(rounds=3)
    assert operator.condition("Ready") == ("False", "CrashLooping")
    requests(operator)

    for restarts in range(4, 40):
        between = crashed(1, "boom", restarts=restarts)
        change_pods(operator, containerStatuses=[between | {"state": {"running": {}}}])
        await operator.run_queue()
        change_pods(operator, containerStatuses=[between])
        await operator.run_queue()

    assert requests(operator) == Counter()


async def test_a_resource_that_is_well_is_never_read_about() -> None:
    """From the creation to a steady state of ten minutes no event, claim or node is read."""
    operator = OperatorModel()
    await operator.relist()
    operator.api.requests.clear()
    operator.write()
    await operator.settle(rounds=10)
    await operator.settle(rounds=60, seconds=10)

    assert operator.condition("Ready") == ("True", "Available")
    assert not {request for request in requests(operator) if request[0] in ("list", "get")}
