"""Shares of requests behind a Gateway: ``make gateway-shares``.

A canary stops at one weight after the other, and so many requests are sent through the Gateway at
each. The last line is JSON: the weights, the measured shares, and the largest distance in points.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

import e2e.cluster
from benchmarks.machine import Machine
from e2e import gateway
from e2e.access import api_client
from e2e.cluster import gateway as addon
from e2e.gateway import Shares
from e2e.installation import install_operator, pull_images
from e2e.manifests import restricted_namespace
from e2e.rollouts import NEW, step
from e2e.story import Cluster, Namespace

WEIGHTS: Final = (5, 10, 25, 50, 75, 90)
LIMIT_POINTS: Final = 2.0
"""What a share may be off at 10 000 requests."""
_NAME: Final = "chat"
_NAMESPACE: Final = "gateway-shares"


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one weight."""

    weight_percent: int
    share_percent: float
    shares: Shares

    @property
    def off_points(self) -> float:
        """How far the share is from the weight."""
        return abs(self.share_percent - self.weight_percent)


def measure(namespace: Namespace, requests: int) -> Iterator[Row]:
    """Lead a canary through the weights and yield what the clients saw at each."""
    stops = (step(weight_percent, pause={}) for weight_percent in WEIGHTS)
    resource = gateway.behind(namespace, _NAME, *stops)
    before = resource.stable
    resource.edit_args(NEW)
    canary = resource.until_target_is_not(before)
    for weight_percent in WEIGHTS:
        gateway.until_paused_at(resource, weight_percent)
        shares = gateway.count_shares(namespace, _NAME, requests)
        yield Row(weight_percent, round(shares.percent(canary), 2), shares)
        resource.tell("promote-step")


@contextmanager
def _prepared(backend: e2e.cluster.Cluster) -> Iterator[Namespace]:
    """Yield a namespace in a cluster with operator and Gateway; it is removed afterwards."""
    images = e2e.cluster.images(backend)
    install_operator(backend, images)
    pull_images(backend, images)
    with api_client(backend) as api:
        cluster = Cluster(backend, api, images)
        gateway.ensure_kinds(cluster)
        addon.install(backend)
        backend.delete("namespace", _NAMESPACE)
        backend.apply(restricted_namespace(_NAMESPACE))
        yield Namespace(cluster, _NAMESPACE)
        backend.kubectl("delete", "namespace", _NAMESPACE, "--wait=false")


def main(
    requests: Annotated[int, typer.Option(min=100, max=1_000_000, help="per weight")] = 10_000,
    cluster: Annotated[str, typer.Option(help="made if missing, and left")] = "llm-operator",
) -> None:
    """Measure the shares and fail if one is more than two points off."""
    backend = e2e.cluster.up(cluster)
    machine, now = Machine.of(backend), datetime.now(UTC)  # noqa: TID251 - the program's edge
    console = Console(width=100, highlight=False)
    console.print(
        f"{now:%Y-%m-%d %H:%M} UTC; {machine.cores} cores ({machine.processor}),", end=" "
    )
    console.print(f"Kubernetes {machine.kubernetes}, Traefik, {requests} requests per weight")
    table = Table("weight, %", "share, %", "off, points", "failed", "requests/s")
    rows = []
    with _prepared(backend) as namespace:
        for row in measure(namespace, requests):
            rows.append(row)
            rate = row.shares.requests / row.shares.seconds
            cells = (row.weight_percent, row.share_percent, f"{row.off_points:.2f}")
            table.add_row(*map(str, cells), str(row.shares.failed), f"{rate:.0f}")
    console.print(table)
    worst = max(row.off_points for row in rows)
    failed = sum(row.shares.failed for row in rows)
    shares = {str(row.weight_percent): row.share_percent for row in rows}
    result = {"requests": requests, "shares": shares, "worst": round(worst, 2), "failed": failed}
    print(json.dumps(result))
    sys.exit(worst > LIMIT_POINTS or failed > 0)


if __name__ == "__main__":
    typer.run(main)
