import json
from dataclasses import fields, replace
from datetime import UTC, datetime
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import Strategy
from llm_operator.api.schema import HASH_PATTERN
from llm_operator.api.status import (
    COMMANDS_LIMIT,
    NONCE_PATTERN,
    REJECTED_LIMIT,
    RolloutPhase,
    RolloutStatus,
)
from llm_operator.api.traffic import Provider
from llm_operator.judgement.window import Window
from llm_operator.rollout.state import Frozen, Judgement, Rollout, VerdictOutcome
from llm_operator.status import Memory, Progress, recall, rollout_json
from llm_operator.status.memory import ALIKE, RENAMED
from tests.situation_builders import MOVING, NOW

HASHES = st.from_regex(HASH_PATTERN, fullmatch=True)
NONCES = st.from_regex(NONCE_PATTERN, fullmatch=True)
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: HASHES,
    int: st.integers(0, 100),
    bool: st.booleans(),
    datetime: st.datetimes(timezones=st.just(UTC), min_value=datetime(2020, 1, 1)).map(  # noqa: DTZ001
        lambda moment: moment.replace(microsecond=0)
    ),
    RolloutPhase: st.sampled_from(RolloutPhase),
    Reason: st.sampled_from(Reason),
    Frozen: st.builds(
        Frozen,
        strategy=st.sampled_from(Strategy),
        max_extra_replicas=st.integers(0, 10),
        min_serving_percent=st.integers(0, 100),
        provider=st.sampled_from(Provider),
        replaces_directly=st.booleans(),
    ),
}
BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "message": st.text(max_size=40),
    "commands": st.lists(NONCES, max_size=COMMANDS_LIMIT).map(tuple),
    "rejected": st.lists(HASHES, max_size=REJECTED_LIMIT).map(tuple),
}


def values_of(name: str, hint: Any) -> st.SearchStrategy[Any]:
    """Draw what a field of a rollout may hold."""
    if name in BY_NAME:
        return BY_NAME[name]
    kinds = get_args(hint) or (hint,)
    return st.one_of([st.none() if kind is NoneType else BY_TYPE[kind] for kind in kinds])


ROLLOUTS = st.fixed_dictionaries(
    {name: values_of(name, hint) for name, hint in get_type_hints(Rollout).items()}
).map(lambda drawn: Rollout(**drawn))
PROGRESSES = st.builds(
    Progress,
    steps=st.none() | st.integers(0, 20),
    effective_weight_percent=st.none() | st.integers(0, 100),
    judgement=st.none()
    | st.builds(
        Judgement,
        window_started_at=st.just(NOW),
        outcome=st.sampled_from(VerdictOutcome),
        reason=st.sampled_from(Reason),
        message=st.text(max_size=9),
    ),
    window=st.none() | st.just(Window(NOW)),
)


def stored(rollout: Rollout, progress: Progress) -> dict[str, Any]:
    """Return a status with this rollout after its way through the API server."""
    content = {"observedGeneration": 1, "rollout": rollout_json(rollout, progress)}
    loaded: dict[str, Any] = json.loads(json.dumps(content))
    return loaded


@given(ROLLOUTS, PROGRESSES)
def test_a_restart_loses_nothing_of_a_rollout(rollout: Rollout, progress: Progress) -> None:
    """What is written is what is read back, whatever is shown beside it."""
    memory = recall(stored(rollout, progress))
    assert memory.rollout == rollout
    assert memory.window == progress.window


@given(ROLLOUTS, PROGRESSES)
def test_what_is_for_display_decides_nothing(rollout: Rollout, progress: Progress) -> None:
    """A status whose display was edited away is the same memory."""
    content = stored(rollout, progress)
    for name in ("steps", "effectiveWeightPercent", "verdict", "verdictReason", "reason"):
        content["rollout"].pop(name, None)
    assert recall(content).rollout == rollout


