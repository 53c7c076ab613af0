import re

import pytest

from llm_operator.api.explanations.explanation import EventType
from llm_operator.api.reasons import STARTUP_REASONS, ConditionType, Phase, Reason
from llm_server.contract import StartupFailure


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_meaning_and_a_next_step(reason: Reason) -> None:
    """A reader is never left with a bare word."""
    assert reason.meaning.endswith(".")
    assert reason.next_step.endswith(".")
    assert re.fullmatch("[A-Z][A-Za-z]{1,63}", reason)


@pytest.mark.parametrize("member", [*ConditionType, *Phase])
def test_every_condition_and_phase_is_described(member: ConditionType | Phase) -> None:
    """The lists are documentation too."""
    assert member.meaning.endswith(".")


def test_a_reason_is_found_by_its_word() -> None:
    """Status is read back by value."""
    assert Reason("OutOfMemory") is Reason.OUT_OF_MEMORY
    assert Reason.OUT_OF_MEMORY.event_type is EventType.WARNING
    assert f"{Reason.AVAILABLE}" == "Available"


def test_every_failure_that_the_server_names_has_a_reason() -> None:
    """The server's closed list and the operator's are in step."""
    assert set(STARTUP_REASONS) == set(StartupFailure)
