import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from llm_operator.api.reasons import ConditionType, Phase, Reason
from llm_operator.api.rollout import Strategy
from llm_operator.api.schema import ApiModel
from llm_operator.api.status import (
    MESSAGE_LIMIT,
    NONCE_PATTERN,
    Condition,
    ConditionStatus,
    FrozenSettings,
    ModelStatus,
    PodSummary,
    ReplicasFloor,
    RolloutPhase,
    RolloutStatus,
    Status,
)
from llm_operator.api.traffic import Provider


def made(model: type[ApiModel], /, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw models; hypothesis' own builds would draw aliases beside the fields."""
    return st.fixed_dictionaries(fields).map(lambda drawn: model(**drawn))


COUNTS = st.integers(0, 10000)
TIMES = st.datetimes(timezones=st.just(UTC), min_value=datetime(2020, 1, 1))  # noqa: DTZ001
HASHES = st.text("bcdfghjklmnpqrstvwxz2456789", min_size=8, max_size=8)
MESSAGES = st.text(max_size=40)
CONDITIONS = st.lists(
    made(
        Condition,
        type=st.sampled_from(ConditionType),
        status=st.sampled_from(ConditionStatus),
        observed_generation=COUNTS,
        last_transition_time=TIMES,
        reason=st.sampled_from(Reason),
        message=MESSAGES,
    ),
    unique_by=lambda condition: condition.type,
).map(tuple)
STATUSES = made(
    Status,
    observed_generation=st.none() | COUNTS,
    phase=st.none() | st.sampled_from(Phase),
    conditions=CONDITIONS,
    replicas=st.none() | COUNTS,
    desired_replicas=st.none() | COUNTS,
    replicas_floor=st.none() | made(ReplicasFloor, value=COUNTS, since=TIMES),
    ready_replicas=st.none() | COUNTS,
    selector=st.none() | MESSAGES,
    endpoint=st.none() | MESSAGES,
    stable_revision=st.none() | HASHES,
    model=st.none() | made(ModelStatus, source=MESSAGES, simulated=st.booleans()),
    pods=st.lists(
        made(PodSummary, reason=st.sampled_from(Reason), count=COUNTS, message=MESSAGES),
        max_size=10,
    ).map(tuple),
    rollout=st.none()
    | made(
        RolloutStatus,
        phase=st.sampled_from(RolloutPhase),
        target=HASHES,
        started_at=TIMES,
        weight_percent=st.integers(0, 100),
        cause=st.none() | st.sampled_from(Reason),
        commands=st.lists(st.from_regex(NONCE_PATTERN, fullmatch=True), max_size=5).map(tuple),
        frozen=st.none()
        | made(
            FrozenSettings,
            strategy=st.sampled_from(Strategy),
            max_extra_replicas=COUNTS,
            min_serving_percent=st.integers(0, 100),
            provider=st.sampled_from(Provider),
        ),
        rejected=st.lists(HASHES, max_size=5).map(tuple),
    ),
)
GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@given(STATUSES)
def test_a_status_survives_writing_and_reading(status: Status) -> None:
    """Nothing is lost on the way through the API server."""
    assert Status.from_json(json.loads(json.dumps(status.to_json()))) == status


def places(value: object, path: tuple[int | str, ...] = ()) -> list[tuple[int | str, ...]]:
    """Return the path of every part of a JSON value."""
    inner: list[tuple[int | str, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path] * bool(path) + [
        place for key, item in inner for place in places(item, (*path, key))
    ]


def put(content: Any, path: tuple[int | str, ...], value: object) -> None:
    """Replace one part of a JSON value."""
    for step in path[:-1]:
        content = content[step]
    content[path[-1]] = value


@given(STATUSES, GARBAGE, st.data())
def test_garbage_in_one_place_loses_that_part_only(
    status: Status, garbage: object, data: st.DataObject
) -> None:
    """A hand-edited or newer status is read as far as it is understood."""
    content = status.to_json()
    if not (paths := places(content)):
        return
    path = data.draw(st.sampled_from(paths))
    put(content, path, garbage)
    read = Status.from_json(content)
    untouched = set(Status.model_fields) - {
        name for name, field in Status.model_fields.items() if field.alias == path[0]
    }
    assert {name: getattr(read, name) for name in untouched} == {
        name: getattr(status, name) for name in untouched
    }


@given(GARBAGE | st.dictionaries(st.sampled_from(["conditions", "rollout", "pods"]), GARBAGE))
@example({"conditions": [{"type": "Ready"}, 7, None]})
def test_reading_a_status_never_fails(garbage: object) -> None:
    """A status may be lost or spoilt; the operator computes it again."""
    assert isinstance(Status.from_json(garbage), Status)


def test_an_unknown_reason_costs_only_its_entry() -> None:
    """A newer release's reason does not take the other conditions with it."""
    known = {
        "type": "Ready",
        "status": "True",
        "reason": "Available",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    newer = known | {"type": "Progressing", "reason": "FromTheFuture"}
    read = Status.from_json({"conditions": [known, newer], "replicas": 3})
    assert read.replicas == 3
    assert read.condition(ConditionType.READY) is not None
    assert read.condition(ConditionType.PROGRESSING) is None


def test_reading_leaves_the_stored_status_as_it_is() -> None:
    """The argument belongs to the cache."""
    content = {"replicas": "three"}
    Status.from_json(content)
    assert content == {"replicas": "three"}


def test_absence_is_left_out() -> None:
    """An empty status is an empty object, and so is every part of it."""
    assert Status(rollout=RolloutStatus(), model=ModelStatus()).to_json() == {}


def test_a_long_message_is_cut_and_not_refused() -> None:
    """What a pod says may be of any length; the status must still be written."""
    summary = PodSummary(reason=Reason.UNKNOWN, count=1, message="x" * 5000)
    assert len(summary.message) == MESSAGE_LIMIT
    assert summary.message.endswith("…")
