import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubectl_llm.manifest import LAST_APPLIED, ApplyStyle, apply_style, merged_spec
from llm_operator import kinds
from tests.builders import an_llm_deployment
from tests.models import merge
from tests.models.kubectl_llm import Person

MAPS = st.recursive(
    st.integers(0, 2) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
SPECS = st.dictionaries(st.sampled_from("abc"), MAPS, max_size=3)


def live(spec: dict[str, Any], last: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a live object, with the annotation that a client-side apply of ``last`` left."""
    annotations = {LAST_APPLIED: json.dumps({"spec": last})} if last is not None else {}
    return {"metadata": {"name": "chat", "annotations": annotations}, "spec": spec}


def test_what_the_manifest_no_longer_has_is_removed() -> None:
    """A field of the last manifest that this one lacks goes."""
    before = {"model": {"source": "a", "dtype": "Float32"}, "replicas": 2}
    after = {"model": {"source": "a"}}

    assert merged_spec(live(before, before), {"spec": after}) == after


def test_what_others_set_stays() -> None:
    """A field that never was in a manifest, such as a scaled ``replicas``, is kept."""
    applied = {"model": {"source": "a"}}

    merged = merged_spec(
        live({**applied, "replicas": 7}, applied), {"spec": {"model": {"source": "b"}}}
    )

    assert merged == {"model": {"source": "b"}, "replicas": 7}


def test_a_list_is_replaced_whole() -> None:
    """Custom resources have no merge keys on the client's side."""
    before = {"server": {"args": ["--a", "--b"]}}

    merged = merged_spec(live(before, before), {"spec": {"server": {"args": ["--c"]}}})

    assert merged == {"server": {"args": ["--c"]}}


@given(SPECS, SPECS)
def test_applying_twice_is_applying_once(last: dict[str, Any], wanted: dict[str, Any]) -> None:
    """After an apply the same manifest changes nothing any more."""
    once = merged_spec(live(last, last), {"spec": wanted})

    assert once == wanted
    assert merged_spec(live(once, wanted), {"spec": wanted}) == wanted


@given(SPECS, SPECS)
def test_what_a_manifest_has_is_in_the_result(
    current: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """Whatever is live, each value of the manifest is there after the apply."""

    def holds(merged: Any, value: Any) -> bool:
        if isinstance(value, dict):
            return isinstance(merged, dict) and all(
                key in merged and holds(merged[key], one) for key, one in value.items()
            )
        return bool(merged == value)

    assert holds(merged_spec(live(current), {"spec": wanted}), wanted)


def test_a_broken_annotation_counts_as_none() -> None:
    """An annotation that somebody edited by hand removes nothing."""
    obj = live({"replicas": 3})
    obj["metadata"]["annotations"] = {LAST_APPLIED: "{no"}

    assert merged_spec(obj, {"spec": {"a": 1}}) == {"replicas": 3, "a": 1}


def test_the_way_of_applying_is_that_of_the_last_time() -> None:
    """The annotation tells a client-side apply, an Apply entry of the model a server-side one."""
    bare = an_llm_deployment()
    server_side = merge.apply(None, bare, "argocd", force=False)

    assert apply_style(None) is ApplyStyle.CREATE
    assert apply_style(bare) is ApplyStyle.CLIENT_SIDE
    assert apply_style(live({}, {})) is ApplyStyle.CLIENT_SIDE
    assert apply_style(server_side) is ApplyStyle.SERVER_SIDE


def test_a_server_side_apply_is_asked_of_the_api_server(person: Person, tmp_path: Path) -> None:
    """A dry run as the manager that applied before: what it no longer has is foretold to go."""
    first = an_llm_deployment(replicas=2, server={"maxQueuedRequests": 9})
    first["metadata"] = {"name": "chat", "namespace": "default"}
    applied = merge.apply(None, first, "argocd", force=False)
    person.api._store(kinds.LLM_DEPLOYMENT, None, applied)
    second = an_llm_deployment(replicas=2)
    second["metadata"] = {"name": "chat"}
    path = tmp_path / "chat.yaml"
    path.write_text(yaml.safe_dump(second))

    plan = json.loads(person.runs("plan", "-f", str(path), "-o", "json").stdout)

    assert plan["applied"] == "server-side apply"
    assert [(c["field"], c["before"], c["after"]) for c in plan["changes"]] == [
        ("spec.server", {"maxQueuedRequests": 9}, None)
    ]
    assert person.cluster.managers == ["argocd"]
    assert person.resource()["spec"]["server"] == {"maxQueuedRequests": 9}
