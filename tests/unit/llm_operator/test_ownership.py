"""Who owns what, read from managedFields."""

from typing import Any

import pytest

from llm_operator.ownership import (
    ForeignField,
    Owner,
    applied_fields,
    compact,
    foreign_fields,
    owners,
    render_element,
)

TEMPLATE = ("spec", "template")


def entry(
    manager: str, fields: dict[str, Any], operation: str = "Update", subresource: str = ""
) -> dict[str, Any]:
    """One managedFields entry as the API server writes it."""
    named = {"subresource": subresource} if subresource else {}
    return {
        "manager": manager,
        "operation": operation,
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **named,
    }


def holding(*entries: dict[str, Any]) -> dict[str, Any]:
    """An object with these entries."""
    return {"metadata": {"managedFields": list(entries)}}


def in_template(fields: dict[str, Any]) -> dict[str, Any]:
    """A tree under the pod template."""
    return {"f:spec": {"f:template": fields}}


OURS = entry("llm-operator", in_template({"f:spec": {"f:a": {}, "f:b": {}}}), "Apply")


def test_what_others_own_below_the_prefix_is_foreign() -> None:
    """A field in the pod template that another manager put there is named with that manager."""
    annotation: dict[str, Any] = {"f:metadata": {"f:annotations": {".": {}, "f:restartedAt": {}}}}
    theirs = entry("kubectl-rollout", in_template(annotation))
    assert foreign_fields(holding(OURS, theirs), TEMPLATE) == (
        ForeignField("kubectl-rollout", "spec.template.metadata.annotations.restartedAt"),
    )


def test_a_field_that_we_own_too_is_not_foreign() -> None:
    """An equal value that somebody else applied as well is no conflict."""
    theirs = entry("argocd", in_template({"f:spec": {"f:a": {}}}), "Apply")
    assert foreign_fields(holding(OURS, theirs), TEMPLATE) == ()


def test_an_added_item_is_reported_once() -> None:
    """A container that somebody added is one path, not one for each of its fields."""
    item: dict[str, Any] = {".": {}, "f:name": {}, "f:image": {}}
    added = {"f:spec": {"f:containers": {'k:{"name":"sidecar"}': item}}}
    found = foreign_fields(holding(OURS, entry("kubectl-edit", in_template(added))), TEMPLATE)
    assert [field.path for field in found] == ["spec.template.spec.containers[name=sidecar]"]


def test_fields_outside_the_prefix_are_not_reported() -> None:
    """Only what lies below the prefix is asked about."""
    theirs = entry("kubectl-scale", {"f:spec": {"f:replicas": {}}})
    assert foreign_fields(holding(OURS, theirs), TEMPLATE) == ()


def test_what_controllers_write_through_a_subresource_is_not_foreign() -> None:
    """Status and scale belong to controllers by design."""
    theirs = entry("kube-controller-manager", in_template({"f:x": {}}), subresource="status")
    assert foreign_fields(holding(theirs), TEMPLATE) == ()


def test_only_our_apply_counts_as_applied() -> None:
    """An update under our name, or an apply of others, is not what our next apply builds on."""
    update = entry("llm-operator", {"f:x": {}})
    status = entry("llm-operator", {"f:status": {}}, "Apply", "status")
    other = entry("argocd", {"f:z": {}}, "Apply")
    assert applied_fields(holding(update, status, other, OURS)) == OURS["fieldsV1"]


def test_entries_of_several_versions_are_one_tree() -> None:
    """Two entries of ours, left by an upgrade of the API version, are read together."""
    older = entry("llm-operator", in_template({"f:spec": {"f:c": {}}}), "Apply")
    merged = in_template({"f:spec": {"f:a": {}, "f:b": {}, "f:c": {}}})
    assert applied_fields(holding(older, OURS)) == merged


def test_the_compact_form_reads_the_same() -> None:
    """What the cache keeps of an entry answers every question as the entry does."""
    theirs = entry("kubectl", in_template({"f:spec": {"f:z": {}}}))
    full, small = holding(OURS, theirs), holding(compact(OURS), compact(theirs))
    assert applied_fields(full) == applied_fields(small)
    assert foreign_fields(full, TEMPLATE) == foreign_fields(small, TEMPLATE)
    assert owners(full, TEMPLATE) == owners(small, TEMPLATE)


def test_the_owners_of_a_field_are_all_who_hold_it() -> None:
    """Each manager is named with the operation and subresource that it wrote through."""
    scaled = entry("hpa", {"f:spec": {"f:replicas": {}}}, subresource="scale")
    applied = entry("kubectl", {"f:spec": {"f:replicas": {}}}, "Apply")
    assert owners(holding(scaled, applied, OURS), ("spec", "replicas")) == (
        Owner("hpa", "Update", "scale"),
        Owner("kubectl", "Apply", ""),
    )


def test_an_object_without_managed_fields_has_no_owners() -> None:
    """Managed fields may be absent: nobody owns anything then."""
    assert owners({"metadata": {}}, ("spec",)) == ()
    assert applied_fields({"metadata": {}}) == {}


@pytest.mark.parametrize(
    ("element", "text"),
    [("f:image", ".image"), ('k:{"name":"a"}', "[name=a]"), ('v:"x"', '["x"]'), ("i:0", "[0]")],
)
def test_path_elements_read_well(element: str, text: str) -> None:
    """Each form of element has one reading."""
    assert render_element(element) == text