@pytest.mark.parametrize("outcome", VerdictOutcome)
def test_a_verdict_keeps_its_own_reason_while_the_rollout_waits_for_another(
    outcome: VerdictOutcome,
) -> None:
    """A rollout that somebody paused shows why it waits, and beside it what the judge said."""
    paused = replace(MOVING, phase=RolloutPhase.PAUSED, cause=Reason.PAUSED_BY_COMMAND)
    said = Judgement(NOW, outcome, Reason.TOO_FEW_REQUESTS, "")

    content = stored(paused, Progress(judgement=said, window=Window(NOW)))

    shown = content["rollout"]
    assert (shown["reason"], shown["verdictReason"]) == ("PausedByCommand", "TooFewRequests")
    assert recall(content).verdict == said


def test_missing_metrics_are_missing_after_a_restart_too() -> None:
    """Otherwise the first pass of another process would take the gap for news."""
    holding = replace(MOVING, phase=RolloutPhase.HOLDING, cause=Reason.CANARY_LOST)
    said = Judgement(NOW, VerdictOutcome.INCONCLUSIVE, Reason.METRICS_MISSING, "", is_missing=True)

    recalled = recall(stored(holding, Progress(judgement=said, window=Window(NOW)))).verdict

    assert recalled is not None
    assert recalled.is_missing


def test_the_status_has_a_field_for_everything_that_the_machine_keeps() -> None:
    """A field that the machine gains must be written, and under the same name."""
    assert {part.name for part in fields(Rollout)} == {*ALIKE, *RENAMED}
    assert {part.name for part in fields(Rollout)} <= RolloutStatus.model_fields.keys()


def test_a_status_that_is_lost_is_known_to_be_lost() -> None:
    """A restored resource has none; the objects in the cluster then say what was."""
    assert recall({}) == Memory(is_lost=True)


@pytest.mark.parametrize("rollout", ["Step", 7, None, [], {"window": 3}, {"frozen": {}}])
def test_a_spoilt_rollout_is_read_as_far_as_it_is_understood(rollout: object) -> None:
    """Reading never fails."""
    content = {"observedGeneration": 1, "desiredReplicas": 3, "rollout": rollout}
    assert recall(content) == Memory(desired_replicas=3)


def test_a_newer_phase_costs_the_phase_alone() -> None:
    """What an older operator does not know of a rollout it takes for none, but keeps the rest."""
    content = stored(MOVING, Progress())
    content["rollout"]["phase"] = "FromTheFuture"
    assert recall(content).rollout == replace(MOVING, phase=RolloutPhase.STABLE)


def test_times_are_written_in_whole_seconds() -> None:
    """`metav1.Time` has no fractions, and the next pass must read what this one decided."""
    late = NOW.replace(microsecond=999_999)
    content = rollout_json(replace(MOVING, started_at=late))
    assert content["startedAt"] == "2026-01-01T12:00:00Z"


def test_only_the_newest_commands_are_kept() -> None:
    """The list is bounded, whatever is sent."""
    nonces = tuple(str(number) for number in range(COMMANDS_LIMIT + 5))
    assert rollout_json(replace(MOVING, commands=nonces))["commands"] == list(nonces[5:])


def test_a_rollout_at_rest_is_hardly_anything() -> None:
    """No phase, no weight: nothing is under way."""
    assert rollout_json(Rollout(target="bcdfghjk", stable_was_ready=True)) == {
        "target": "bcdfghjk",
        "stableWasReady": True,
    }


def test_a_weight_of_nothing_is_shown_while_a_rollout_runs() -> None:
    """0 is news during preparation."""
    preparing = replace(MOVING, phase=RolloutPhase.PREPARING, weight_percent=0)
    assert rollout_json(preparing)["weightPercent"] == 0


def test_steps_are_counted_from_one_for_people() -> None:
    """step: 2 of steps: 4 is the second of four."""
    content = rollout_json(replace(MOVING, step=1), Progress(steps=4))
    assert (content["step"], content["steps"]) == (2, 4)
