import sys
from pathlib import Path

import pytest

from build import prune_tests


def test_only_the_test_suites_of_named_packages_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numpy.testing imports numpy's own test modules, so not every ``tests`` may go."""
    for name in (
        "sympy/core/tests/test_x.py",
        "sympy/core/tests/deep/tests/test_y.py",
        "sympy/core/expr.py",
        "networkx/tests/test_x.py",
        "numpy/_core/tests/_natype.py",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.setattr(sys, "argv", ["prune_tests.py", str(tmp_path)])

    prune_tests.main()

    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.py")}
    assert left == {"sympy/core/expr.py", "numpy/_core/tests/_natype.py"}
