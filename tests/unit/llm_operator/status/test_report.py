from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from llm_operator.api import crd
from llm_operator.api.reasons import ConditionType, Phase, Reason
from llm_operator.api.status import COMMANDS_LIMIT, MESSAGE_LIMIT, RolloutPhase
from llm_operator.api.traffic import Provider
from llm_operator.conditions import Verdict, merge_conditions
from llm_operator.diagnosis import Finding
from llm_operator.judgement.counters import Counters
from llm_operator.judgement.evidence import PODS_MAX
from llm_operator.judgement.restarts import RESTARTS_MAX, PodRestarts
from llm_operator.judgement.window import Baseline, Side, Window
from llm_operator.rollout.state import AppliedTraffic, Judgement, VerdictOutcome, World
from llm_operator.status import (
    Progress,
    effective_weight_percent,
    fit,
    pods_json,
    recall,
    rollout_json,
)
from llm_operator.status.report import SIZE_LIMIT, size
from tests.models.schema import closed
from tests.situation_builders import CANARY, MOVING, NEW, NOW, OLD, moving

POD = "x" * 63
BUSY = Counters(10**7, 10**7, 10**7, 10**7, first_token=(10**7,) * 21, inter_token=(10**9,) * 23)
SIDE = Side(frozenset(f"{number:08x}" for number in range(PODS_MAX)), BUSY)
WINDOW = Window(
    started_at=NOW,
    baseline=Baseline(NOW, {OLD: SIDE, NEW: SIDE}),
    breaches={"g" * 62 + str(number): NOW for number in range(8)},
    is_missing=True,
)
RESTARTS = tuple(
    PodRestarts(POD[:61] + f"{n:02}", 99, 137, RESTARTS_MAX - n) for n in range(RESTARTS_MAX)
)


def largest_status(character: str) -> dict[str, Any]:
    """Return a status with every list and message full."""
    message = character * MESSAGE_LIMIT
    verdicts = [
        Verdict.true(type_, Reason.PROGRESS_DEADLINE_EXCEEDED, message) for type_ in ConditionType
    ]
    findings = [Finding(reason, character * 250, POD) for reason in list(Reason)[-10:]]
    times: dict[str, Any] = {
        name: NOW for name in MOVING.__slots__ if name.endswith(("_at", "_since", "_until"))
    }
    rollout = replace(
        MOVING,
        phase=RolloutPhase.ROLLING_BACK,
        previous=OLD,
        cause=Reason.PROGRESS_DEADLINE_EXCEEDED,
        message=message,
        commands=tuple("n" * 14 + f"{number:02}" for number in range(COMMANDS_LIMIT)),
        rejected=(NEW,) * 5,
        frozen=replace(CANARY, replaces_directly=True),
        promote_asked=True,
        pause_asked=True,
        pause_done=True,
        elapsed_seconds=10**6,
        **times,
    )
    judgement = Judgement(NOW, VerdictOutcome.INCONCLUSIVE, Reason.INCONCLUSIVE_TOO_LONG, message)
    return {
        "observedGeneration": 2**31,
        "phase": Phase.PROGRESSING.value,
        "conditions": merge_conditions((), verdicts, generation=2**31, now=NOW),
        "replicas": 10**4,
        "desiredReplicas": 10**4,
        "readyReplicas": 10**4,
        "replicasFloor": {"value": 10**4, "since": "2026-01-01T12:00:00Z"},
        "selector": "x" * 200,
        "endpoint": "x" * 150,
        "stableRevision": OLD,
        "model": {"source": "x" * 300, "revision": "x" * 64, "servedName": "x" * 64},
        "pods": pods_json(findings),
        "rollout": rollout_json(rollout, Progress(20, 100, judgement, WINDOW, RESTARTS)),
    }


@pytest.mark.parametrize("character", ["x", "é", "模"])
def test_the_largest_status_is_cut_to_8_kib(character: str) -> None:
    """However much there is to say, and in whatever language."""
    status = largest_status(character)
    assert size(status) > SIZE_LIMIT
    assert size(fit(status)) <= SIZE_LIMIT


def test_cutting_a_status_loses_nothing_that_decides() -> None:
    """Messages and repetitions give way; the machine's state stays."""
    status = largest_status("x")
    before, after = recall(status), recall(fit(status))
    assert replace(after.rollout, message="") == replace(before.rollout, message="")
    assert after.window is not None
    assert after.window.baseline == WINDOW.baseline
    assert after.window.breaches == WINDOW.breaches
    assert after.restarts == RESTARTS[: len(after.restarts)] != ()


def test_a_status_that_fits_is_not_touched() -> None:
    """An ordinary status is far below the limit."""
    status = {"conditions": [{"message": "x" * MESSAGE_LIMIT}], "rollout": {"phase": "Step"}}
    assert fit(status) == status


@pytest.mark.parametrize("content", [largest_status("x"), fit(largest_status("x"))])
def test_the_largest_status_fits_the_schema(content: dict[str, Any]) -> None:
    """All that is written has its place in the CRD, and is within its bounds."""
    schema = closed(crd.resource_schema()["properties"]["status"])
    Draft202012Validator(schema).validate(content)


@pytest.mark.parametrize(
    ("provider", "set_to", "ready", "share"),
    [
        (Provider.REPLICA_RATIO, 25, {OLD: 3, NEW: 1}, 25),
        (Provider.REPLICA_RATIO, 10, {OLD: 1, NEW: 1}, 50),
        (Provider.REPLICA_RATIO, 25, {OLD: 2, NEW: 1}, 33),
        (Provider.REPLICA_RATIO, 25, {}, None),
        (Provider.REPLICA_RATIO, 0, {OLD: 3, NEW: 1}, 0),
        (Provider.REPLICA_RATIO, 100, {OLD: 3, NEW: 1}, 100),
        (Provider.GATEWAY_API, 10, {OLD: 1, NEW: 1}, 10),
        (Provider.GATEWAY_API, None, {OLD: 1, NEW: 1}, None),
    ],
)
def test_the_effective_share_is_what_the_cluster_does(
    provider: Provider, set_to: int | None, ready: dict[str, int], share: int | None
) -> None:
    """By ready pods where pods decide, by the route's weight where it does."""
    decision = moving(RolloutPhase.STEP, frozen=replace(CANARY, provider=provider))
    world = World(ready=ready, traffic=AppliedTraffic(set_to))
    assert effective_weight_percent(decision, world) == share
