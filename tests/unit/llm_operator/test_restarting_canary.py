"""A canary that serves, ends, comes back and ends again: the operator on a model of a cluster."""

from typing import Any

import pytest

from llm_operator import kinds
from tests.models.operator import OperatorModel
from tests.models.pods import NAMESPACE, is_ready, source_of
from tests.unit.llm_operator.test_rollouts import (
    NEW,
    OLD,
    a_served_resource,
    edited,
    is_over,
    rollout,
)


def restart_servers(operator: OperatorModel, source: str, exit_code: int) -> None:
    """Have the servers of all ready pods of a model end once; they come back by themselves."""
    ended = {"terminated": {"exitCode": exit_code, "reason": "Error"}}

    def change(pod: dict[str, Any]) -> None:
        status = pod["status"]
        status["conditions"][1]["status"] = "False"
        (before,) = status.get("containerStatuses") or [{"restartCount": 0}]
        server = {"name": "server", "image": "llm-server:1", "state": {"running": {}}}
        server |= {"restartCount": before["restartCount"] + 1, "lastState": ended}
        status["containerStatuses"] = [server]

    for pod in operator.cluster.all(kinds.POD):
        if source_of(pod) == source and is_ready(pod):
            name = (NAMESPACE, pod["metadata"]["name"])
            operator.api.edit(kinds.POD, name, change, "kubelet", "status")


async def lives(operator: OperatorModel, *exit_codes: int) -> None:
    """Let the canary carry traffic until it is judged, and end, once for each exit code."""
    for exit_code in exit_codes:
        await operator.until(
            lambda: operator.rollout().get("windowStartedAt") or is_over(operator)()
        )
        restart_servers(operator, NEW, exit_code)
        await operator.turn()


@pytest.mark.parametrize("restarts_operator", [False, True])
async def test_a_lone_canary_that_ends_twice_alike_is_rolled_back(restarts_operator: bool) -> None:
    """Its share and its window go with each end; what is counted stays, also over a restart."""
    operator = await a_served_resource(replicas=1)
    await edited(operator)

    await lives(operator, 139)
    if restarts_operator:
        operator = await operator.restart()
    await lives(operator, 139)
    await operator.until(is_over(operator), turns=30)

    assert operator.phase() == "RolledBack"
    assert operator.condition("Stalled") == ("True", "CanaryRestarting")
    assert "exit code 139 more than once" in operator.message("Stalled")
    assert operator.serving() == {OLD: 1}


async def test_one_of_two_pods_that_ends_twice_alike_condemns_the_canary() -> None:
    """The other one serves, but what ends like that will go on ending; steps do not matter."""
    steps = [{"weightPercent": 50, "minSeconds": 10}, {"weightPercent": 100, "minSeconds": 10}]
    operator = await a_served_resource(replicas=2, rollout=rollout(steps=steps))
    await edited(operator)

    await lives(operator, 139)
    await operator.until(lambda: operator.rollout().get("step") == 2)
    await lives(operator, 139)
    await operator.until(is_over(operator), turns=60)

    assert operator.condition("Stalled") == ("True", "CanaryRestarting")


async def test_a_canary_that_ends_once_is_promoted() -> None:
    """One accident is no pattern: it is given its share again, and time to prove itself."""
    operator = await a_served_resource(replicas=1)
    await edited(operator)

    await lives(operator, 139)
    await operator.until(is_over(operator))

    assert operator.serving() == {NEW: 1}
