"""The closed list of reasons is neither longer nor shorter than what the operator says."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_operator.api.explanations import (
    expected,
    judgements,
    placement,
    pods,
    refusals,
    rollouts,
)
from llm_operator.api.reasons import STARTUP_REASONS, Reason

ROOT = Path(__file__).parents[2] / "operator/llm_operator"
TABLES = (expected, judgements, placement, pods, refusals, rollouts)
LIST = ROOT / "api/reasons.py"


def named_reasons() -> Iterator[str]:
    """Yield every member of ``Reason`` that the operator's code names, outside of the list."""
    for path in ROOT.rglob("*.py"):
        if path == LIST:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Attribute(value=ast.Name(id="Reason"), attr=name):
                    yield name


NAMED = frozenset(named_reasons())


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_given_by_something(reason: Reason) -> None:
    """A reason that nothing can have would be documentation of nothing."""
    assert reason.name in NAMED or reason in STARTUP_REASONS.values()


def test_every_reason_is_explained_once() -> None:
    """The tables together hold the list, and no word twice."""
    explained = [word for table in TABLES for word in table.EXPLANATIONS]
    assert sorted(explained) == sorted(Reason)


def test_a_member_has_the_name_of_its_word() -> None:
    """RolloutPaused is ROLLOUT_PAUSED."""
    for reason in Reason:
        assert reason.value.lower() == reason.name.replace("_", "").lower()
