"""The reference of the server's settings is that of the settings that it has."""

import re
from pathlib import Path

import pytest

from llm_server import reference
from llm_server.contract import Setting
from llm_server.settings import ServerSettings, flag_of, variable_of

PAGE = (Path(__file__).parents[2] / "docs" / "server-reference.md").read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    """Return the cells of every line about a setting."""
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `--")]


def test_the_page_is_up_to_date() -> None:
    """The committed page is what `make crds` writes now."""
    assert reference.page() == PAGE


@pytest.mark.parametrize("name", ServerSettings.model_fields)
def test_every_setting_is_listed_once_in_full(name: str) -> None:
    """With its flag, variable, what is allowed and what it means; a default where it has one."""
    [row] = [row for row in rows(PAGE) if row[0] == f"`{flag_of(name)}`"]

    assert row[1] == f"`{variable_of(name)}`"
    assert bool(row[2]) == (ServerSettings.model_fields[name].default is not None)
    assert all(row[3:5])


def test_what_the_operator_sets_is_listed_apart() -> None:
    """So nobody looks there for what to write into server.args."""
    [owned] = re.findall(r"^## Set by the operator$(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)

    assert {row[0] for row in rows(owned)} == {f"`{setting.flag}`" for setting in Setting}
