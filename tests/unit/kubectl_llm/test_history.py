import json
from dataclasses import replace
from typing import Any

from llm_operator import kinds
from llm_operator.desired.revision import RevisionVerdict
from tests.models.kubectl_llm import Person, a_revision

FIRST = a_revision(1, model={"source": "builtin://tiny"})
SECOND = a_revision(2)
BAD = a_revision(
    3, RevisionVerdict.REJECTED, "ErrorsTooHigh", model={"source": "builtin://simulated?x"}
)
SERVES_SECOND = {"stableRevision": SECOND.hash, "rollout": {"target": BAD.hash}}


def test_history_tells_of_each_revision_what_became_of_it(person: Person) -> None:
    """Every kept revision has a line: number, hash, verdict, cause, times, source, image."""
    person.has([FIRST, SECOND, BAD], SERVES_SECOND)

    told = person.runs("history", "chat")

    assert told.exit_code == 0
    header, newest, middle, oldest = told.output.splitlines()
    assert header.split() == [
        "N",
        "REVISION",
        "VERDICT",
        "REASON",
        "STARTED",
        "ENDED",
        "SOURCE",
        "IMAGE",
        "NOW",
    ]
    assert newest.split()[:4] == ["3", BAD.hash, "Rejected", "ErrorsTooHigh"]
    assert "2026-01-01T10:03:00Z" in newest
    assert "2026-01-01T10:03:30Z" in newest
    assert "builtin://tiny" in oldest
    assert "llm-server:1" in oldest
    assert middle.split()[:3] == ["2", SECOND.hash, "Promoted"]


def test_history_shows_the_first_digits_of_what_the_pods_ran(person: Person) -> None:
    """Behind source and image, one for each that a moved tag had; the JSON has them whole."""
    digests = f"sha256:{'a' * 64},sha256:{'b' * 64}"
    record = replace(SECOND.record, image_digest=digests, model_commit="c" * 40)
    ran = replace(SECOND, record=record)
    person.has([FIRST, ran], {"stableRevision": SECOND.hash})

    newest, oldest = person.runs("history", "chat").output.splitlines()[1:]
    row = json.loads(person.runs("history", "chat", "-o", "json").output)[0]

    assert f"llm-server:1 ({'a' * 12}, {'b' * 12})" in newest
    assert f"builtin://simulated ({'c' * 12})" in newest
    assert "(" not in oldest
    assert (row["imageDigest"], row["modelCommit"]) == (digests, "c" * 40)


def test_history_marks_what_serves_what_is_tried_and_what_the_spec_means(person: Person) -> None:
    """The last column says which revision is stable, which the rollout's, which the spec's."""
    person.has([FIRST, SECOND, BAD], SERVES_SECOND)

    rows = {
        row["number"]: row
        for row in json.loads(person.runs("history", "chat", "-o", "json").output)
    }

    assert rows[2]["now"] == ["stable", "spec"]
    assert rows[3]["now"] == ["target"]
    assert rows[1]["now"] == []


def test_history_takes_a_revision_of_an_older_operator(person: Person) -> None:
    """A ControllerRevision without any annotation is listed with dashes."""
    person.has([FIRST], {"stableRevision": FIRST.hash})
    name = f"chat-{FIRST.hash}"
    address = ("default", name)
    person.api.edit(
        kinds.CONTROLLER_REVISION, address, lambda obj: obj["metadata"].pop("annotations")
    )

    told = person.runs("history", "chat")

    assert told.output.splitlines()[1].split()[:6] == ["1", FIRST.hash, "-", "-", "-", "-"]


def test_history_leaves_out_what_belongs_to_a_namesake(person: Person) -> None:
    """A ControllerRevision of a deleted resource of the same name is not part of the history."""
    person.has([FIRST], {"stableRevision": FIRST.hash})

    def disown(obj: dict[str, Any]) -> None:
        obj["metadata"]["ownerReferences"][0]["uid"] = "another"

    person.api.edit(kinds.CONTROLLER_REVISION, ("default", f"chat-{FIRST.hash}"), disown)

    assert person.runs("history", "chat").output.splitlines()[1:] == []


def test_diff_shows_what_a_revision_changed(person: Person) -> None:
    """``diff 1 2`` names each field that differs, with both values and the effect."""
    person.has([FIRST, SECOND], {"stableRevision": SECOND.hash})

    told = person.runs("diff", "chat", "1", "2")

    assert told.exit_code == 0
    assert told.output.splitlines() == [
        "spec.model.source  (new revision)",
        "- builtin://tiny",
        "+ builtin://simulated",
    ]


def test_diff_compares_stable_with_the_live_spec_by_itself(person: Person) -> None:
    """Without numbers the comparison is between what serves and what the spec asks for."""
    person.has([FIRST], {"stableRevision": FIRST.hash}, model={"source": "builtin://simulated"})

    changes = json.loads(person.runs("diff", "chat", "-o", "json").output)

    assert changes == [
        {
            "field": "spec.model.source",
            "before": "builtin://tiny",
            "after": "builtin://simulated",
            "effect": "revision",
        }
    ]


def test_a_revision_that_is_not_kept_is_refused_with_those_that_are(person: Person) -> None:
    """``diff`` and ``undo`` list the kept revisions when they are asked for another one."""
    person.has([FIRST, SECOND], {"stableRevision": SECOND.hash})

    for words in (("diff", "chat", "7"), ("undo", "chat", "--to", "7")):
        told = person.runs(*words)
        assert told.exit_code == 3
        assert "has no revision 7" in told.stderr
        assert f"2 ({SECOND.hash}), 1 ({FIRST.hash})" in told.stderr
