"""Rules of whole rollouts: the operator on a model of a cluster, with pods, endpoints and load."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from llm_operator import kinds
from llm_operator.cluster.errors import ClusterUnavailable
from llm_operator.desired.revision import REASON_ANNOTATION, VERDICT_ANNOTATION
from tests.models.operator import KEY, OperatorModel

OLD, NEW, OTHER = "builtin://simulated", "builtin://tiny", "file:///other"
STEPS = ({"weightPercent": 25, "minSeconds": 10}, {"weightPercent": 100, "minSeconds": 10})
STRATEGIES = ("Canary", "BlueGreen", "Rolling", "Recreate")


def rollout(strategy: str = "Canary", **settings: Any) -> dict[str, Any]:
    """Return spec.rollout with times that a test can wait for."""
    return {
        "strategy": strategy,
        "steps": [*STEPS],
        "bakeSeconds": 10,
        "analysis": {"intervalSeconds": 2, "minRequests": 20},
        **settings,
    }


async def a_served_resource(replicas: int = 4, **spec: Any) -> OperatorModel:
    """Return an operator whose one resource serves the old model to clients."""
    operator = OperatorModel()
    await operator.relist()
    operator.write(replicas=replicas, **{"rollout": rollout(), **spec})
    await operator.until(lambda: operator.phase() == "Stable" and is_ready(operator))
    operator.writes()
    operator.api.events.clear()
    operator.cluster.pods_most = 0
    return operator


def is_ready(operator: OperatorModel) -> bool:
    """Whether the resource has the condition Ready."""
    conditions = operator.status().get("conditions", ())
    return any((c["type"], c["status"]) == ("Ready", "True") for c in conditions)


def is_over(operator: OperatorModel) -> Callable[[], bool]:
    """Return the question whether the rollout has ended and its pods are gone."""

    def holds() -> bool:
        return operator.phase() in ("Stable", "RolledBack") and len(operator.sizes()) == 1

    return holds


def is_in(operator: OperatorModel, *phases: str) -> Callable[[], bool]:
    """Return the question whether the machine is in one of these states."""
    return lambda: operator.phase() in phases


async def edited(operator: OperatorModel, **spec: Any) -> OperatorModel:
    """Change the model, or what is named, and let the operator take note."""
    operator.write(**({"model": {"source": NEW}} | spec))
    await operator.run_queue()
    return operator


def verdicts(operator: OperatorModel) -> dict[str, tuple[str, str]]:
    """Return (verdict, reason) of each kept revision by model source."""
    found = {}
    for revision in operator.cluster.all(kinds.CONTROLLER_REVISION):
        noted = revision["metadata"].get("annotations", {})
        source = revision["data"]["spec"]["model"]["source"]
        found[source] = (noted.get(VERDICT_ANNOTATION, ""), noted.get(REASON_ANNOTATION, ""))
    return found


async def test_a_good_canary_is_promoted_step_by_step() -> None:
    """Shares rise as the steps say, four pods serve all the time, no more than five exist."""
    operator = await edited(await a_served_resource())

    shares, fewest = [0], 4
    while not is_over(operator)():
        await operator.turn()
        fewest = min(fewest, sum(operator.serving().values()))
        share = operator.rollout().get("weightPercent", 0)
        if share != shares[-1]:
            shares.append(share)

    assert shares[:1] + [s for s in shares if s in (25, 100)] == [0, 25, 100]
    assert (fewest, operator.cluster.pods_most) == (4, 5)
    assert operator.serving() == {NEW: 4}
    assert operator.sizes() == {NEW: 4}
    assert operator.condition("Ready") == ("True", "Available")
    assert verdicts(operator)[NEW] == ("Promoted", "")
    assert "Promoted" in operator.posted()
    assert "Repaired" not in operator.posted()


async def test_a_canary_whose_requests_fail_is_rolled_back_and_named() -> None:
    """Errors above the limit end in the old version serving; the status says so with figures."""
    operator = await a_served_resource()
    operator.load.failing_sources.add(NEW)

    await edited(operator)
    await operator.until(is_over(operator))

    assert operator.phase() == "RolledBack"
    assert operator.sizes() == {OLD: 4}
    assert operator.serving() == {OLD: 4}
    assert operator.condition("Ready") == ("True", "Available")
    assert operator.condition("Stalled") == ("True", "ErrorsTooHigh")
    assert "requests failed (100.0 %, limit 5 %)" in operator.message("Stalled")
    assert verdicts(operator)[NEW] == ("Rejected", "ErrorsTooHigh")


async def test_a_slower_canary_is_rolled_back_and_named() -> None:
    """A time to the first token above the limit relative to stable's is a failure."""
    operator = await a_served_resource()
    operator.load.slow_sources.add(NEW)

    await edited(operator)
    await operator.until(is_over(operator))

    assert operator.condition("Stalled") == ("True", "FirstTokenTooSlow")
    assert operator.serving() == {OLD: 4}


