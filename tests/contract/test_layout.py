"""How the repository is laid out, where nothing else would notice a slip."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE_LINES = 300
FUNCTION_LINES = 60


def product_modules() -> Iterator[tuple[str, str]]:
    """Yield name and text of every module that is installed."""
    for top in ("operator", "server"):
        for path in sorted((ROOT / top).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def function_sizes(text: str) -> Iterator[tuple[str, int]]:
    """Yield name and lines of every function, from `def` to its end."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("name", ["operator/__init__.py", "server/__init__.py", "tests/operator"])
def test_nothing_shadows_the_operator_module(name: str) -> None:
    """A package `operator` would shadow the standard library's; both are folders on the path."""
    assert not (ROOT / name).exists()


def test_help_lists_every_target() -> None:
    """Whatever can be made is found by ``make help``; a digit in its name hides nothing."""
    told = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    [targets] = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)

    assert {line.split()[0] for line in told.stdout.splitlines()} == set(targets.split())


def test_a_product_module_is_read_in_one_go() -> None:
    """None is longer than CONTRIBUTING.md allows, and neither is a function."""
    modules = dict(product_modules())

    long = {name for name, text in modules.items() if len(text.splitlines()) > MODULE_LINES}
    long |= {
        f"{name}: {function}"
        for name, text in modules.items()
        for function, lines in function_sizes(text)
        if lines > FUNCTION_LINES
    }

    assert modules
    assert long == set()
