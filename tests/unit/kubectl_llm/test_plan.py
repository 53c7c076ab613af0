import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_operator import kinds
from llm_operator.desired.identity import Identity
from llm_operator.desired.objects import render_deployment
from llm_operator.desired.revision import Revision, RevisionVerdict
from tests.builders import a_pod, an_llm_deployment
from tests.models.kubectl_llm import KEY, Object, Person, a_revision

GPU = {"resourceName": "nvidia.com/gpu"}
SERVING = a_revision(1, model={"source": "builtin://tiny"})
ON_GPU = a_revision(1, model={"source": "builtin://tiny"}, accelerator=GPU)
BAD = a_revision(2, RevisionVerdict.REJECTED, "NoProgress", model={"source": "builtin://bad"})


def serves(person: Person, revision: Revision, replicas: int, **spec: Any) -> None:
    """Let ``chat`` serve a revision with so many ready pods; ``spec`` is beside it."""
    status = {
        "stableRevision": revision.hash,
        "desiredReplicas": replicas,
        "rollout": {"phase": "Stable", "target": revision.hash, "stableWasReady": True},
    }
    person.has([revision], status, replicas=replicas, **{**revision.spec, **spec})
    identity = Identity(*KEY, person.resource()["metadata"]["uid"])
    person.api.applied(kinds.DEPLOYMENT, render_deployment(identity, revision, replicas))
    for index in range(replicas):
        pod = a_pod(revision.hash, f"pod-{index}")
        pod["metadata"]["labels"] |= {kinds.MANAGED_BY_LABEL: kinds.FIELD_MANAGER}
        person.api.create(kinds.POD, pod, "kubelet")


def manifest(folder: Path, **spec: Any) -> str:
    """Write a manifest of ``chat`` and return its path."""
    path = folder / "chat.yaml"
    content = an_llm_deployment(**spec)
    content["metadata"] = {"name": "chat"}
    path.write_text(yaml.safe_dump(content))
    return str(path)


def foretold(person: Person, path: str, code: int = 0) -> Object:
    """Return the plan of a manifest as a document."""
    told = person.runs("plan", "-f", path, "-o", "json")
    assert told.exit_code == code, told.output
    document: Object = json.loads(told.stdout)
    return document


def test_a_new_model_is_foretold_with_its_pods_over_time(person: Person, tmp_path: Path) -> None:
    """A revisioned field starts a rollout: T pods come, T go, never more than T + 1."""
    serves(person, SERVING, 4)
    canary = {"strategy": "Canary"}
    path = manifest(tmp_path, model={"source": "builtin://other"}, replicas=4, rollout=canary)

    plan = foretold(person, path)

    assert plan["startsRollout"] is True
    assert (plan["podsCreated"], plan["podsRemoved"], plan["peakPods"]) == (4, 4, 5)
    assert plan["stages"][0]["phase"] == "Preparing"
    assert plan["stages"][-1]["podsNew"] == 4
    assert sum(stage["createdNew"] for stage in plan["stages"]) == 4
    assert {c["field"]: c["effect"] for c in plan["changes"]}["spec.model.source"] == "revision"


def test_nothing_is_written_by_a_plan(person: Person, tmp_path: Path) -> None:
    """The resource is as it was, and no request but reads was made."""
    serves(person, SERVING, 2)
    before = person.resource()

    person.runs("plan", "-f", manifest(tmp_path, model={"source": "builtin://other"}))

    assert person.resource() == before
    assert person.cluster.managers == []


def test_a_hot_field_is_told_from_one_that_restarts(person: Person, tmp_path: Path) -> None:
    """Replicas and port are hot: pods come for the total, none is replaced."""
    serves(person, SERVING, 2)
    path = manifest(
        tmp_path, **SERVING.spec, replicas=3, service={"type": "ClusterIP", "port": 8080}
    )

    plan = foretold(person, path)

    effects = {change["field"]: change["effect"] for change in plan["changes"]}
    assert effects["spec.replicas"] == effects["spec.service.port"] == "hot"
    assert plan["startsRollout"] is False
    assert (plan["podsCreated"], plan["podsRemoved"]) == (1, 0)


