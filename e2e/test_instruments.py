"""The instruments can show a fault: managedFields with two owners, an audit log with writes."""

import json
from pathlib import Path
from typing import Any

import httpx

from e2e import audit
from e2e.ownership import fields_with_two_managers
from e2e.pod_logs import PodLogs
from e2e.retag import copy_manifest


def entry(manager: str, operation: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Return one entry of managedFields."""
    return {"manager": manager, "operation": operation, "fieldsV1": fields}


def test_a_field_of_two_managers_is_found_and_status_is_left_out() -> None:
    """Only leaves of the spec that two managers claim count as shared."""
    replicas: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
    port: dict[str, Any] = {'k:{"port":80}': {".": {}, "f:port": {}}}
    managed = [
        entry("kubectl", "Apply", replicas | {"f:metadata": {"f:labels": {"f:a": {}}}}),
        entry("kube-controller-manager", "Update", replicas | {"f:status": {"f:x": {}}}),
        entry("llm-operator", "Apply", {"f:spec": {"f:ports": port}, "f:status": {"f:x": {}}}),
    ]

    shared = fields_with_two_managers({"metadata": {"managedFields": managed}})

    assert shared == {".spec.replicas": ["kube-controller-manager/Update", "kubectl/Apply"]}


def event(verb: str, resource: str, user: str, code: int = 200) -> dict[str, Any]:
    """Return one event of the audit log."""
    extra = {"authentication.kubernetes.io/pod-name": ["operator-0"]}
    return {
        "verb": verb,
        "user": {"username": user, "extra": extra},
        "objectRef": {"resource": resource, "namespace": "n", "name": "chat"},
        "responseStatus": {"code": code},
        "annotations": {"authorization.k8s.io/decision": "forbid" if code == 403 else "allow"},
    }


def test_writes_are_what_changes_objects_but_not_the_lease_nor_events() -> None:
    """Of a user's requests only those that change objects count, with pod and answer."""
    events = [
        event("patch", "deployments", "operator", 403),
        event("patch", "deployments", "somebody"),
        event("list", "deployments", "operator"),
        event("update", "leases", "operator"),
        event("create", "events", "operator"),
    ]

    written = audit.writes(audit.requests_of(events, "operator"))

    assert [str(request) for request in written] == ["patch deployments n/chat -> 403"]
    assert written[0].pod == "operator-0"
    assert written[0].forbidden


def test_another_tag_has_the_same_manifest_byte_for_byte() -> None:
    """The digest, and with it every layer, stays."""
    kind = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
    manifests = {"/v2/llm-operator/manifests/one": b'{"layers": [] }'}

    def registry(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            assert request.headers["Content-Type"] == kind["Content-Type"]
            manifests[request.url.path] = request.content
            return httpx.Response(201)
        assert kind["Content-Type"] in request.headers["Accept"]
        return httpx.Response(200, headers=kind, content=manifests[request.url.path])

    with httpx.Client(transport=httpx.MockTransport(registry)) as client:
        copy_manifest(client, "http://localhost:5000/v2/llm-operator/manifests/one", "two")

    assert manifests["/v2/llm-operator/manifests/two"] == b'{"layers": [] }'


def test_only_whole_answers_of_the_length_asked_for_count(tmp_path: Path) -> None:
    """A stream that was cut, a shorter one and a line that is no record are none."""
    whole = {"timestamp": "2026-01-01T00:00:01.5Z", "outcome": "length", "completion_tokens": 9}
    others = ({"outcome": "cancelled"}, {"completion_tokens": 8})
    records = [whole, *(whole | other for other in others), {"event": "Listening"}]
    log = "\n".join(["starting", *map(json.dumps, records)])
    (tmp_path / "pod-1").write_text(log)

    assert PodLogs(tmp_path).whole_answers("pod-1", tokens=9) == [1767225601.5]
