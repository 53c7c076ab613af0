"""Rules of what whole passes write into the history: verdict and digests in one write."""

from typing import Any

from llm_operator import kinds
from llm_operator.desired.revision import (
    IMAGE_DIGEST_ANNOTATION,
    VERDICT_ANNOTATION,
)
from tests.models.operator import KEY, OperatorModel

DIGEST, OTHER_DIGEST = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
QUICK = {"strategy": "BlueGreen", "bakeSeconds": 1}


async def an_operator(image_id: str = f"llm-server@{DIGEST}", **spec: Any) -> OperatorModel:
    """Return an operator whose one resource has come to rest on nodes that report an image."""
    operator = OperatorModel()
    operator.cluster.image_id = image_id
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
