from pathlib import Path

import pytest

from llm_server.errors import FailureKind, GenerationFailed
from llm_server.http.errors import failure_body, respond
from llm_server.simulated_settings import FaultSettings

PAGE = (Path(__file__).parents[2] / "docs" / "server.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| `")
]


@pytest.mark.parametrize("kind", FailureKind)
def test_the_page_lists_how_a_failed_request_is_answered(kind: FailureKind) -> None:
    """Code, status and whether to retry stand in the table as the server sends them."""
    error = GenerationFailed(kind, "x")
    status, told = respond(error).status_code, failure_body(error)["error"]

    [row] = [row for row in ROWS if row[0] == f"`{told['code']}`"]

    assert row[1:3] == [str(status), str(told["retryable"]).lower()]


def test_the_page_lists_every_fault_of_the_simulated_model() -> None:
    """No fault is undocumented, and none is documented that does not exist."""
    flags = {"--" + name.replace("_", "-") for name in FaultSettings.model_fields}

    assert {row[0].strip("`").partition("=")[0] for row in ROWS if row[0][1] == "-"} == flags
