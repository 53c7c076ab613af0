"""Every mistake that the rules are for is found by its rule."""

from pathlib import Path

import pytest

from tests.models.rollouts.mutants import MUTANTS, Mutant

_TESTS = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.number}")
def test_each_mutant_fails_the_test_of_its_rule(mutant: Mutant) -> None:
    """The rule that a mistake breaks has a test by its name, and fails on the mistake."""
    assert f"def {mutant.test}(" in _TESTS
    assert mutant.is_killed()


def test_there_is_a_mutant_of_every_number() -> None:
    """The list of mistakes is complete."""
    assert {mutant.number for mutant in MUTANTS} == set(range(1, 25))
