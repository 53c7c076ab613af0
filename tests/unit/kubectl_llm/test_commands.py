from typing import Any

import pytest

from kubectl_llm.answer import answer_to, was_seen
from kubectl_llm.stored import status_of
from llm_operator import kinds
from llm_operator.api.command import Command, CommandVerb, parse_command
from tests.models.kubectl_llm import KEY, Person
from tests.models.operator import OperatorModel

STABLE, NEW = "bcdfghjk", "lmnpqrst"
STEPPING = {"stableRevision": STABLE, "rollout": {"phase": "Step", "target": NEW}}


def given(person: Person) -> Command:
    """Return the command that stands on chat."""
    annotations = person.resource()["metadata"]["annotations"]
    return parse_command(annotations[kinds.COMMAND_ANNOTATION])


def operator_answers(person: Person, reason: str) -> None:
    """Let the operator look at each command when it is written, and say this about it."""

    def look(change: str, kind: kinds.ResourceKind, obj: dict[str, Any]) -> None:
        annotations = obj["metadata"].get("annotations", {})
        if kind != kinds.LLM_DEPLOYMENT or kinds.COMMAND_ANNOTATION not in annotations:
            return
        nonce = parse_command(annotations[kinds.COMMAND_ANNOTATION]).nonce
        rollout = obj["status"]["rollout"]
        if nonce in rollout.get("commands", []):
            return
        seen = {**rollout, "commands": [*rollout.get("commands", []), nonce]}
        note = f"Command {nonce}: as the test says."
        uid = obj["metadata"]["uid"]
        event = {"reason": reason, "note": note, "regarding": {"uid": uid}}
        person.api.events.append(("default", event))
        person.reports({**obj["status"], "rollout": seen})

    person.api.listeners.append(look)


@pytest.mark.parametrize("verb", CommandVerb)
def test_every_command_names_the_revision_of_the_rollout(person: Person, verb: CommandVerb) -> None:
    """The annotation is the verb, the hash that the rollout is about, and a nonce."""
    person.has(status=STEPPING)
    operator_answers(person, "CommandExecuted")

    told = person.runs(verb.value, "chat")

    assert told.exit_code == 0, told.output
    assert (given(person).verb, given(person).revision) == (verb, NEW)
    assert "executed" in told.output
    assert person.cluster.managers == ["kubectl-llm"]


def test_each_command_has_a_fresh_nonce(person: Person) -> None:
    """The same command given twice is two commands, and the second replaces the first."""
    person.has(status=STEPPING)
    operator_answers(person, "CommandExecuted")

    person.runs("pause", "chat")
    first = given(person).nonce
    person.runs("pause", "chat")

    assert given(person).nonce != first


def test_a_stale_command_is_said_to_be_stale(person: Person) -> None:
    """What the operator refused to execute ends with 6 and the operator's words."""
    person.has(status=STEPPING)
    operator_answers(person, "StaleCommand")

    told = person.runs("retry", "chat")

    assert told.exit_code == 6
    assert "not executed" in told.stderr
    assert "as the test says" in told.stderr


def test_a_command_that_nobody_answers_is_not_said_to_be_executed(person: Person) -> None:
    """Without an operator the command is written and the exit code is 7."""
    person.has(status=STEPPING)

    told = person.runs("promote", "chat", "--wait-seconds", "0.2")

    assert told.exit_code == 7
    assert given(person).verb is CommandVerb.PROMOTE


def test_the_answer_to_an_earlier_command_is_not_taken_for_this_one(person: Person) -> None:
    """Only the event that names this nonce counts."""
    person.has(status=STEPPING)
    operator_answers(person, "CommandExecuted")
    person.runs("pause", "chat")
    person.api.listeners.clear()

    assert person.runs("resume", "chat", "--wait-seconds", "0.2").exit_code == 7


def test_a_command_replaces_what_someone_annotated_by_hand(person: Person) -> None:
    """An annotation that another manager holds is no obstacle: the last command counts."""
    person.has(status=STEPPING)
    by_hand = {"annotations": {kinds.COMMAND_ANNOTATION: f"pause {NEW} 1"}}
    person.api.edit(kinds.LLM_DEPLOYMENT, KEY, lambda obj: obj["metadata"].update(by_hand))
    operator_answers(person, "CommandExecuted")

    assert person.runs("resume", "chat").exit_code == 0
    assert given(person).verb is CommandVerb.RESUME


def test_a_resource_that_no_operator_has_seen_takes_no_command(person: Person) -> None:
    """There is no revision yet that a command could be about."""
    person.has()

    told = person.runs("promote", "chat")

    assert told.exit_code == 6
    assert person.cluster.managers == []


async def test_the_operators_own_words_are_understood() -> None:
    """What the operator posts about a command is read as executed, and the same again as stale."""
    operator = OperatorModel()
    steps = [{"weightPercent": 50, "minSeconds": 600}, {"weightPercent": 100}]
    operator.write(rollout={"strategy": "Canary", "steps": steps})
    await operator.settle()
    operator.write(model={"source": "builtin://tiny"})
    await operator.until(lambda: operator.phase() == "Step")
    target = operator.rollout()["target"]
    answers = []
    for verb in (CommandVerb.PAUSE, CommandVerb.RETRY):
        command = Command(verb, target, f"nonce-of-{verb.value}")
        operator.annotate(str(command))
        await operator.settle(rounds=2)
        assert was_seen(command, status_of(operator.resource()))
        events = [{**event, "message": event["note"]} for _, event in operator.api.events]
        answers.append(answer_to(command, events))

    executed, stale = answers
    assert executed is not None
    assert executed.was_executed
    assert stale is not None
    assert not stale.was_executed
