"""`python -m e2e.cluster`: the local cluster on the command line."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from e2e.cluster import gateway, lifecycle, preflight
from e2e.cluster.cluster import Cluster, ClusterMissing
from e2e.cluster.commands import CommandFailed, CommandTimeout
from e2e.cluster.images import RECIPES, image
from e2e.cluster.images import load as push_local
from e2e.cluster.paths import DEFAULT_NAME, checked_name

app = typer.Typer(
    help="A local Kubernetes cluster by kind, with Docker or with podman (CONTAINER_TOOL).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _name(value: str) -> str:
    try:
        return checked_name(value)
    except ValueError as refused:
        raise typer.BadParameter(str(refused)) from refused


Name = Annotated[
    str,
    typer.Option("--name", callback=_name, help="cluster, up to 30 of a-z, 0-9 and '-'"),
]


@app.command("preflight")
def show_preflight() -> None:
    """Say what this machine has, which route it takes, and what is missing."""
    machine = preflight.inspect()
    table = Table(show_header=False, box=None)
    for what, found in preflight.describe(machine):
        table.add_row(what, found)
    console = Console()
    console.print(table)
    verdict = preflight.judge(machine)
    for reason in verdict.refusals:
        console.print(f"missing: {reason}", markup=False)
    if verdict.refusals:
        raise typer.Exit(1)
    console.print(f"the local cluster can run with {verdict.tool}")


@app.command()
def up(name: Name = DEFAULT_NAME) -> None:
    """Make the cluster, or keep the healthy one; what a killed run left is cleared first."""
    option = "" if name == DEFAULT_NAME else f" --name {name}"
    try:
        lifecycle.up(name)
    except KeyboardInterrupt:
        typer.echo(f"stopped; `python -m e2e.cluster down{option}` removes what there is", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"cluster {name} is up. In it:")
    typer.echo(f"  python -m e2e.cluster exec{option} -- kubectl get pods -A")
    typer.echo(f"  python -m e2e.cluster down{option}")


@app.command()
def down(name: Name = DEFAULT_NAME) -> None:
    """Remove the cluster and all that it changed on this machine; caches stay."""
    lifecycle.down(name)


@app.command("images")
def build_images(
    name: Name = DEFAULT_NAME,
    only: Annotated[str, typer.Option(help=f"one of {', '.join(RECIPES)}; all if not given")] = "",
) -> None:
    """Build the images that changed, push them, and print every reference."""
    cluster = Cluster.existing(name)
    if only not in ("", *RECIPES):
        raise typer.BadParameter(f"{only!r}: allowed are {', '.join(RECIPES)}", param_hint="--only")
    for field in [only] if only else list(RECIPES):
        typer.echo(f"{field} {image(cluster, field)}")


@app.command()
def load(sources: list[str], name: Name = DEFAULT_NAME) -> None:
    """Push images of the local store to the cluster's registry and print their references."""
    cluster = Cluster.existing(name)
    for source in sources:
        typer.echo(push_local(cluster, source))


@app.command("gateway")
def install_gateway(name: Name = DEFAULT_NAME) -> None:
    """Add the Gateway API, Traefik and a Gateway; compiles Traefik the first time."""
    gateway.install(Cluster.existing(name))
    typer.echo(f"Gateway {gateway.NAMESPACE}/{gateway.GATEWAY} answers at {gateway.ADDRESS}")


@app.command()
def diagnose(directory: Path, name: Name = DEFAULT_NAME) -> None:
    """Write events, descriptions and logs of the cluster into a directory."""
    Cluster.existing(name).diagnose(directory)
    typer.echo(f"written to {directory}")


@app.command("exec", context_settings={"ignore_unknown_options": True})
def execute(command: list[str], name: Name = DEFAULT_NAME) -> None:
    """Run a command inside the cluster's network with KUBECONFIG set."""
    cluster = Cluster.existing(name)
    argv = cluster.argv(*command)
    os.execvpe(argv[0], argv, cluster.environment())  # noqa: S606 - becomes the command


def main() -> None:
    """Run the command line; failures that say what to do are printed without a traceback."""
    try:
        app()
    except (
        *(CommandFailed, CommandTimeout, ClusterMissing, preflight.PreflightRefused),
        OSError,  # a registry or a socket that does not answer, a disk that is full
    ) as failure:
        sys.exit(f"error: {failure}")


if __name__ == "__main__":
    main()
