"""One object for each state that a resource can be in, out of runs of the operator's model."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from llm_operator import kinds
from tests.models.operator import KEY, OperatorModel
from tests.models.pods import mark, source_of

Json = dict[str, Any]
Question = Callable[[OperatorModel], bool]
Act = Callable[[OperatorModel], object]

OLD: Final = "builtin://simulated"
NEW: Final = "builtin://tiny"
TOTAL: Final = 4
DEADLINE_SECONDS: Final = 60
ACCELERATOR: Final = {"resourceName": "nvidia.com/gpu"}


@dataclass(slots=True)
class Run:
    """A resource on its way into a state."""

    operator: OperatorModel = field(default_factory=OperatorModel)
    passed: list[Json] = field(default_factory=list)
    """Every object whose status told of the newest spec, as the API server had it."""

    def __post_init__(self) -> None:
        """Keep what a watch of the resource shows."""
        self.operator.api.listeners.append(self._keep)

    def _keep(self, change: str, kind: kinds.ResourceKind, obj: Json) -> None:
        del change
        seen = obj.get("status", {}).get("observedGeneration")
        if kind == kinds.LLM_DEPLOYMENT and seen == obj["metadata"]["generation"]:
            self.passed.append(obj)


async def begun(until: Question, *acts: Act) -> Run:
    """Return a run from a new resource on."""
    run = Run()
    for act in acts:
        act(run.operator)
    await run.operator.relist()
    run.operator.write(replicas=TOTAL, rollout=_rollout())
    await run.operator.until(partial(until, run.operator))
    return run


async def changed(until: Question, *acts: Act, **policy: Any) -> Run:
    """Return a run from the first acts on a resource that serves, until something is so."""
    run = Run()
    await run.operator.relist()
    run.operator.write(replicas=TOTAL, rollout=_rollout(**policy))
    await run.operator.until(partial(is_served, run.operator))
    for act in acts:
        act(run.operator)
    await run.operator.run_queue()
    await run.operator.until(partial(until, run.operator))
    return run


def _rollout(**policy: Any) -> Json:
    return {
        "strategy": "Canary",
        "steps": [{"weightPercent": percent, "minSeconds": 10} for percent in (25, 50, 100)],
        "bakeSeconds": 10,
        "progressDeadlineSeconds": DEADLINE_SECONDS,
        "analysis": {"intervalSeconds": 2, "minRequests": 20},
        **policy,
    }


# What is done


def edit(operator: OperatorModel) -> None:
    """Ask for another model."""
    operator.write(model={"source": NEW})


def fail(operator: OperatorModel) -> None:
    """Let every request to the new model fail."""
    operator.load.failing_sources.add(NEW)


def go_mute(operator: OperatorModel) -> None:
    """Let no metrics of the new model be read."""
    operator.load.mute_sources.add(NEW)


def crash(operator: OperatorModel) -> None:
    """Let the servers of the old model crash."""
    operator.cluster.crashing_sources.add(OLD)


def lose_a_pod(operator: OperatorModel) -> None:
    """Make a pod that serves unready."""
    mark(operator.api, operator.cluster.all(kinds.POD)[0], operator.now, is_ready=False)


def edit_with_accelerators(operator: OperatorModel) -> None:
    """Ask for another model on accelerators."""
    operator.write(model={"source": NEW}, accelerator=ACCELERATOR)


def stop(operator: OperatorModel) -> None:
    """Ask for no pod."""
    operator.write(replicas=0)


def misspell(operator: OperatorModel) -> None:
    """Ask for a model of no known form, as an object can that is older than the rule."""
    operator.write(model={"source": "s3://bucket/x"})


# What is waited for


def in_phase(phase: str, reason: str = "") -> Question:
    """Return the question whether the rollout is in a phase, and Ready by a reason if named."""

    def holds(operator: OperatorModel) -> bool:
        is_in = bool(operator.status()) and operator.phase() == phase
        return is_in and reason in ("", operator.condition("Ready")[1])

    return holds


def is_ready(operator: OperatorModel) -> bool:
    """Whether the resource is Ready."""
    return bool(operator.status()) and operator.condition("Ready")[0] == "True"


def is_served(operator: OperatorModel) -> bool:
    """Whether nothing is under way and all is Ready."""
    return is_ready(operator) and operator.phase() == "Stable"


def is_stalled(operator: OperatorModel) -> bool:
    """Whether somebody has to do something."""
    return bool(operator.status()) and operator.condition("Stalled")[0] == "True"


def is_short(operator: OperatorModel) -> bool:
    """Whether a step has fewer ready pods than are asked for."""
    return in_phase("Step")(operator) and operator.status()["readyReplicas"] < TOTAL


def is_stopped(operator: OperatorModel) -> bool:
    """Whether there is no pod."""
    return operator.status()["phase"] == "Stopped" and not operator.cluster.all(kinds.POD)


def is_suspended(operator: OperatorModel) -> bool:
    """Whether an edit waits for ``rollout.paused``."""
    return operator.condition("Progressing") == ("True", "RolloutPaused")


# What has more than one act


async def unschedulable() -> Run:
    """Return a run to a rollout whose pod finds no accelerator."""
    run = await changed(in_phase("Preparing"), edit_with_accelerators)
    operator = run.operator
    operator.cluster.room = TOTAL
    await operator.until(lambda: len(operator.cluster.all(kinds.POD)) > TOTAL)
    pod = next(pod for pod in operator.cluster.all(kinds.POD) if source_of(pod) == NEW)
    operator.api.edit(kinds.POD, (KEY.namespace, pod["metadata"]["name"]), _unbind, "scheduler")
    await operator.run_queue()
    return run


def _unbind(pod: Json) -> None:
    del pod["spec"]["nodeName"]
    pod["status"]["phase"] = "Pending"
    pod["status"]["conditions"][0] |= {
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
    }


async def promoting() -> Run:
    """Return a run to a rollout that is promoted by command while it steps."""
    run = await changed(in_phase("Step"), edit)
    run.operator.command("promote")
    await run.operator.until(partial(in_phase("Promoting"), run.operator))
    return run


async def without_stable(phase: str) -> Run:
    """Return a run to a rollback whose old model crashes meanwhile."""
    run = await changed(in_phase("RollingBack"), fail, edit)
    crash(run.operator)
    await run.operator.until(lambda: in_phase(phase)(run.operator) and not is_ready(run.operator))
    return run


async def unseen() -> Run:
    """Return a run to an edit that the operator has not looked at."""
    run = await changed(is_served)
    edit(run.operator)
    return run


STATES: Final[Mapping[str, Callable[[], Awaitable[Run]]]] = {
    "first pods start": partial(begun, in_phase("Preparing")),
    "first pods cannot start": partial(begun, is_stalled, crash),
    "at rest": partial(changed, is_served),
    "pods missing": partial(changed, in_phase("Stable", "PodsNotReady"), lose_a_pod),
    "pods failing": partial(changed, in_phase("Stable", "CrashLooping"), crash),
    "stopped": partial(changed, is_stopped, stop),
    "Preparing": partial(changed, in_phase("Preparing"), edit),
    "Preparing, no accelerator": unschedulable,
    "Step": partial(changed, in_phase("Step"), edit),
    "Step, fewer pods serving": partial(
        changed, is_short, edit, maxExtraReplicas=0, minServingPercent=75
    ),
    "Paused": partial(
        changed, in_phase("Paused"), edit, steps=[{"weightPercent": 25, "pause": {}}]
    ),
    "Paused by a failure": partial(changed, in_phase("Paused"), fail, edit, onFailure="Pause"),
    "Holding": partial(changed, in_phase("Holding"), go_mute, edit),
    "Promoting": promoting,
    "Baking": partial(changed, in_phase("Baking"), edit),
    "RollingBack": partial(changed, in_phase("RollingBack"), fail, edit),
    "RollingBack, stable not ready": partial(without_stable, "RollingBack"),
    "RolledBack": partial(changed, in_phase("RolledBack"), fail, edit),
    "RolledBack, stable not ready": partial(without_stable, "RolledBack"),
    "Recreate, old pods end": partial(changed, in_phase("Preparing"), edit, strategy="Recreate"),
    "Recreate, new pods start": partial(
        changed, in_phase("Preparing", "PodsNotReady"), edit, strategy="Recreate"
    ),
    "no room for a rollout": partial(changed, is_stalled, edit, maxExtraReplicas=0),
    "paused before a rollout": partial(changed, is_suspended, edit, paused=True),
    "invalid": partial(changed, is_stalled, misspell),
    "spec not seen yet": unseen,
}
"""A run into each state, by the name that docs/status.md gives it."""


def is_promoted(operator: OperatorModel) -> bool:
    """Whether the new model alone serves, and nothing is under way."""
    return is_served(operator) and operator.sizes() == {NEW: TOTAL}


PROMOTIONS: Final[Mapping[str, Callable[[], Awaitable[Run]]]] = {
    strategy: partial(changed, is_promoted, edit, strategy=strategy)
    for strategy in ("Canary", "BlueGreen", "Rolling", "Recreate")
}
"""A run of each strategy from the edit to the end."""
