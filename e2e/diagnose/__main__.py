"""``python -m e2e.diagnose``: inject every fault into a running cluster and see what is told.

Uses the cluster of ``LLM_OPERATOR_E2E_CLUSTER``, else the one of the demo, which it makes if there
is none, with the operator and the images of the working tree. The cluster stays.
"""

import os
import sys
from typing import Annotated

import typer

import e2e.cluster
from e2e.access import api_client
from e2e.diagnose import report
from e2e.diagnose.catalogue import FAULTS
from e2e.diagnose.running import Result, run
from e2e.installation import install_operator, pull_images
from e2e.story import Cluster

_DEFAULT_CLUSTER = "llm-operator"


def main(
    only: Annotated[list[str] | None, typer.Argument(help="Names of faults; absent: all.")] = None,
) -> None:
    """Print a table and, as the last line, the figures as JSON; fail if they are too bad."""
    unknown = set(only or ()) - {fault.name for fault in FAULTS}
    if unknown:
        sys.exit(f"no such fault: {', '.join(sorted(unknown))}")
    faults = [fault for fault in FAULTS if not only or fault.name in only]
    backend = e2e.cluster.up(os.environ.get("LLM_OPERATOR_E2E_CLUSTER", _DEFAULT_CLUSTER))
    images = e2e.cluster.images(backend)
    install_operator(backend, images)
    pull_images(backend, images)
    with api_client(backend) as api:
        results = run(Cluster(backend, api, images), faults, _tell)
    print(report.table(results))
    print(report.summary(results))
    sys.exit(0 if report.holds(results) else 1)


def _tell(result: Result) -> None:
    print(f"{result.fault.name}: {result.outcome}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(main)
