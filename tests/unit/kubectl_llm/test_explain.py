import pytest

from llm_operator.api.reasons import Reason
from tests.models.kubectl_llm import Person


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_explained_without_a_cluster(person: Person, reason: Reason) -> None:
    """Meaning and next step of the closed list are printed, with no kubeconfig at all."""
    told = person.runs_bare("explain", reason.value)

    assert told.exit_code == 0
    assert reason.meaning in told.output
    assert reason.next_step in told.output


def test_a_misspelt_reason_is_answered_with_near_ones(person: Person) -> None:
    """What is no reason ends with 3 and names reasons that look like it."""
    told = person.runs_bare("explain", "ImagePulFailed")

    assert told.exit_code == 3
    assert "ImagePullFailed" in told.stderr


def test_a_resource_is_explained_by_what_is_wrong_with_it_now(person: Person) -> None:
    """Each cause is told once, with the operator's message and what to do."""
    pull = {"reason": "ImagePullFailed", "message": 'Cannot pull image "x"'}
    conditions = [
        {"type": "Ready", "status": "False", **pull},
        {"type": "Progressing", "status": "True", **pull},
        {"type": "Stalled", "status": "False", "reason": "NotStalled", "message": ""},
    ]
    person.has(status={"conditions": conditions, "pods": [{**pull, "count": 2, "pod": "chat-1"}]})

    told = person.runs("explain", "chat").output

    assert told.count('Cannot pull image "x"') == 1
    assert Reason.IMAGE_PULL_FAILED.next_step in told


def test_a_healthy_resource_is_explained_in_one_line(person: Person) -> None:
    """Nothing is wrong, and nothing else is said."""
    conditions = [{"type": "Ready", "status": "True", "reason": "Available", "message": ""}]
    person.has(status={"conditions": conditions})

    assert person.runs("explain", "chat").output == "Nothing is wrong with chat.\n"


def test_a_reason_of_a_newer_operator_is_told_as_it_stands(person: Person) -> None:
    """A word that this release does not know does not stop the explanation."""
    conditions = [
        {"type": "Ready", "status": "False", "reason": "FromTheFuture", "message": "Look up"}
    ]
    person.has(status={"conditions": conditions})

    told = person.runs("explain", "chat")

    assert told.exit_code == 0
    assert "FromTheFuture" in told.output
    assert "Look up" in told.output


def test_a_resource_that_no_operator_has_seen_is_said_to_be_so(person: Person) -> None:
    """No status means that nobody has looked yet."""
    person.has()

    assert "not looked at chat" in person.runs("explain", "chat").output