async def test_a_canary_that_crashes_is_rolled_back_before_its_deadline() -> None:
    """A cause that waiting does not cure ends the rollout at once."""
    operator = await a_served_resource()
    operator.cluster.crashing_sources.add(NEW)
    began = operator.now

    await edited(operator)
    await operator.until(is_over(operator))

    assert operator.now - began < timedelta(seconds=60)
    assert operator.condition("Stalled")[0] == "True"
    assert operator.condition("Stalled")[1] == verdicts(operator)[NEW][1] != ""
    assert operator.serving() == {OLD: 4}


async def test_a_rejected_manifest_starts_nothing_however_often_it_is_applied() -> None:
    """After an abort the same spec is the same revision, and that one was rejected."""
    operator = await edited(await a_served_resource())
    await operator.until(is_in(operator, "Step"))
    operator.command("abort")
    await operator.until(is_over(operator))
    made = operator.cluster.made

    for _ in range(10):
        operator.write(model={"source": NEW})
        await operator.settle(rounds=5)

    assert operator.cluster.made == made
    assert operator.condition("Stalled") == ("True", "Aborted")


async def test_a_lost_status_does_not_retry_a_rejected_revision() -> None:
    """The verdict on the revision outlives the status."""
    operator = await a_served_resource()
    operator.load.failing_sources.add(NEW)
    await edited(operator)
    await operator.until(is_over(operator))
    made = operator.cluster.made

    operator.api.edit(kinds.LLM_DEPLOYMENT, KEY, lambda obj: obj.pop("status"), "x", "status")
    await operator.settle()

    assert operator.cluster.made == made
    assert operator.condition("Stalled") == ("True", "ErrorsTooHigh")
    assert operator.serving() == {OLD: 4}


async def test_missing_metrics_hold_a_rollout_until_they_are_back() -> None:
    """Without evidence the share stays; with it the rollout goes on to its end."""
    operator = await a_served_resource()
    operator.load.mute_sources.add(NEW)
    await edited(operator)
    await operator.until(is_in(operator, "Holding"))
    share = operator.rollout()["weightPercent"]

    await operator.settle()
    held = operator.phase(), operator.rollout()["weightPercent"], operator.rollout()["reason"]
    operator.load.mute_sources.clear()
    await operator.until(is_over(operator))

    assert held == ("Holding", share, "MetricsMissing")
    assert operator.sizes() == {NEW: 4}


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_every_strategy_ends_with_the_new_revision_at_full_size(strategy: str) -> None:
    """A good revision replaces the old one, within the pods that the strategy may add."""
    operator = await a_served_resource(rollout=rollout(strategy))
    most = {"Canary": 5, "BlueGreen": 8, "Rolling": 5, "Recreate": 4}

    await edited(operator)
    fewest, steps = 4, set()
    while not is_over(operator)():
        await operator.turn()
        fewest = min(fewest, sum(operator.serving().values()))
        steps.add(operator.rollout().get("steps"))

    assert steps == {None, {"Canary": 2, "Rolling": 4}.get(strategy, 1)}
    assert operator.serving() == operator.sizes() == {NEW: 4}
    assert operator.cluster.pods_most == most[strategy]
    assert fewest == (0 if strategy == "Recreate" else 4)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_every_strategy_goes_back_when_the_new_revision_crashes(strategy: str) -> None:
    """A bad revision ends in the old one serving at full size."""
    operator = await a_served_resource(rollout=rollout(strategy))
    operator.cluster.crashing_sources.add(NEW)

    await edited(operator)
    await operator.until(is_over(operator))

    assert operator.phase() == "RolledBack"
    assert operator.serving() == operator.sizes() == {OLD: 4}


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_first_revision_is_served_as_soon_as_it_is_ready(strategy: str) -> None:
    """There is nothing to compare it with and nothing to go back to."""
    operator = await a_served_resource(rollout=rollout(strategy))

    assert operator.serving() == operator.sizes() == {OLD: 4}
    assert verdicts(operator)[OLD] == ("Promoted", "")


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_stopped_resource_takes_another_revision_without_a_pod(strategy: str) -> None:
    """With replicas 0 the pointer moves; what runs later is the new revision."""
    operator = await a_served_resource(replicas=0, rollout=rollout(strategy))

    await edited(operator)
    await operator.settle()
    stopped = operator.cluster.made, operator.condition("Ready")
    await edited(operator, replicas=2)
    await operator.until(lambda: operator.serving() == {NEW: 2})

    assert stopped == (0, ("True", "Stopped"))
    assert operator.sizes() == {NEW: 2}


