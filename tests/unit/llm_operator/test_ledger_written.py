"""Rules of what whole passes write into the history: verdict and digests in one write."""

from typing import Any

import pytest

from llm_operator import kinds
from llm_operator.desired.revision import (
    IMAGE_DIGEST_ANNOTATION,
    MODEL_COMMIT_ANNOTATION,
    VERDICT_ANNOTATION,
)
from tests.models.operator import KEY, OperatorModel

DIGEST, OTHER_DIGEST = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
QUICK = {"strategy": "BlueGreen", "bakeSeconds": 1}


FIRST, SECOND = "hf://org/first", "hf://org/second@next"
COMMITS = {FIRST: "1" * 40, SECOND: "2" * 40}


async def an_operator(image_id: str = f"llm-server@{DIGEST}", **spec: Any) -> OperatorModel:
    """Return an operator whose one resource has come to rest on nodes that report an image."""
    operator = OperatorModel()
    operator.cluster.image_id = image_id
    operator.load.commits = COMMITS
    await operator.relist()
    operator.write(**{"rollout": QUICK, **spec})
    await operator.settle()
    return operator


def history(operator: OperatorModel) -> dict[int, dict[str, str]]:
    """Return the annotations of the kept revisions by number."""
    kept = operator.cluster.all(kinds.CONTROLLER_REVISION)
    return {obj["revision"]: obj["metadata"].get("annotations", {}) for obj in kept}


def revision_writes(operator: OperatorModel) -> int:
    """Count and forget the writes of ControllerRevisions."""
    return sum(kind == kinds.CONTROLLER_REVISION.kind for _, kind in operator.writes())


async def test_the_digest_comes_in_the_write_that_promotes() -> None:
    """A rollout writes its revision twice, when it begins and when it is decided."""
    operator = await an_operator()

    assert history(operator)[1][VERDICT_ANNOTATION] == "Promoted"
    assert history(operator)[1][IMAGE_DIGEST_ANNOTATION] == DIGEST
    assert revision_writes(operator) == 2

    operator.cluster.image_id = OTHER_DIGEST
    operator.write(model={"source": "builtin://tiny"})
    await operator.settle()

    digests = {number: kept[IMAGE_DIGEST_ANNOTATION] for number, kept in history(operator).items()}
    assert digests == {1: DIGEST, 2: OTHER_DIGEST}
    assert revision_writes(operator) == 2


async def test_a_restart_writes_no_digest_again() -> None:
    """Nor do pods that come and go: what is recorded stays, and nothing is to be done."""
    operator = await an_operator(replicas=2)
    operator.writes()

    again = await operator.restart()
    await again.settle()
    assert again.writes() == []

    operator.cluster.image_id = OTHER_DIGEST
    again.api.remove(kinds.POD, KEY.namespace, min(again.uids()))
    await again.settle()
    assert revision_writes(again) == 0


async def test_a_revision_that_was_promoted_without_pods_gets_its_digest_once_one_is_ready() -> (
    None
):
    """At 0 replicas nothing is known; the first ready pod brings one write, and no more follow."""
    operator = await an_operator(replicas=0)
    assert IMAGE_DIGEST_ANNOTATION not in history(operator)[1]
    operator.writes()

    operator.write(replicas=3)
    await operator.settle()

    assert history(operator)[1][IMAGE_DIGEST_ANNOTATION] == DIGEST
    assert revision_writes(operator) == 1


@pytest.mark.parametrize("strategy", ["Canary", "BlueGreen", "Rolling", "Recreate"])
async def test_the_commit_of_a_hub_s_branch_comes_in_the_write_that_promotes(
    strategy: str,
) -> None:
    """With a judge and without one, and for a first revision; the status names it too."""
    quick = {**QUICK, "strategy": strategy, "steps": [{"weightPercent": 50, "minSeconds": 4}]}
    quick["analysis"] = {"intervalSeconds": 2, "minRequests": 5}
    operator = await an_operator(model={"source": FIRST}, replicas=2, rollout=quick)
    assert history(operator)[1][MODEL_COMMIT_ANNOTATION] == COMMITS[FIRST]
    assert operator.status()["model"]["revision"] == COMMITS[FIRST]
    assert revision_writes(operator) == 2

    operator.write(model={"source": SECOND})
    await operator.settle(rounds=60)

    assert history(operator)[2][VERDICT_ANNOTATION] == "Promoted"
    assert history(operator)[2][MODEL_COMMIT_ANNOTATION] == COMMITS[SECOND]
    assert operator.status()["model"]["revision"] == COMMITS[SECOND]
    assert revision_writes(operator) == 2


async def test_a_commit_that_no_pod_tells_holds_nothing_up() -> None:
    """The revision is promoted, the status has what the source names, and nobody asks again."""
    operator = OperatorModel()
    operator.load.mute_sources = {SECOND}
    await operator.relist()
    operator.write(model={"source": SECOND}, rollout=QUICK)
    await operator.settle()
    asked = operator.load.readings

    await operator.settle()

    assert history(operator)[1][VERDICT_ANNOTATION] == "Promoted"
    assert MODEL_COMMIT_ANNOTATION not in history(operator)[1]
    assert operator.status()["model"]["revision"] == "next"
    assert operator.load.readings == asked


async def test_pods_are_not_asked_for_a_commit_where_there_is_none() -> None:
    """A first revision of a builtin model, or of a named commit, costs no reading."""
    for source in ("builtin://tiny", f"hf://org/name@{'a' * 40}"):
        operator = await an_operator(model={"source": source})
        assert operator.load.readings == 0