def test_accelerators_are_counted_at_the_peak(person: Person, tmp_path: Path) -> None:
    """Blue/green holds twice the devices for a while; pods that end hold theirs too."""
    serves(person, ON_GPU, 3, rollout={"strategy": "BlueGreen"})
    path = manifest(
        tmp_path,
        model={"source": "builtin://other"},
        accelerator=GPU,
        replicas=3,
        rollout={"strategy": "BlueGreen"},
    )

    assert foretold(person, path)["peakAccelerators"] == {"nvidia.com/gpu": 6}


def test_the_shares_that_pods_can_make_are_told(person: Person, tmp_path: Path) -> None:
    """With one pod of each side the first step has 50 %, whatever it asks for."""
    serves(person, SERVING, 1)
    path = manifest(tmp_path, model={"source": "builtin://other"}, rollout={"strategy": "Canary"})

    shares = foretold(person, path)["shares"]
    page = person.runs("plan", "-f", path).output

    assert [(s["askedPercent"], s["effectivePercent"]) for s in shares] == [
        (10, 50),
        (25, 50),
        (50, 50),
        (100, 100),
    ]
    assert "asks for 10 % and has 50 %" in page


def test_a_gateway_has_the_shares_that_are_asked(person: Person, tmp_path: Path) -> None:
    """Where the cluster knows HTTPRoutes and a Gateway is named, weights are exact."""
    serves(person, SERVING, 1)
    traffic = {"gateway": {"parentRefs": [{"name": "web"}]}}
    path = manifest(
        tmp_path,
        model={"source": "builtin://other"},
        traffic=traffic,
        rollout={"strategy": "Canary"},
    )

    plan = foretold(person, path)
    person.api.unserved.add(kinds.HTTP_ROUTE)
    without = foretold(person, path)

    assert (plan["provider"], plan["shares"][0]["effectivePercent"]) == ("GatewayAPI", 10)
    assert (without["provider"], without["shares"][0]["effectivePercent"]) == ("ReplicaRatio", 50)


def test_a_change_without_room_is_refused_before_it_is_made(person: Person, tmp_path: Path) -> None:
    """No extra pod and none that may be missing: 11, with the two fields that would allow it."""
    serves(person, SERVING, 4)
    rollout = {"strategy": "Canary", "maxExtraReplicas": 0, "minServingPercent": 100}
    path = manifest(tmp_path, model={"source": "builtin://other"}, replicas=4, rollout=rollout)

    plan = foretold(person, path, code=11)

    assert "maxExtraReplicas" in plan["obstacle"]
    assert "minServingPercent" in plan["obstacle"]
    assert (plan["podsCreated"], plan["podsRemoved"]) == (0, 0)


def test_a_kept_revision_is_used_again(person: Person, tmp_path: Path) -> None:
    """A spec that means a revision of the history names it instead of a new one."""
    kept = a_revision(2, model={"source": "builtin://simulated"})
    serves(person, SERVING, 2)
    person.keeps(kept)

    plan = foretold(person, manifest(tmp_path, replicas=2))

    assert plan["keptRevision"] == kept.hash
    assert plan["startsRollout"] is True


def test_a_rejected_revision_that_the_spec_still_has_is_not_foretold_to_start(
    person: Person, tmp_path: Path
) -> None:
    """Applying an aborted manifest again does nothing, and the plan says why."""
    serves(person, SERVING, 2)
    person.keeps(BAD)
    rolled_back = {"phase": "RolledBack", "target": BAD.hash, "rejected": [BAD.hash]}
    person.reports({"stableRevision": SERVING.hash, "desiredReplicas": 2, "rollout": rolled_back})

    plan = foretold(
        person, manifest(tmp_path, model={"source": "builtin://bad"}, replicas=2), code=11
    )

    assert "rejected" in plan["obstacle"]
    assert (plan["podsCreated"], plan["podsRemoved"]) == (0, 0)


