"""What the operator benchmark publishes, and that its table says the same."""

import dataclasses
import json
from datetime import UTC, datetime

from rich.console import Console

from benchmarks.contender import plain_kopf, product
from benchmarks.figures import Creation, Figures, Reactions, Restart
from benchmarks.machine import Machine
from benchmarks.report import heading, json_line, table
from benchmarks.trial import Load

CREATION = Creation(
    children=40,
    writes=50,
    writes_of_busiest=6,
    reads=0,
    events=10,
    seconds=1.5,
    cpu_seconds=0.4,
    rss_mib=80.5,
)
FIGURES = Figures(
    n=10,
    creation=CREATION,
    restart=Restart(writes=0, reads=0, lists=9),
    drift=Reactions([0.010, 0.020, 0.030], holds=True),
    edit=Reactions([0.030, 0.040], holds=True),
    load_average=1.5,
)
PUBLISHED = {
    "n",
    "children_per_resource",
    "writes_per_resource",
    "reads_per_resource",
    "restart_writes",
    "drift_p50_ms",
    "edit_p50_ms",
    "rss_mib",
}


def test_the_last_line_has_exactly_the_published_names() -> None:
    """One JSON object: the product's figures, and the peer's under the same names."""
    found = json.loads(json_line(FIGURES, FIGURES))

    assert found.keys() == PUBLISHED | {"peer"}
    assert found["peer"].keys() == PUBLISHED
    assert "\n" not in json_line(FIGURES, FIGURES)


def test_counts_are_published_per_resource() -> None:
    """Counts are divided by the resources and are whole where they come out whole."""
    found = FIGURES.to_json()

    assert (found["children_per_resource"], found["writes_per_resource"]) == (4, 5)
    assert dataclasses.replace(FIGURES, n=3).to_json()["writes_per_resource"] == 16.667


def test_a_reaction_that_the_objects_do_not_show_is_not_published() -> None:
    """A write in the log proves nothing if the object is not as it should be."""
    unproven = dataclasses.replace(FIGURES, drift=Reactions([0.010], holds=False))

    assert unproven.to_json()["drift_p50_ms"] is None
    assert FIGURES.to_json()["drift_p50_ms"] == 20.0


def test_the_table_shows_each_bound_beside_its_figure() -> None:
    """Writes, reads, restart and both reactions stand in one row with their bounds."""
    console = Console(width=100, record=True, quiet=False, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(table((product(8080), plain_kopf()), (FIGURES, FIGURES)))
    rows = {line.split("│")[1].strip(): line for line in capture.get().splitlines() if "│" in line}

    assert "≤ 6" in rows["writes per resource"]
    assert rows["reads per resource"].split("│")[-2].strip() == "0"
    assert rows["restart: writes"].split("│")[-2].strip() == "0"
    assert [
        line.split("│")[2].strip() for line in capture.get().splitlines() if "≤ 50" in line
    ] == [
        "20",
        "35",
    ]


def test_the_heading_names_machine_and_versions() -> None:
    """Figures without the machine they belong to are worth nothing."""
    machine = Machine(
        cores=2,
        processor="AMD EPYC",
        memory_gib=23.5,
        load_average=0.5,
        kubernetes="v1.36.4",
        container_tool="podman",
        python="3.11.7",
        kopf="1.45.2",
    )
    text = heading(machine, datetime(2026, 11, 22, 5, 0, tzinfo=UTC))

    assert text.startswith("2026-11-22 05:00 UTC; 2 cores (AMD EPYC)")
    assert "Kubernetes v1.36.4" in text
    assert "kopf 1.45.2" in text


def test_edits_are_spread_over_different_resources() -> None:
    """Each sample is another resource; there are never more samples than resources."""
    names = tuple(f"llm-{number}" for number in range(10))

    assert Load(n=10, samples=5).sampled(names) == ("llm-0", "llm-2", "llm-4", "llm-6", "llm-8")
    assert Load(n=10, samples=50).sampled(names) == names
