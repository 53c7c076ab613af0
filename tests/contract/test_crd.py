"""The CRD and everything else that is generated stay in step with the models, and within rules."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_operator import kinds
from llm_operator.api import crd
from llm_operator.api.generate import generated_files
from llm_operator.api.revisioned import EFFECTS
from llm_operator.api.schema import WHOLE_MAX, Effect
from llm_operator.api.spec import Spec

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
DEFINITION = crd.definition()
SCHEMA: Json = crd.resource_schema()
FILES = generated_files()
CRD_FILES = sorted(name for name in FILES if name.endswith("llmdeployments.yaml"))


def nodes(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Yield every node below the root with its path."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from nodes(child, f"{path}.{name}")
    for keyword, suffix in (("items", "[]"), ("additionalProperties", "{}")):
        if keyword in schema:
            yield path + suffix, schema[keyword]
            yield from nodes(schema[keyword], path + suffix)


NODES = dict(nodes(SCHEMA))
PROPERTIES = {path: node for path, node in NODES.items() if not path.endswith(("]", "}"))}
REVISIONED = tuple(
    f".spec.{Spec.model_fields[name].alias}"
    for name, effect in EFFECTS.items()
    if effect is Effect.REVISION
)


def required_bounds(node: Json) -> set[str]:
    """Return the keywords without which a node would be unbounded."""
    if node.get("x-kubernetes-int-or-string"):
        return {"minimum", "maximum", "minLength", "maxLength", "pattern"}
    if "enum" in node:
        return {"enum"}
    if node["type"] == "object":
        return {"properties"} if "properties" in node else {"additionalProperties", "maxProperties"}
    bounds = {
        "string": {"maxLength"},
        "integer": {"minimum", "maximum", "format"},
        "array": {"maxItems", "items", "x-kubernetes-list-type"},
        "boolean": {"type"},
    }
    return bounds[node["type"]]


@pytest.mark.parametrize("name", FILES)
def test_a_generated_file_is_what_the_models_make(name: str) -> None:
    """`make crds` was run after the last change of a model."""
    assert (ROOT / name).read_text() == FILES[name]


def test_the_charts_copy_is_the_crd() -> None:
    """Helm installs the bytes that kubectl applies."""
    assert len(CRD_FILES) == 2
    assert len({FILES[name] for name in CRD_FILES}) == 1


def test_generating_twice_makes_the_same() -> None:
    """The files depend on nothing but the models."""
    assert generated_files() == FILES


def test_the_crd_is_small_enough() -> None:
    """A client-side apply keeps the manifest in an annotation, which holds 256 KiB."""
    assert all(len(FILES[name].encode()) < 256 * 1024 for name in CRD_FILES)


def test_every_property_is_described() -> None:
    """`kubectl explain` has a sentence for every field."""
    described = {path for path, node in PROPERTIES.items() if node["description"].endswith(".")}
    assert PROPERTIES.keys() - described == set()


def test_every_node_is_bounded() -> None:
    """Strings, integers, lists and maps have an upper bound, and lists say how they merge."""
    unbounded = {path for path, node in NODES.items() if not required_bounds(node) <= node.keys()}
    assert unbounded == set()


def test_no_bound_is_beyond_what_the_api_server_reads_exactly() -> None:
    """It reads bounds as floating point; 2**63 - 1 comes out negative and refuses everything."""
    assert max(node.get("maximum", 0) for node in NODES.values()) <= WHOLE_MAX


def test_every_list_map_is_keyed_by_required_fields() -> None:
    """A key that may be absent would need a default."""
    maps = {path: node for path, node in NODES.items() if "x-kubernetes-list-map-keys" in node}
    assert len(maps) > 5
    for path, node in maps.items():
        assert set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"]), path
        assert node["x-kubernetes-list-type"] == "map"


def test_only_hot_fields_have_defaults() -> None:
    """A default of a revisioned field would restart a fleet when the CRD is upgraded."""
    defaulted = {path for path, node in NODES.items() if node.get("default", {}) != {}}
    assert defaulted == {
        ".spec.replicas",
        ".spec.service.type",
        ".spec.service.port",
        ".spec.autoscaling.minReplicas",
        ".spec.monitoring.serviceMonitor.enabled",
        ".spec.rollout.strategy",
        ".spec.rollout.paused",
        ".spec.rollout.steps[].minSeconds",
        ".spec.rollout.maxExtraReplicas",
        ".spec.rollout.minServingPercent",
        ".spec.rollout.onFailure",
        ".spec.rollout.bakeSeconds",
        ".spec.rollout.inconclusiveSeconds",
        ".spec.rollout.progressDeadlineSeconds",
        ".spec.rollout.revisionHistoryLimit",
        ".spec.rollout.analysis.intervalSeconds",
        ".spec.rollout.analysis.minRequests",
        ".spec.rollout.analysis.maxErrorPercent",
        ".spec.rollout.analysis.maxTimeToFirstTokenPercent",
        ".spec.rollout.analysis.maxInterTokenPercent",
        ".spec.traffic.provider",
    }
    assert not [path for path in defaulted if path.startswith(REVISIONED)]


def test_objects_whose_fields_have_defaults_are_by_default_empty() -> None:
    """The API server fills in the fields of an object only where the object is."""
    empty = {path for path, node in NODES.items() if node.get("default") == {}}
    assert empty == {
        ".spec.service",
        ".spec.monitoring",
        ".spec.monitoring.serviceMonitor",
        ".spec.rollout",
        ".spec.rollout.analysis",
        ".spec.traffic",
    }


def test_rules_of_such_objects_hold_for_the_empty_object() -> None:
    """The API server checks a default before it fills in the fields inside."""
    for path, node in NODES.items():
        rules = node.get("x-kubernetes-validations", ()) if node.get("default") == {} else ()
        for rule in (entry["rule"] for entry in rules):
            fields = set(re.findall(r"self\.(\w+)", rule))
            guarded = set(re.findall(r"!has\(self\.(\w+)\) \|\|", rule))
            assert guarded, f"{path}: {rule}"
            assert fields - guarded <= set(re.findall(r"has\(self\.(\w+)\)", rule)), path


def with_defaults(schema: Json, value: Json) -> Json:
    """Fill in defaults as the API server does: what is absent, then inside what is there."""
    filled = dict(value)
    for name, node in schema.get("properties", {}).items():
        if name not in filled and "default" in node:
            filled[name] = node["default"]
        if isinstance(filled.get(name), dict):
            filled[name] = with_defaults(node, filled[name])
    return filled


@pytest.mark.parametrize("rollout", [{}, {"rollout": {}}, {"rollout": {"analysis": {}}}])
def test_what_is_left_out_of_a_rollout_is_shown_in_the_stored_object(rollout: Json) -> None:
    """The stored object says what holds, and the operator reads the same without it."""
    minimal = {"model": {"source": "builtin://simulated"}, **rollout}
    stored = with_defaults(SCHEMA["properties"]["spec"], minimal)
    assert stored["rollout"]["strategy"] == "Canary"
    assert stored["rollout"]["analysis"]["minRequests"] == 50
    assert stored["traffic"] == {"provider": "Auto"}
    assert Spec.model_validate(stored) == Spec.model_validate(minimal)


def test_replicas_has_its_default() -> None:
    """Without it /scale answers 500 and an autoscaler is dead."""
    assert NODES[".spec.replicas"]["default"] == 1


def test_nothing_unknown_is_preserved_and_there_are_no_fractions() -> None:
    """Nothing is accepted and ignored."""
    text = json.dumps(SCHEMA)
    assert "preserve-unknown" not in text
    assert '"number"' not in text


def test_conditions_are_merged_by_type() -> None:
    """As the API conventions ask."""
    conditions = NODES[".status.conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


@pytest.mark.parametrize(
    "path",
    [
        ".status.phase",
        ".status.conditions[].type",
        ".status.conditions[].reason",
        ".status.pods[].reason",
        ".status.rollout.phase",
        ".status.rollout.frozen.strategy",
        ".status.rollout.frozen.provider",
        ".status.rollout.verdict",
        ".status.rollout.reason",
        ".status.rollout.cause",
        ".status.rollout.pausedBy",
        ".status.rollout.returnTo",
    ],
)
def test_words_of_the_status_are_open_in_the_schema(path: str) -> None:
    """A newer operator can write its status before the CRD is upgraded."""
    assert "enum" not in NODES[path]


def test_scale_points_at_fields_that_exist() -> None:
    """`kubectl scale` and the autoscaler read and write these."""
    (version,) = DEFINITION["spec"]["versions"]
    scale = version["subresources"]["scale"]
    assert NODES[scale["specReplicasPath"]]["type"] == "integer"
    assert NODES[scale["statusReplicasPath"]]["type"] == "integer"
    assert NODES[scale["labelSelectorPath"]]["type"] == "string"
    assert version["subresources"]["status"] == {}


def test_columns_show_fields_that_exist() -> None:
    """A misspelt path would show an empty column and no error."""
    (version,) = DEFINITION["spec"]["versions"]
    for column in version["additionalPrinterColumns"]:
        path = column["jsonPath"].replace("[?(@.type=='Ready')]", "[]")
        assert path == ".metadata.creationTimestamp" or path in NODES


def test_the_names_are_those_that_the_operator_uses() -> None:
    """Group, version and plural are written once, in ``kinds``."""
    kind = kinds.LLM_DEPLOYMENT
    spec = DEFINITION["spec"]
    assert DEFINITION["metadata"]["name"] == f"{kind.plural}.{kind.group}"
    assert (spec["group"], spec["names"]["plural"]) == (kind.group, kind.plural)
    assert (spec["names"]["kind"], spec["versions"][0]["name"]) == (kind.kind, kind.version)
    assert spec["names"]["shortNames"] == ["llmd"]
    assert spec["names"]["categories"] == ["llm"]
