"""What the operator writes while there is nothing to do: ``make steady``.

Resources are brought into every state that lasts, and left alone. The writes and events of the
operator's account are then counted from the API server's audit log, its Lease apart. The last line
is JSON: the seconds, the resources, the writes and the events.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.console import Console

import e2e.cluster
from benchmarks.machine import Machine
from e2e import steady
from e2e.access import api_client
from e2e.installation import install_operator, pull_images
from e2e.manifests import restricted_namespace
from e2e.steady import Quiet
from e2e.story import Cluster, Namespace

_NAMESPACE: Final = "steady-state"


@contextmanager
def _prepared(backend: e2e.cluster.Cluster) -> Iterator[Namespace]:
    """Yield an empty namespace in a cluster with the operator; it is removed afterwards."""
    images = e2e.cluster.images(backend)
    install_operator(backend, images)
    pull_images(backend, images)
    with api_client(backend) as api:
        backend.delete("namespace", _NAMESPACE)
        backend.apply(restricted_namespace(_NAMESPACE))
        try:
            yield Namespace(Cluster(backend, api, images), _NAMESPACE)
        finally:
            backend.kubectl("delete", "namespace", _NAMESPACE, "--wait=false")


def _states(namespace: Namespace) -> str:
    return namespace.kubectl("get", "llmdeployments", "-o", "wide")


def main(
    seconds: Annotated[int, typer.Option(min=10, max=86_400, help="how long to look on")] = 600,
    cluster: Annotated[str, typer.Option(help="made if missing, and left")] = "llm-operator",
) -> None:
    """Look on, and fail if anything was written."""
    backend = e2e.cluster.up(cluster)
    machine, now = Machine.of(backend), datetime.now(UTC)  # noqa: TID251 - the program's edge
    console = Console(width=110, highlight=False, markup=False)
    console.print(f"{now:%Y-%m-%d %H:%M} UTC; {machine}")

    def tell(quiet: Quiet) -> None:
        if console.is_terminal:
            console.print(f"  {len(quiet.writes)} writes, {len(quiet.events)} events", end="\r")

    with _prepared(backend) as namespace:
        resources = steady.at_rest(namespace)
        console.print(_states(namespace), soft_wrap=True)
        quiet = steady.writes_during(namespace, seconds, tell)
        for request in (*quiet.writes, *quiet.events):
            console.print(str(request))
    writes, events = len(quiet.writes), len(quiet.events)
    result = {"seconds": seconds, "resources": resources, "writes": writes, "events": events}
    print(json.dumps(result))
    sys.exit(writes + events > 0)


if __name__ == "__main__":
    typer.run(main)
