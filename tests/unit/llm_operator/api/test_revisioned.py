from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.revisioned import EFFECTS, hot_part, revisioned_part
from llm_operator.api.schema import Effect
from llm_operator.api.spec import Spec

MODEL = {"source": "builtin://tiny"}
HOT_FIELDS = {"replicas", "service", "autoscaling", "monitoring", "rollout", "traffic"}

HOT_SPECS = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(0, 9),
        "service": st.fixed_dictionaries({"port": st.integers(1, 9000)}),
        "rollout": st.fixed_dictionaries(
            {
                "strategy": st.sampled_from(["Canary", "BlueGreen", "Rolling", "Recreate"]),
                "steps": st.sampled_from(
                    [[{"weightPercent": 1, "pause": {}}], [{"weightPercent": 9, "minSeconds": 0}]]
                ),
                "analysis": st.fixed_dictionaries({"minRequests": st.integers(1, 9)}),
            }
        ),
        "traffic": st.fixed_dictionaries({"provider": st.sampled_from(["Auto", "ReplicaRatio"])}),
        "monitoring": st.fixed_dictionaries(
            {"serviceMonitor": st.fixed_dictionaries({"enabled": st.booleans()})}
        ),
        "autoscaling": st.just(
            {"maxReplicas": 3, "metrics": [{"type": "CPU", "targetUtilizationPercent": 70}]}
        ),
    },
)


def spec(**fields: Any) -> Spec:
    """Return a parsed spec with these fields."""
    return Spec.model_validate({"model": MODEL, **fields})


@given(HOT_SPECS)
def test_a_hot_field_never_changes_the_revision(hot: dict[str, Any]) -> None:
    """What touches no pod is not in the revisioned part."""
    assert revisioned_part(spec(**hot)) == {"model": MODEL}


@given(HOT_SPECS)
def test_the_two_parts_make_the_whole_spec(hot: dict[str, Any]) -> None:
    """Parsed together again, the parts are the spec that they were taken from."""
    whole = spec(**hot, server={"args": ["--x"]})
    parts = revisioned_part(whole) | hot_part(whole)
    assert Spec.model_validate(parts) == whole


def test_the_hot_fields_are_those_of_the_api() -> None:
    """All other fields of the spec start a revision."""
    assert {name for name, effect in EFFECTS.items() if effect is Effect.HOT} == HOT_FIELDS


@pytest.mark.parametrize(
    "empty",
    [
        {"server": {}},
        {"server": {"args": [], "env": [], "batching": {}}},
        {"resources": {"requests": {}, "limits": {}}},
        {"podTemplate": {"metadata": {"labels": {}}, "spec": {"volumes": [], "affinity": {}}}},
    ],
)
def test_what_is_empty_is_as_if_absent(empty: dict[str, Any]) -> None:
    """Spelling out nothing starts no revision."""
    assert revisioned_part(spec(**empty)) == revisioned_part(spec())


def test_an_empty_object_that_says_something_stays() -> None:
    """An emptyDir has no fields to set, and an empty selector selects everything."""
    volumes = [{"name": "scratch", "emptyDir": {}}]
    spread = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {},
    }
    template = {"spec": {"volumes": volumes, "topologySpreadConstraints": [spread]}}
    assert revisioned_part(spec(podTemplate=template))["podTemplate"] == template


def test_zero_and_false_are_not_empty() -> None:
    """Only absence is absence."""
    claim = {"claimName": "a", "readOnly": False}
    template = {"spec": {"volumes": [{"name": "a", "persistentVolumeClaim": claim}]}}
    part = revisioned_part(spec(server={"drainSeconds": 0}, podTemplate=template))
    assert part == {"model": MODEL, "server": {"drainSeconds": 0}, "podTemplate": template}


def test_the_spelling_of_a_whole_quantity_starts_no_revision() -> None:
    """cpu: 2 and cpu: "2" are the same."""
    number, text = ({"requests": {"cpu": value}} for value in (2, "2"))
    assert revisioned_part(spec(resources=number)) == revisioned_part(spec(resources=text))


def test_absent_revisioned_fields_have_no_defaults() -> None:
    """What absence means belongs to the renderer, which a revision records."""
    assert revisioned_part(spec()) == {"model": MODEL}


def test_the_hot_part_has_the_schemas_defaults() -> None:
    """The operator sees what the API server would have written."""
    assert hot_part(spec()) == {
        "replicas": 1,
        "service": {"type": "ClusterIP", "port": 80},
        "monitoring": {"serviceMonitor": {"enabled": False}},
        "rollout": {
            "strategy": "Canary",
            "paused": False,
            "steps": [{"weightPercent": w, "minSeconds": 60} for w in (10, 25, 50, 100)],
            "maxExtraReplicas": 1,
            "minServingPercent": 100,
            "onFailure": "Rollback",
            "bakeSeconds": 300,
            "inconclusiveSeconds": 1800,
            "progressDeadlineSeconds": 1800,
            "revisionHistoryLimit": 10,
            "analysis": {
                "intervalSeconds": 10,
                "minRequests": 50,
                "maxErrorPercent": 5,
                "maxTimeToFirstTokenPercent": 150,
                "maxInterTokenPercent": 150,
            },
        },
        "traffic": {"provider": "Auto"},
    }
