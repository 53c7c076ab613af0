"""What docs/status.md says of each state is what the tools make of it."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from llm_operator.api import crd
from llm_operator.api.status import RolloutPhase
from tests.models.readers import argo_cd, kstatus, kubectl_waits
from tests.models.recorded import PROMOTIONS, STATES, Run
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
Shown = tuple[str, ...]


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    """The run into each state, by its name, and of each strategy to its end."""

    async def walk() -> dict[str, Run]:
        return {name: await ways() for name, ways in {**STATES, **PROMOTIONS}.items()}

    return asyncio.run(walk())


@pytest.fixture(scope="module")
def objects(runs: dict[str, Run]) -> dict[str, Json]:
    """The object in each state, by its name."""
    return {name: dict(runs[name].operator.resource()) for name in STATES}


def shown(obj: Json) -> Shown:
    """Return what a status says: its word for people and three conditions."""
    conditions = {entry["type"]: entry["status"] for entry in obj["status"]["conditions"]}
    held = (conditions[type_] for type_ in ("Ready", "Progressing", "Stalled"))
    return (obj["status"]["phase"], *held)


def rollout_phase(obj: Json) -> str:
    """Return the state of the rollout machine."""
    return str(obj["status"]["rollout"].get("phase", "Stable"))


def row(name: str, obj: Json) -> tuple[str, ...]:
    """Return what the tools make of a state."""
    waits = [kubectl_waits(obj, "Ready"), kubectl_waits(obj, "Progressing", "False")]
    return (
        name,
        *shown(obj),
        *("waits" if wait else "returns" for wait in waits),
        kstatus(obj),
        argo_cd(obj).status,
    )


def written_rows() -> list[tuple[str, ...]]:
    """Return the table of the page, its head first."""
    lines = re.findall(r"^\| (.*) \|$", PAGE, re.MULTILINE)
    cells = [tuple(cell.strip() for cell in line.split("|")) for line in lines]
    return [row for row in cells if len(row) == len(HEAD)]


def test_the_table_is_what_the_tools_make_of_the_states(objects: dict[str, Json]) -> None:
    """Every state has its row, and every cell is what the rules or the script come to."""
    head, *rows = written_rows()
    assert head == HEAD
    assert rows == [row(name, obj) for name, obj in objects.items()]


def test_every_phase_of_a_rollout_is_in_the_table(objects: dict[str, Json]) -> None:
    """A new phase needs a row."""
    assert {rollout_phase(obj) for obj in objects.values()} == set(RolloutPhase)


def test_nothing_that_a_run_shows_on_its_way_is_missing_from_the_table(
    runs: dict[str, Run], objects: dict[str, Json]
) -> None:
    """Whoever watches a rollout sees, in each of its phases, what some row says of that phase."""
    rows = {(rollout_phase(obj), *shown(obj)) for obj in objects.values()}
    passed = {(rollout_phase(obj), *shown(obj)) for run in runs.values() for obj in run.passed}
    assert passed - rows == set()


@pytest.mark.parametrize("name", STATES)
def test_a_recorded_status_fits_the_schema(name: str, objects: dict[str, Json]) -> None:
    """The API server would drop or refuse what the schema does not know."""
    schema = closed(crd.resource_schema()["properties"]["status"])
    Draft202012Validator(schema).validate(objects[name]["status"])


@pytest.mark.parametrize("name", STATES)
def test_the_health_script_says_why(name: str, objects: dict[str, Json]) -> None:
    """Argo CD shows the message beside the status."""
    assert len(argo_cd(objects[name]).message) > 10


@pytest.mark.parametrize(
    "status", [None, {}, {"observedGeneration": 2}, {"observedGeneration": 2, "conditions": []}]
)
def test_an_object_that_was_never_looked_at_is_progressing(status: Json | None) -> None:
    """Between apply and the first status there is nothing to be healthy."""
    obj: Json = {"metadata": {"generation": 2}} | ({} if status is None else {"status": status})
    assert argo_cd(obj).status == "Progressing"


def test_only_paused_rollouts_are_suspended_and_only_stalled_or_failing_ones_degraded(
    objects: dict[str, Json],
) -> None:
    """Suspended asks a person to decide, Degraded to repair."""
    health = {name: argo_cd(obj).status for name, obj in objects.items()}
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