def test_a_rollout_that_somebody_paused_is_foretold_to_wait_for_somebody(
    person: Person, tmp_path: Path
) -> None:
    """The obstacle is the command or the failure that paused it, not the spec."""
    serves(person, SERVING, 2)
    new = a_revision(2, model={"source": "builtin://new"})
    person.keeps(new)
    frozen = {
        "strategy": "Canary",
        "maxExtraReplicas": 1,
        "minServingPercent": 100,
        "provider": "ReplicaRatio",
    }
    paused = {"phase": "Paused", "target": new.hash, "pausedBy": "PausedByCommand"}
    rollout = paused | {"cause": "PausedByCommand", "frozen": frozen, "heldTotal": 2}
    person.reports({"stableRevision": SERVING.hash, "desiredReplicas": 2, "rollout": rollout})

    plan = foretold(
        person, manifest(tmp_path, model={"source": "builtin://new"}, replicas=2), code=11
    )

    assert "PausedByCommand" in plan["obstacle"]
    assert "resume" in plan["obstacle"]


def test_a_resource_that_does_not_exist_yet_is_foretold_too(person: Person, tmp_path: Path) -> None:
    """The first revision starts with all pods, and needs as many devices."""
    plan = foretold(person, manifest(tmp_path, replicas=3, accelerator=GPU))

    assert plan["applied"] == "create"
    assert (plan["podsCreated"], plan["podsRemoved"], plan["peakPods"]) == (3, 0, 3)
    assert plan["peakAccelerators"] == {"nvidia.com/gpu": 3}


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"replicas": -1}, "spec.replicas"),
        ({"model": {}}, "spec.model.source"),
        ({"server": {"args": ["--model=x"]}}, "spec.server.args[0]"),
    ],
)
def test_an_invalid_manifest_is_refused_by_field(
    person: Person, tmp_path: Path, spec: dict[str, Any], named: str
) -> None:
    """8, and the sentence names the field; rules that only the operator knows count as well."""
    told = person.runs("plan", "-f", manifest(tmp_path, **spec))

    assert told.exit_code == 8
    assert named in told.stderr


@pytest.mark.parametrize("text", ["{: no", "kind: Pod", "", "[]", "a: 1\n---\nb: 2"])
def test_a_file_without_the_resource_is_refused(person: Person, tmp_path: Path, text: str) -> None:
    """What is no YAML, or has no LLMDeployment, ends with 8."""
    path = tmp_path / "x.yaml"
    path.write_text(text)

    assert person.runs("plan", "-f", str(path)).exit_code == 8


def test_a_missing_file_is_named(person: Person, tmp_path: Path) -> None:
    """3, with the path."""
    told = person.runs("plan", "-f", str(tmp_path / "none.yaml"))

    assert told.exit_code == 3
    assert "none.yaml" in told.stderr


def test_one_of_several_is_chosen_by_name(person: Person, tmp_path: Path) -> None:
    """A file with two resources needs ``--name``; other kinds beside them do not matter."""
    path = tmp_path / "all.yaml"
    others = [{"kind": "Service", "apiVersion": "v1", "metadata": {"name": "chat"}}]
    wanted = [an_llm_deployment("chat"), an_llm_deployment("talk")]
    path.write_text(yaml.safe_dump_all([*others, *wanted]))

    told = person.runs("plan", "-f", str(path))
    assert told.exit_code == 8
    assert "--name" in told.stderr

    assert person.runs("plan", "-f", str(path), "--name", "talk").exit_code == 0


def test_standard_input_is_read(person: Person, tmp_path: Path) -> None:
    """``-f -`` takes what is piped in."""
    text = Path(manifest(tmp_path, replicas=2)).read_text()

    assert "2 created" in person.runs("plan", "-f", "-", types=text).output