async def test_replicas_0_in_the_middle_stops_everything() -> None:
    """0 is obeyed at once, whatever a rollout holds."""
    operator = await edited(await a_served_resource())
    await operator.until(is_in(operator, "Step"))

    await edited(operator, replicas=0)
    await operator.until(lambda: not operator.cluster.all(kinds.POD))
    await operator.settle()

    assert sum(operator.sizes().values()) == 0
    assert operator.status()["desiredReplicas"] == 0
    assert operator.condition("Ready") == ("True", "Stopped")


async def test_a_total_that_rises_in_the_middle_is_reached_and_a_fallen_one_waits() -> None:
    """An autoscaler may add pods to a rollout; it takes none away before the end."""
    metrics = [{"type": "CPU", "targetUtilizationPercent": 70}]
    autoscaling = {"minReplicas": 1, "maxReplicas": 8, "metrics": metrics}
    resources = {"requests": {"cpu": "1"}}
    operator = await a_served_resource(autoscaling=autoscaling, resources=resources)
    await edited(operator)
    await operator.until(is_in(operator, "Step"))

    scale(operator, 6)
    await operator.until(lambda: sum(operator.serving().values()) >= 6)
    scale(operator, 2)
    held = set()
    while operator.phase() != "Stable":
        await operator.turn()
        held.add((operator.status()["desiredReplicas"], operator.phase()))
    await operator.until(is_over(operator))
    await operator.until(lambda: operator.serving() == {NEW: 2})

    assert {total for total, phase in held if phase != "Stable"} == {6}
    assert operator.sizes() == {NEW: 2}


def scale(operator: OperatorModel, replicas: int) -> None:
    """Write spec.replicas through the scale subresource, as an autoscaler does."""
    operator.api.edit(
        kinds.LLM_DEPLOYMENT,
        KEY,
        lambda obj: obj["spec"].update(replicas=replicas),
        "horizontal-pod-autoscaler",
        "scale",
    )


async def test_a_step_that_is_judged_writes_nothing_between_transitions() -> None:
    """Readings every two seconds are no news: not for the status, not for an object."""
    lasting = rollout(steps=[{"weightPercent": 25, "minSeconds": 120}])
    operator = await edited(await a_served_resource(rollout=lasting))
    await operator.until(lambda: operator.rollout().get("verdict") == "Pass")
    operator.writes()
    readings = operator.load.readings

    await operator.settle(rounds=40)

    assert operator.phase() == "Step"
    assert operator.load.readings - readings >= 4 * 40
    assert operator.writes() == []


async def test_a_rollout_at_its_end_leaves_a_steady_state() -> None:
    """Nothing is written and nothing is read once a rollout is over, either way."""
    for failing in (set(), {NEW}):
        operator = await a_served_resource()
        operator.load.failing_sources |= failing
        await edited(operator)
        await operator.until(is_over(operator))
        await operator.settle()
        operator.writes()
        readings, events = operator.load.readings, len(operator.api.events)

        await operator.relist()
        await operator.settle(rounds=40)

        assert operator.writes() == []
        assert (operator.load.readings, len(operator.api.events)) == (readings, events)


@pytest.mark.parametrize("is_good", [True, False])
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_an_operator_that_restarts_at_every_turn_comes_to_the_same_end(
    strategy: str, is_good: bool
) -> None:
    """Everything that a rollout needs is in the cluster; memory only saves readings."""
    operator = await a_served_resource(rollout=rollout(strategy))
    if not is_good:
        operator.cluster.crashing_sources.add(NEW)
    await edited(operator)

    phases = set()
    for _ in range(200):
        operator = await operator.restart()
        await operator.turn()
        phases.add(operator.phase())
        if is_over(operator)():
            break

    assert operator.serving() == operator.sizes() == {NEW if is_good else OLD: 4}
    assert operator.phase() == ("Stable" if is_good else "RolledBack")
    assert phases >= ({"Step", "Baking", "Stable"} if is_good else {"RolledBack"})


