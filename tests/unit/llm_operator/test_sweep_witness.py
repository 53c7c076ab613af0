"""Rules of the witness of a sweep: each kind of unsafe write is noticed, and safe ones are not."""

from collections.abc import Callable
from typing import Any

import pytest

from llm_operator import kinds
from llm_operator.rollout.state import Step
from tests.models.operator import KEY, OperatorModel
from tests.models.sweep.run import NEW, OLD, ROLLOUT, TOTAL
from tests.models.sweep.witness import Witness

Change = Callable[[dict[str, Any]], object]


async def an_unready_canary() -> tuple[OperatorModel, Witness]:
    """Return a rollout whose first canary pod has just been made, under the eyes of a witness."""
    operator = OperatorModel()
    await operator.relist()
    operator.write(replicas=TOTAL, rollout=ROLLOUT)
    await operator.until(lambda: operator.serving() == {OLD: TOTAL})
    await operator.settle(5)
    operator.write(model={"source": NEW})
    await operator.until(lambda: len(operator.cluster.all(kinds.POD)) > TOTAL)
    await operator.run_queue()
    witness = Witness(operator.cluster, TOTAL, (Step(50), Step(100)))
    witness.follow_routes()
    witness.begin_pass()
    return operator, witness


def named(operator: OperatorModel, source: str) -> tuple[str, str]:
    """Return namespace and name of the Deployment of a model."""
    deployments = operator.cluster.all(kinds.DEPLOYMENT)
    found = next(obj for obj in deployments if source in str(obj["spec"]["template"]))
    return KEY.namespace, found["metadata"]["name"]


def resize(replicas: int) -> Change:
    """Return the change of a Deployment's size."""
    return lambda obj: obj["spec"].update(replicas=replicas)


def retemplate(obj: dict[str, Any]) -> None:
    """Change what the pods of a Deployment are made from."""
    obj["spec"]["template"]["spec"]["containers"][0]["image"] = "other:1"


@pytest.mark.parametrize(
    ("source", "change", "rules"),
    [
        pytest.param(OLD, resize(1), {"I2", "HELD"}, id="stable is made smaller"),
        pytest.param(OLD, resize(0), {"I2", "I13", "HELD"}, id="stable is emptied"),
        pytest.param(NEW, resize(4), {"I6"}, id="more pods than there is room for"),
        pytest.param(OLD, retemplate, {"I3"}, id="the template of stable changes"),
        pytest.param(NEW, resize(1), set(), id="nothing changes"),
    ],
)
async def test_an_unsafe_write_to_a_deployment_is_noticed(
    source: str, change: Change, rules: set[str]
) -> None:
    """Sizes and templates of a rollout that is being prepared."""
    operator, witness = await an_unready_canary()

    with witness.watching(kinds.DEPLOYMENT):
        operator.api.edit(kinds.DEPLOYMENT, named(operator, source), change)

    assert {problem.partition(":")[0] for problem in witness.broken} == rules


async def test_a_stable_deployment_that_is_deleted_is_noticed() -> None:
    """Nothing takes stable away before the bake is over."""
    operator, witness = await an_unready_canary()

    with witness.watching(kinds.DEPLOYMENT):
        operator.api.remove(kinds.DEPLOYMENT, *named(operator, OLD))

    assert "I3" in {problem.partition(":")[0] for problem in witness.broken}


async def test_traffic_for_an_unready_canary_is_noticed() -> None:
    """A Service that selects pods which are not ready serves nobody."""
    operator, witness = await an_unready_canary()
    canary = operator.rollout()["target"]

    with witness.watching(kinds.SERVICE):
        operator.api.edit(
            kinds.SERVICE,
            KEY,
            lambda obj: obj["spec"]["selector"].update({kinds.REVISION_LABEL: canary}),
        )

    assert {"I1", "I13"} <= {problem.partition(":")[0] for problem in witness.broken}


async def test_a_pointer_that_moves_before_traffic_is_noticed() -> None:
    """What is called stable has all traffic."""
    operator, witness = await an_unready_canary()
    canary = operator.rollout()["target"]

    with witness.watching(kinds.LLM_DEPLOYMENT):
        operator.api.edit(
            kinds.LLM_DEPLOYMENT, KEY, lambda obj: obj["status"].update(stableRevision=canary)
        )

    assert {problem.partition(":")[0] for problem in witness.broken} == {"POINTER"}
