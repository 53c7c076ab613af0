import json
from typing import Any

import pytest

from llm_operator import kinds
from tests.builders import a_pod, an_llm_deployment
from tests.models.kubectl_llm import Person, condition

STABLE, NEW = "bcdfghjk", "lmnpqrst"
STEPPING: dict[str, Any] = {
    "phase": "Progressing",
    "stableRevision": STABLE,
    "readyReplicas": 3,
    "desiredReplicas": 3,
    "endpoint": "http://chat.default.svc/v1",
    "rollout": {
        "phase": "Step",
        "target": NEW,
        "step": 2,
        "steps": 4,
        "weightPercent": 25,
        "effectiveWeightPercent": 33,
        "verdict": "Inconclusive",
        "reason": "TooFewRequests",
        "startedAt": "2026-01-01T11:00:00Z",
        "stepStartedAt": "2026-01-01T11:30:00Z",
    },
    "conditions": [
        condition("Ready", "True", "Available", "3 of 3 pods are ready"),
        condition("Progressing", "True", "RolloutStepping", "31 of 50 requests, 0.0 % errors"),
    ],
    "pods": [{"reason": "ImagePullFailed", "count": 1, "message": "no such image", "pod": "c-1"}],
}


def with_pods(person: Person) -> None:
    """Give chat two ready stable pods, one starting and one ending new one."""
    managed = {kinds.MANAGED_BY_LABEL: kinds.FIELD_MANAGER}
    for name, revision, is_ready in (
        ("a", STABLE, True),
        ("b", STABLE, True),
        ("c", NEW, False),
        ("d", NEW, True),
    ):
        pod = a_pod(revision, name, ready=is_ready)
        pod["metadata"]["labels"] |= managed
        if name == "d":
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
        person.api.create(kinds.POD, pod, "kubelet")


def test_one_resource_is_shown_with_rollout_pods_conditions_and_causes(person: Person) -> None:
    """The page says step, weights asked and had, verdict, pods per revision and causes."""
    person.has(status=STEPPING)
    with_pods(person)

    page = person.runs("get", "chat").output

    assert "step 2/4" in page
    assert "25% (is 33%)" in page
    assert "verdict Inconclusive TooFewRequests" in page
    assert "31 of 50 requests" in page
    assert [STABLE, "stable", "2", "0", "0", "0"] in [line.split() for line in page.splitlines()]
    assert [NEW, "new", "0", "1", "1", "0"] in [line.split() for line in page.splitlines()]
    assert "1 not ready: ImagePullFailed no such image (c-1)" in page


def test_programs_get_the_same_facts(person: Person) -> None:
    """``-o json`` has weights, verdict and pods per revision as numbers and words."""
    person.has(status=STEPPING)
    with_pods(person)

    facts = json.loads(person.runs("get", "chat", "-o", "json").output)

    assert facts["rollout"]["weightPercent"] == 25
    assert facts["rollout"]["effectiveWeightPercent"] == 33
    assert facts["rollout"]["verdict"] == "Inconclusive"
    assert facts["isObserved"] is True
    assert facts["pods"][0] == {
        "revision": STABLE,
        "role": "stable",
        "ready": 2,
        "starting": 0,
        "ending": 0,
        "restarts": 0,
    }


def test_without_a_name_there_is_a_line_for_each_resource(person: Person) -> None:
    """The table has the resources of the namespace, and with -A those of all."""
    person.has(status=STEPPING)
    other = an_llm_deployment("talk")
    other["metadata"]["namespace"] = "elsewhere"
    person.api.create(kinds.LLM_DEPLOYMENT, other, "kubectl")

    here = person.runs("get").output.splitlines()
    everywhere = person.runs("get", "-A").output.splitlines()

    assert [line.split()[:4] for line in here[1:]] == [["default", "chat", "Progressing", "3/3"]]
    assert {line.split()[1] for line in everywhere[1:]} == {"chat", "talk"}


def test_an_empty_namespace_is_said_to_be_empty(person: Person) -> None:
    """No resources is no error."""
    told = person.runs("get")

    assert (told.exit_code, told.output) == (0, "No LLMDeployments.\n")


def test_pods_that_may_not_be_seen_are_left_out(person: Person) -> None:
    """A person who may read only LLMDeployments sees the resource without its pods."""
    person.has(status=STEPPING)
    person.cluster.forbidden.add(kinds.POD.plural)

    told = person.runs("get", "chat")

    assert told.exit_code == 0
    assert "step 2/4" in told.output
    assert "ROLE" not in told.output


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"rollout": {"phase": "Moving", "target": NEW, "movedAt": "2026-01-01T11:00:00Z"}},
        {"phase": "FromTheFuture", "rollout": {"phase": "Orbiting", "step": "two"}},
        {"conditions": "none", "pods": [{"reason": "FromTheFuture", "count": 1, "message": ""}]},
    ],
)
def test_the_status_of_another_release_is_shown_as_far_as_it_is_understood(
    person: Person, status: dict[str, Any]
) -> None:
    """What an older or newer operator wrote never breaks the page, the table or the facts."""
    person.has(status=status)

    for words in (("get", "chat"), ("get",), ("get", "chat", "-o", "json"), ("status", "chat")):
        told = person.runs(*words)
        assert told.exit_code in (0, 12), told.output
        assert "chat" in told.output


def deletes_after(person: Person, looks: int) -> None:
    """Delete chat once it has been looked at so often, which ends every watch."""
    left = iter(range(looks))

    def count(verb: str, kind: kinds.ResourceKind) -> None:
        is_look = (verb, kind) == ("get", kinds.LLM_DEPLOYMENT)
        if is_look and next(left, None) is None and person.api.find(kind, "default", "chat"):
            person.api.remove(kind, "default", "chat")

    person.api.before_request = count


def test_a_terminal_is_redrawn_with_each_look(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The live view shows the page again and again in place, until the resource is gone."""
    person.has(status=STEPPING)
    deletes_after(person, looks=3)
    monkeypatch.setenv("FORCE_COLOR", "1")

    told = person.runs("get", "chat", "--watch", "--interval", "0.1")

    assert told.exit_code == 3
    assert told.stdout.count("step 2/4") >= 3
    assert "\x1b[" in told.stdout


def test_a_pipe_gets_a_line_for_each_piece_of_news(person: Person) -> None:
    """Looks without news print nothing."""
    person.has(status=STEPPING)
    deletes_after(person, looks=3)

    told = person.runs("get", "chat", "--watch", "--interval", "0.1")

    assert told.exit_code == 3
    (line,) = told.stdout.splitlines()
    assert line.startswith("chat: Progressing, 3/3 ready, Step 2/4, weight 25% (is 33%)")
    assert line.endswith("verdict Inconclusive TooFewRequests, 31 of 50 requests, 0.0 % errors")


def test_no_color_is_obeyed(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR even a terminal gets no colour."""
    person.has(status=STEPPING)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[36m" in person.runs("get", "chat").stdout

    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[36m" not in person.runs("get", "chat").stdout
