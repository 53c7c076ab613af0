"""How tests share the processes of ``pytest -n 2``; without ``-n`` nothing here is used.

The tests of the cluster wait most of the time and must not meet: they stay in one process, and the
others run beside them, file by file, so that what the tests of a file share is made once.
"""

from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

pytest_plugins = ["tests.left_out"]


class _ClusterInOneProcess(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "e2e" if path.startswith("e2e/") else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> LoadScopeScheduling:
    """Give xdist the schedule that suits these tests, whatever ``--dist`` says."""
    return _ClusterInOneProcess(config, log)
