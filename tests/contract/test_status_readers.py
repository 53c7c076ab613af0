"""What docs/status.md says of each state is what the tools make of it."""

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from llm_operator.api import crd
from llm_operator.api.status import RolloutPhase
from tests.models.readers import argo_cd, kstatus, kubectl_waits
from tests.models.recorded import SITUATIONS, recorded
from tests.models.schema import closed

Json = dict[str, Any]

PAGE = (Path(__file__).parents[2] / "docs/status.md").read_text()
HEAD = (
    "state",
    "phase",
    "Ready",
    "Progressing",
    "Stalled",
    "wait Ready",
    "wait not Progressing",
    "kstatus",
    "Argo CD",
)
UNSEEN = "spec not seen yet"


def objects() -> dict[str, Json]:
    """Return the objects of all states, by name."""
    made = {name: recorded(situation) for name, situation in SITUATIONS.items()}
    at_rest = recorded(SITUATIONS["at rest"])
    unseen = at_rest | {"metadata": at_rest["metadata"] | {"generation": 3}}
    return made | {UNSEEN: unseen}


OBJECTS = objects()


def row(name: str) -> tuple[str, ...]:
    """Return what the tools make of a state."""
    obj = OBJECTS[name]
    conditions = {entry["type"]: entry["status"] for entry in obj["status"]["conditions"]}
    waits = [kubectl_waits(obj, "Ready"), kubectl_waits(obj, "Progressing", "False")]
    return (
        name,
        obj["status"]["phase"],
        *(conditions[type_] for type_ in ("Ready", "Progressing", "Stalled")),
        *("waits" if wait else "returns" for wait in waits),
        kstatus(obj),
        argo_cd(obj).status,
    )


def written_rows() -> list[tuple[str, ...]]:
    """Return the table of the page, its head first."""
    lines = re.findall(r"^\| (.*) \|$", PAGE, re.MULTILINE)
    cells = [tuple(cell.strip() for cell in line.split("|")) for line in lines]
    return [row for row in cells if len(row) == len(HEAD)]


def test_the_table_is_what_the_tools_make_of_the_states() -> None:
    """Every state has its row, and every cell is what the rules or the script come to."""
    head, *rows = written_rows()
    assert head == HEAD
    assert rows == [row(name) for name in OBJECTS]


def test_every_phase_of_a_rollout_is_in_the_table() -> None:
    """A new phase needs a row."""
    shown = {obj["status"]["rollout"].get("phase", "Stable") for obj in OBJECTS.values()}
    assert shown == set(RolloutPhase)


@pytest.mark.parametrize("name", OBJECTS)
def test_a_recorded_status_fits_the_schema(name: str) -> None:
    """The API server would drop or refuse what the schema does not know."""
    schema = closed(crd.resource_schema()["properties"]["status"])
    Draft202012Validator(schema).validate(OBJECTS[name]["status"])


@pytest.mark.parametrize("name", OBJECTS)
def test_the_health_script_says_why(name: str) -> None:
    """Argo CD shows the message beside the status."""
    assert len(argo_cd(OBJECTS[name]).message) > 10


@pytest.mark.parametrize(
    "status", [None, {}, {"observedGeneration": 2}, {"observedGeneration": 2, "conditions": []}]
)
def test_an_object_that_was_never_looked_at_is_progressing(status: Json | None) -> None:
    """Between apply and the first status there is nothing to be healthy."""
    obj: Json = {"metadata": {"generation": 2}} | ({} if status is None else {"status": status})
    assert argo_cd(obj).status == "Progressing"


def test_only_paused_rollouts_are_suspended_and_only_stalled_or_failing_ones_degraded() -> None:
    """Suspended asks a person to decide, Degraded to repair."""
    health = {name: argo_cd(obj).status for name, obj in OBJECTS.items()}
    suspended = {name for name, status in health.items() if status == "Suspended"}
    assert suspended == {"Paused", "paused before a rollout"}
    degraded = {name for name, status in health.items() if status == "Degraded"}
    assert degraded == {
        "first pods cannot start",
        "pods failing",
        "Paused by a failure",
        "RolledBack",
        "RolledBack, stable not ready",
        "no room for a rollout",
        "invalid",
    }