@pytest.mark.parametrize("is_good", [True, False])
@pytest.mark.parametrize("fails_at", range(1, 40, 4))
async def test_a_write_that_fails_anywhere_changes_nothing_about_the_end(
    fails_at: int, is_good: bool
) -> None:
    """A pass that ends between two writes is answered by the next one; some writes come late."""
    operator = await a_served_resource(replicas=2)
    if not is_good:
        operator.load.failing_sources.add(NEW)
    count = 0

    def fail_once(verb: str, kind: kinds.ResourceKind) -> None:
        nonlocal count
        count += verb not in ("list", "get") and kind != kinds.EVENT
        if count == fails_at:
            count += 1
            raise ClusterUnavailable("lost")

    operator.api.before_request = fail_once
    await edited(operator)
    await operator.settle(rounds=3)
    await operator.until(is_over(operator))

    assert operator.serving() == operator.sizes() == {NEW if is_good else OLD: 2}
    assert operator.cluster.pods_most <= 3


async def test_reverting_the_spec_in_the_middle_of_a_step_makes_no_pod_of_another_revision() -> (
    None
):
    """Back to the old spec: traffic first, then exactly the pods that are missing."""
    operator = await edited(await a_served_resource())
    await operator.until(lambda: operator.sizes() == {OLD: 4, NEW: 1})
    await operator.until(is_in(operator, "Step"))
    made = operator.cluster.made

    await edited(operator, model={"source": OLD})
    await operator.until(is_over(operator))

    assert operator.phase() == "Stable"
    assert operator.serving() == {OLD: 4}
    assert operator.cluster.made == made
    assert verdicts(operator)[NEW] == ("Reverted", "")
    assert "rejected" not in operator.rollout()


async def test_another_edit_in_the_middle_goes_back_first_and_then_on() -> None:
    """The superseded revision has no pod left before the next one gets its first."""
    operator = await edited(await a_served_resource())
    await operator.until(is_in(operator, "Step"))

    await edited(operator, model={"source": OTHER})
    while operator.sizes().keys() != {OTHER}:
        await operator.turn()
        assert not {NEW, OTHER} <= operator.ready().keys()
    await operator.until(is_over(operator))

    assert operator.serving() == {OTHER: 4}
    assert verdicts(operator) == {
        OLD: ("Promoted", ""),
        NEW: ("Superseded", ""),
        OTHER: ("Promoted", ""),
    }


async def test_a_revision_that_is_meant_again_gets_the_next_number() -> None:
    """Numbers say in which order revisions were meant, for undo and history."""
    operator = await a_served_resource()
    for source in (NEW, OLD, NEW):
        await edited(operator, model={"source": source})
        await operator.until(lambda: operator.phase() == "Step" or is_over(operator)())

    numbers = {
        revision["data"]["spec"]["model"]["source"]: revision["revision"]
        for revision in operator.cluster.all(kinds.CONTROLLER_REVISION)
    }
    assert numbers == {OLD: 3, NEW: 4}


async def test_pause_and_resume_keep_a_rollout_where_it_is() -> None:
    """A paused rollout keeps its share and its pods until it is resumed."""
    operator = await edited(await a_served_resource())
    await operator.until(is_in(operator, "Step"))

    operator.command("pause", "n-1")
    await operator.until(is_in(operator, "Paused"))
    before = operator.sizes(), operator.rollout()["weightPercent"]
    await operator.settle(rounds=40)
    after = operator.sizes(), operator.rollout()["weightPercent"]
    operator.command("resume", "n-2")
    await operator.until(is_over(operator))

    assert before == after
    assert operator.serving() == {NEW: 4}
    assert operator.posted().count("CommandExecuted") == 2


async def test_promote_takes_all_traffic_past_the_steps() -> None:
    """A person may know better than the steps."""
    waiting = rollout(steps=[{"weightPercent": 25, "pause": {}}])
    operator = await edited(await a_served_resource(rollout=waiting))
    await operator.until(is_in(operator, "Paused"))

    operator.command("promote")
    await operator.until(is_over(operator))

    assert operator.serving() == {NEW: 4}


async def test_retry_tries_a_rejected_revision_again() -> None:
    """What failed for a reason outside of the spec gets another chance when asked for."""
    operator = await a_served_resource()
    operator.load.failing_sources.add(NEW)
    await edited(operator)
    await operator.until(is_over(operator))
    operator.load.failing_sources.clear()

    operator.command("retry")
    await operator.until(lambda: operator.serving() == {NEW: 4})
    await operator.until(is_over(operator))

    assert verdicts(operator)[NEW] == ("Promoted", "")


async def test_a_command_is_carried_out_once_and_said_once() -> None:
    """The annotation stays where it is; its nonce is remembered."""
    operator = await edited(await a_served_resource())
    await operator.until(is_in(operator, "Step"))
    operator.command("retry")
    await operator.settle(rounds=5)

    assert operator.posted().count("StaleCommand") == 1
    note = next(e["note"] for _, e in operator.api.events if e["reason"] == "StaleCommand")
    assert "n-1" in note.split()
    assert operator.rollout()["commands"] == ["n-1"]


