import random
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from kubectl_llm.client import Belongings
from kubectl_llm.manifest import merged_spec
from kubectl_llm.planning import ChangePlan, Proposal, make_plan
from llm_operator import kinds
from tests.models.operator import KEY, OperatorModel

EDITS: Final = 50
TURNS_MAX: Final = 600

Spec = dict[str, Any]


@dataclass(slots=True)
class PodWatch:
    """Counts pods that come and pods that go, by watching the API server."""

    seen: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)

    def tell(self, change: str, kind: kinds.ResourceKind, obj: dict[str, Any]) -> None:
        """Take note of a change."""
        if kind != kinds.POD:
            return
        uid = obj["metadata"]["uid"]
        self.seen.add(uid)
        if change == "DELETED" or "deletionTimestamp" in obj["metadata"]:
            self.ended.add(uid)

    def counts(self) -> tuple[int, int]:
        """Return (created, removed) so far."""
        return len(self.seen), len(self.ended)


def an_edit(choose: random.Random) -> Spec:
    """Return fields of a spec, hot and revisioned, as somebody might write them together."""
    weights = sorted(choose.sample([10, 25, 40, 50, 75, 100], choose.randint(1, 3)))
    steps: list[Spec] = [
        {"weightPercent": weight, "minSeconds": choose.choice([0, 4])} for weight in weights
    ]
    if choose.random() < 0.2:
        steps[0]["pause"] = {"seconds": 4} if choose.random() < 0.5 else {}
    rollout = {
        "strategy": choose.choice(["Canary", "Canary", "Rolling", "BlueGreen", "Recreate"]),
        "steps": steps,
        "maxExtraReplicas": choose.choice([0, 1, 1, 2]),
        "minServingPercent": choose.choice([0, 50, 100]),
        "bakeSeconds": choose.choice([0, 6]),
        "analysis": {"intervalSeconds": 2, "minRequests": 10},
    }
    spec: Spec = {"rollout": rollout}
    if choose.random() < 0.8:
        spec["model"] = {"source": choose.choice(["builtin://a", "builtin://b", "builtin://c"])}
    if choose.random() < 0.3:
        spec["server"] = {"maxQueuedRequests": choose.choice([8, 16])}
    if choose.random() < 0.4:
        spec["replicas"] = choose.choice([0, 1, 2, 3, 4])
    if choose.random() < 0.2:
        spec["service"] = {"type": "ClusterIP", "port": choose.choice([80, 8080])}
    return spec


def plan_for(operator: OperatorModel, edit: Spec) -> ChangePlan:
    """Foretell an edit of the resource as it is now."""
    live = operator.resource()
    proposal = Proposal(
        *KEY,
        live=live,
        spec=merged_spec(live, {"spec": edit}),
        belongings=Belongings(
            *(
                tuple(operator.cluster.all(kind))
                for kind in (kinds.CONTROLLER_REVISION, kinds.DEPLOYMENT, kinds.POD)
            )
        ),
        optional_kinds=frozenset(),
    )
    return make_plan(proposal, operator.now)


def is_settled(operator: OperatorModel) -> bool:
    """Whether no rollout is under way, or none goes on by itself, and the pods are as asked."""
    resource, status = operator.resource(), operator.status()
    if status.get("observedGeneration") != resource["metadata"]["generation"]:
        return False
    pods = operator.cluster.all(kinds.POD)
    wanted = sum(obj["spec"]["replicas"] for obj in operator.cluster.all(kinds.DEPLOYMENT))
    is_quiet = len(pods) == wanted and len(operator.ready()) == len(
        {pod["metadata"]["labels"][kinds.REVISION_LABEL] for pod in pods}
    )
    return (
        operator.phase() in ("Stable", "RolledBack")
        and is_quiet
        and wanted == wanted_total(operator)
    )


def wanted_total(operator: OperatorModel) -> int:
    """Return the replicas of the spec."""
    return int(operator.resource()["spec"]["replicas"])


async def play(operator: OperatorModel) -> None:
    """Let everything happen, with a person who ends pauses that have no end."""
    quiet = 0
    for _ in range(TURNS_MAX):
        await operator.turn()
        rollout = operator.rollout()
        if operator.phase() == "Paused" and "pauseUntil" not in rollout:
            operator.command("promote-step", nonce=f"n-{operator.now:%H%M%S}")
        quiet = quiet + 1 if is_settled(operator) else 0
        if quiet >= 4:
            return
    raise AssertionError(f"not settled after {TURNS_MAX} turns: {operator.status()}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_hasty", [False, True], ids=["one after another", "into each other"])
async def test_a_plan_foretells_created_and_removed_pods_exactly(is_hasty: bool) -> None:
    """Over 50 random edits, the pods that come and go are as many as the plan said each time.

    Edits into each other are made a few turns after the one before, wherever its rollout is then.
    """
    choose = random.Random(20260101)
    operator, watch = OperatorModel(), PodWatch()
    operator.api.listeners.append(watch.tell)
    operator.write(**{**an_edit(choose), "replicas": 2})
    await play(operator)
    wrong = []
    for number in range(EDITS):
        if is_hasty:
            operator.write(**an_edit(choose))
            for _ in range(choose.randint(1, 12)):
                await operator.turn()
        edit, before = an_edit(choose), watch.counts()
        plan = plan_for(operator, edit)
        operator.write(**edit)
        await play(operator)
        after = watch.counts()
        happened = (after[0] - before[0], after[1] - before[1])
        if happened != (plan.created, plan.removed):
            wrong.append((number, edit, (plan.created, plan.removed), happened))
    assert wrong == []
    assert min(watch.counts()) > EDITS, "hardly any pod was replaced: nothing was tried"
