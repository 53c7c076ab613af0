import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.rollout import DEFAULT_STEPS, STEPS_MAX, RolloutSettings, Step
from llm_operator.api.schema import ApiModel
from llm_operator.api.traffic import Traffic

WEIGHTS = st.lists(st.integers(1, 100), min_size=1, max_size=STEPS_MAX)


def breaks(model: ApiModel) -> list[str]:
    """Return the fields that the rules of one model blame."""
    return [rule.field for rule in model.rules if not rule.holds(model)]


@given(WEIGHTS | WEIGHTS.map(sorted) | WEIGHTS.map(lambda weights: sorted(set(weights))))
def test_weights_rise_strictly(weights: list[int]) -> None:
    """A step that lowers or repeats the weight of the one before it is refused."""
    settings = RolloutSettings(steps=tuple(Step(weight_percent=weight) for weight in weights))
    assert (breaks(settings) == []) == (weights == sorted(set(weights)))


def test_the_rule_of_the_api_server_reaches_every_pair_of_steps() -> None:
    """CEL has no index of its own in a list: the rule names every one that a step can have."""
    (rule,) = RolloutSettings.rules
    assert f"{list(range(STEPS_MAX - 1))}.all(" in rule.cel


def test_steps_that_are_left_out_are_a_cautious_start() -> None:
    """10, 25, 50 and 100 percent, a minute each."""
    steps = RolloutSettings.model_validate({}).steps
    assert steps == DEFAULT_STEPS
    assert [(step.weight_percent, step.min_seconds) for step in steps] == [
        (10, 60),
        (25, 60),
        (50, 60),
        (100, 60),
    ]


def test_a_pause_without_seconds_waits_for_a_command() -> None:
    """`pause: {}` says something, and no pause says something else."""
    pauses: tuple[dict[str, object], ...] = ({"pause": {}}, {})
    waits, goes_on = (Step.model_validate({"weightPercent": 5, **pause}) for pause in pauses)
    assert waits.pause is not None
    assert waits.pause.seconds is None
    assert goes_on.pause is None


def test_no_room_is_not_the_schemas_to_refuse() -> None:
    """Whether no extra pod and none missing leave room depends on the number of pods."""
    assert breaks(RolloutSettings(max_extra_replicas=0, min_serving_percent=100)) == []


@pytest.mark.parametrize(
    ("traffic", "blamed"),
    [
        ({}, []),
        ({"provider": "ReplicaRatio"}, []),
        ({"provider": "GatewayAPI"}, ["gateway"]),
        ({"provider": "GatewayAPI", "gateway": {"parentRefs": [{"name": "public"}]}}, []),
    ],
)
def test_the_gateway_api_needs_a_gateway(traffic: dict[str, object], blamed: list[str]) -> None:
    """An HTTPRoute without a parent would route nothing."""
    assert breaks(Traffic.model_validate(traffic)) == blamed