async def test_an_annotation_that_is_no_command_is_said_once() -> None:
    """What cannot be read is named with what is allowed, and changes nothing."""
    operator = await a_served_resource()

    operator.annotate("promote everything now!")
    await operator.settle(rounds=5)
    again = await operator.restart()
    await again.settle(rounds=5)

    assert operator.posted().count("CommandInvalid") == 1
    assert operator.sizes() == {OLD: 4}


async def test_a_refused_edit_in_the_middle_leaves_the_rollout_to_its_end() -> None:
    """A flag that is refused freezes the spec, not the rollout that is under way."""
    operator = await edited(await a_served_resource())
    await operator.until(is_in(operator, "Step"))

    await edited(operator, server={"args": ["--model=other"]})
    await operator.until(lambda: operator.serving() == {NEW: 4})
    await operator.until(is_over(operator))

    assert operator.condition("Stalled") == ("True", "OwnedFlag")


async def test_a_refused_edit_in_the_middle_does_not_stop_a_rollback() -> None:
    """What goes wrong is rolled back although the spec is refused."""
    operator = await a_served_resource()
    operator.load.failing_sources.add(NEW)
    await edited(operator)
    await operator.until(is_in(operator, "Step"))

    await edited(operator, server={"args": ["--model=other"]})
    await operator.until(is_over(operator))

    assert operator.phase() == "RolledBack"
    assert operator.serving() == {OLD: 4}


async def test_a_status_lost_in_the_middle_of_a_split_loses_no_stable_pod() -> None:
    """While the Service selects both revisions, the older one is taken for stable."""
    operator = await edited(await a_served_resource())
    await operator.until(is_in(operator, "Step"))
    await operator.until(lambda: NEW in operator.serving())
    stable = operator.status()["stableRevision"]

    operator.api.edit(kinds.LLM_DEPLOYMENT, KEY, lambda obj: obj.pop("status"), "x", "status")
    await operator.run_queue()
    recovered = operator.status()["stableRevision"]
    await operator.until(is_over(operator))

    assert recovered == stable
    assert operator.serving() == {NEW: 4}


async def test_no_room_for_a_rollout_is_refused_with_the_fields_that_would_allow_it() -> None:
    """Without an extra pod and with all of them serving nothing can be replaced."""
    cramped = rollout(maxExtraReplicas=0)
    operator = await edited(await a_served_resource(rollout=cramped))
    await operator.settle()

    assert operator.condition("Stalled") == ("True", "NoRoomForRollout")
    assert "maxExtraReplicas" in operator.message("Stalled")
    assert "minServingPercent" in operator.message("Stalled")
    assert operator.serving() == operator.sizes() == {OLD: 4}


async def test_a_rollout_in_place_never_has_more_pods_than_the_total() -> None:
    """With no extra pods the canary takes the place of stable pods, one by one."""
    in_place = rollout(maxExtraReplicas=0, minServingPercent=75)
    operator = await a_served_resource(rollout=in_place)
    operator.cluster.room = 4

    await edited(operator)
    await operator.until(is_over(operator))

    assert operator.serving() == {NEW: 4}
    assert operator.cluster.pods_most <= 4


async def test_behind_a_gateway_the_route_has_the_exact_shares() -> None:
    """GatewayAPI: weights rise through those of the steps; in the end one Service is left."""
    gateway = {"parentRefs": [{"name": "public"}]}
    operator = OperatorModel()
    operator.environment = type(operator.environment)(
        "llm-server:1", 1, frozenset({kinds.HTTP_ROUTE})
    )
    await operator.relist()
    operator.write(replicas=2, rollout=rollout(), traffic={"gateway": gateway})
    await operator.until(lambda: operator.phase() == "Stable" and is_ready(operator))

    await edited(operator)
    weights = []
    while not is_over(operator)() or operator.names(kinds.SERVICE) != {"chat"}:
        await operator.turn()
        weights += [w for w in shares(operator) if w not in weights]

    assert weights == sorted(weights)
    assert {0, 25, 100} <= set(weights)
    assert operator.serving() == {NEW: 2}
    assert "Repaired" not in operator.posted()


def shares(operator: OperatorModel) -> Iterator[int]:
    """Yield the canary's weight in the live route."""
    route = operator.api.find(kinds.HTTP_ROUTE, *KEY)
    assert route is not None
    for backend in route["spec"]["rules"][-1]["backendRefs"]:
        if backend["name"] == "chat-canary":
            yield backend["weight"]
