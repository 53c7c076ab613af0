"""How tests share the processes of ``pytest -n 3``; without ``-n`` nothing here is used.

The tests of the cluster wait most of the time: two processes take them, file by file (``e2e.turns``
says which must not meet). The third takes the others beside them, also file by file, so that what
the tests of a file share is made once, and gives way to the cluster, whose tests have deadlines.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

from e2e import turns

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

pytest_plugins = ["tests.left_out"]

CLUSTER_PROCESSES = ("gw0", "gw1")
NICENESS = 10


def pytest_configure(config: pytest.Config) -> None:
    """Let the third process take what the two on the cluster leave of the CPUs."""
    worker = getattr(config, "workerinput", {}).get("workerid")
    if worker is not None and worker not in CLUSTER_PROCESSES:
        os.nice(NICENESS)


class _TwoOnTheCluster(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return turns.group(Path(path)) if path.startswith("e2e/") else path

    def _reschedule(self, node: "WorkerController") -> None:
        if self.workqueue and not node.shutting_down and self._next_for(node) is None:
            node.shutdown()  # it ends what it has
        else:
            super()._reschedule(node)

    def _assign_work_unit(self, node: "WorkerController") -> None:
        scope = self._next_for(node)
        if scope is not None:
            self.workqueue.move_to_end(scope, last=False)
            super()._assign_work_unit(node)

    def _next_for(self, node: "WorkerController") -> str | None:
        """Return the next file for a process; the other ones keep to what needs no cluster."""
        on_cluster = node.gateway.id in CLUSTER_PROCESSES
        scopes = [scope for scope in self.workqueue if scope.startswith("e2e/") is on_cluster]
        if on_cluster and not scopes:
            scopes = list(self.workqueue)
        return next(iter(scopes), None)


def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> LoadScopeScheduling:
    """Give xdist the schedule that suits these tests, whatever ``--dist`` says."""
    config.option.loadscopereorder = False  # files have an order
    return _TwoOnTheCluster(config, log)
