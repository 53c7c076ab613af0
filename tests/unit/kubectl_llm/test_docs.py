import re
from pathlib import Path

from typer.main import get_command

from kubectl_llm.app import make_app
from kubectl_llm.exits import ExitCode

PAGE = (Path(__file__).parents[3] / "docs" / "plugin.md").read_text(encoding="utf-8")


def test_every_exit_code_is_documented_as_it_is() -> None:
    """The table of docs/plugin.md has the codes and meanings of the product, and 2 beside them."""
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, re.MULTILINE))

    assert rows.pop("2") == "The command line is wrong."
    assert rows == {str(int(code)): code.meaning for code in ExitCode}


def test_every_verb_is_documented() -> None:
    """Each verb of the command line appears on the page with its name."""
    verbs = get_command(make_app()).commands  # type: ignore[attr-defined]

    missing = [verb for verb in verbs if f"`kubectl llm {verb} " not in PAGE]
    assert [verb for verb in missing if f"`{verb} NAME`" not in PAGE] == []
