"""``python -m benchmarks.operator --n 500``: what the operator costs the API server, and how fast.

Both operators go through the same phases on the same cluster, one after the other, at the same
size (``trial``). Prints a table, and one JSON object on its last line.
"""

import signal
import socket
import sys
from datetime import UTC, datetime
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

import e2e.cluster
from benchmarks import report
from benchmarks.arena import paused_installation
from benchmarks.contender import Contender, plain_kopf, product
from benchmarks.figures import Figures
from benchmarks.machine import Machine
from benchmarks.trial import Load, measure

_WIDTH = 100


def compare(
    cluster: e2e.cluster.Cluster, contenders: tuple[Contender, Contender], load: Load
) -> tuple[Figures, Figures]:
    """Measure both, one after the other; an operator that is installed rests meanwhile."""
    first, second = contenders
    with paused_installation(cluster):
        return measure(cluster, first, load), measure(cluster, second, load)


def contenders() -> tuple[Contender, Contender]:
    """Return the product and its peer, ready to be run on this machine."""
    return product(_free_port()), plain_kopf()


def main(
    n: Annotated[int, typer.Option("--n", min=1, max=10000, help="resources")] = 500,
    cluster: Annotated[str, typer.Option(help="made if missing, and left")] = "llm-operator",
    samples: Annotated[int, typer.Option(min=1, max=10000, help="edits that are timed")] = 50,
) -> None:
    """Compare the operator with a plain kopf operator on the local cluster."""
    signal.signal(signal.SIGTERM, _leave)
    backend = e2e.cluster.up(cluster)
    machine, now = Machine.of(backend), datetime.now(UTC)  # noqa: TID251 - the program's edge
    pair = contenders()
    figures = compare(backend, pair, Load(n, samples))
    console = Console(width=_WIDTH, highlight=False)
    console.print(report.heading(machine, now))
    console.print(report.table(pair, figures))
    console.print(report.NOTES)
    print(report.json_line(*figures))


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End as on Ctrl-C, so that what was made is removed."""
    sys.exit(143)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    typer.run(main)
