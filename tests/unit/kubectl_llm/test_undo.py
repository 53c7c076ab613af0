import pytest

from llm_operator import kinds
from llm_operator.api.resource import LLMDeployment
from llm_operator.api.revisioned import revisioned_part
from llm_operator.desired.revision import RevisionVerdict
from tests.models.kubectl_llm import KEY, Person, a_revision

OLD = a_revision(1, model={"source": "builtin://tiny"}, server={"maxQueuedRequests": 9})
NOW = a_revision(2, resources={"requests": {"cpu": "2"}})
BAD = a_revision(3, RevisionVerdict.REJECTED, "NoProgress", model={"source": "builtin://worse"})
SERVES_NOW = {"stableRevision": NOW.hash, "rollout": {"target": NOW.hash}}


def test_undo_writes_the_old_revisioned_part_and_nothing_else(person: Person) -> None:
    """``undo`` makes the spec mean the old revision and leaves replicas and other hot fields."""
    person.has(
        [OLD, NOW],
        SERVES_NOW,
        resources={"requests": {"cpu": 2}},
        replicas=7,
        service={"type": "NodePort", "port": 8080},
    )

    told = person.runs("undo", "chat", "--yes")

    assert told.exit_code == 0, told.output
    spec = person.resource()["spec"]
    assert revisioned_part(LLMDeployment.parse(person.resource()).spec) == OLD.spec
    assert "resources" not in spec
    assert (spec["replicas"], spec["service"]) == (7, {"type": "NodePort", "port": 8080})
    assert person.cluster.managers == ["kubectl-llm"]


def test_undo_shows_the_difference_and_asks(person: Person) -> None:
    """Nothing is written before the difference was shown and confirmed."""
    person.has([OLD, NOW], SERVES_NOW, resources={"requests": {"cpu": "2"}})
    before = person.resource()["spec"]

    told = person.runs("undo", "chat", types="n\n")

    assert told.exit_code == 1
    assert "- builtin://simulated" in told.output
    assert "+ builtin://tiny" in told.output
    assert person.resource()["spec"] == before

    assert person.runs("undo", "chat", types="y\n").exit_code == 0
    assert person.resource()["spec"]["model"]["source"] == "builtin://tiny"


def test_undo_of_a_rejected_change_goes_back_to_what_serves(person: Person) -> None:
    """While the spec asks for a rejected revision, ``undo`` without a number means stable."""
    status = {"stableRevision": NOW.hash, "rollout": {"phase": "RolledBack", "target": BAD.hash}}
    person.has([OLD, NOW, BAD], status, model={"source": "builtin://worse"})

    assert person.runs("undo", "chat", "--yes").exit_code == 0

    assert revisioned_part(LLMDeployment.parse(person.resource()).spec) == NOW.spec


def test_undo_passes_over_rejected_revisions(person: Person) -> None:
    """The revision before is the newest one that served, not one that was rejected meanwhile."""
    person.has([OLD, BAD, NOW], SERVES_NOW, resources={"requests": {"cpu": "2"}})

    assert "back to revision 1" in person.runs("undo", "chat", "--yes").output


def test_undo_to_what_the_spec_means_already_writes_nothing(person: Person) -> None:
    """``undo --to`` the revision of the live spec says so and ends well."""
    person.has([OLD, NOW], SERVES_NOW, resources={"requests": {"cpu": "2"}})

    told = person.runs("undo", "chat", "--to", "2")

    assert (told.exit_code, person.cluster.managers) == (0, [])
    assert "already" in told.output


def test_undo_refuses_when_there_is_nothing_before(person: Person) -> None:
    """The first revision has no predecessor."""
    person.has([NOW], SERVES_NOW, resources={"requests": {"cpu": "2"}})

    assert person.runs("undo", "chat", "--yes").exit_code == 3


@pytest.mark.parametrize("to", ["1", OLD.hash])
def test_a_revision_may_be_named_by_number_or_hash(person: Person, to: str) -> None:
    """Both columns of ``history`` are understood."""
    person.has([OLD, NOW], SERVES_NOW, resources={"requests": {"cpu": "2"}})

    person.runs("undo", "chat", "--to", to, "--yes")

    assert person.resource()["spec"]["model"]["source"] == "builtin://tiny"


def test_undo_does_not_overwrite_what_someone_else_wrote_meanwhile(person: Person) -> None:
    """An edit between the look and the write makes ``undo`` stop with a sentence."""
    person.has([OLD, NOW], SERVES_NOW, resources={"requests": {"cpu": "2"}})

    def edit_first(verb: str, kind: kinds.ResourceKind) -> None:
        if verb == "list":
            person.api.before_request = lambda _verb, _kind: None
            person.api.edit(kinds.LLM_DEPLOYMENT, KEY, lambda obj: obj["spec"].update(replicas=5))

    person.api.before_request = edit_first
    told = person.runs("undo", "chat", "--yes")

    assert told.exit_code == 1
    assert "changed by someone else" in told.stderr
    assert person.resource()["spec"]["model"]["source"] == "builtin://simulated"
