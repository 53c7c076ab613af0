"""How the repository is laid out, where nothing else would notice a slip."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["operator/__init__.py", "server/__init__.py", "tests/operator"])
def test_nothing_shadows_the_operator_module(name: str) -> None:
    """A package `operator` would shadow the standard library's; both are folders on the path."""
    assert not (ROOT / name).exists()
