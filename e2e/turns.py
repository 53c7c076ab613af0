"""How two processes of one test run share the cluster: most tests side by side, some alone.

Tests have namespaces of their own, so that they do not meet. Those in ``BUSY`` keep the node busy
with pods and traffic and come one after another. Those in ``ALONE`` end, restart or replace the
operator, or look at all that there is; beside them no other test runs.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from e2e.cluster.content import exclusive, opened_lock

BUSY = (
    "test_lifecycle_under_traffic.py",
    "test_rollouts_bad.py",
    "test_rollouts_good.py",
    "test_autoscaling.py",
    "test_diagnose.py",
)

ALONE = (
    "test_cluster.py",
    "test_crd_life.py",
    "test_bench_operator.py",
    "test_namespaced_install.py",
    "test_operator_dies.py",
    "test_rollout_restarts.py",
    "test_upgrade.py",
    "test_verbs_used.py",
)
"""Files, in their order; the last one looks back at what all the others made the operator do."""

_LOOK_SECONDS = 1.0


def place(test_file: Path) -> int:
    """Return where a file's tests come: what takes longest first, what runs alone last."""
    if test_file.name in ALONE:
        return 2 + ALONE.index(test_file.name)
    return 0 if test_file.name in BUSY else 1


def group(test_file: Path) -> str:
    """Return what one process takes whole: a file, or all of those that must not meet."""
    if test_file.name in ALONE:
        return f"{test_file.parent}/alone"
    return f"{test_file.parent}/busy" if test_file.name in BUSY else str(test_file)


@contextmanager
def turn(test_file: Path) -> Iterator[None]:
    """Wait for the turn of a file's tests, and have it."""
    with opened_lock("turn") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if test_file.name in ALONE else fcntl.LOCK_SH)
        yield


@contextmanager
def joined(cluster: str, run: str) -> Iterator[Callable[[], bool]]:
    """Wait until no other run has the cluster, and have it together with all processes of ``run``.

    Yields a function that says, once, whether nobody else is left.
    """
    with opened_lock(f"session-{cluster}") as lock:
        while not _join(lock, run):
            time.sleep(_LOOK_SECONDS)
        yield lambda: _is_free(lock)


def _join(lock: IO[str], run: str) -> bool:
    with exclusive("session-guard"):
        if _is_free(lock):
            lock.truncate(0)
            lock.write(run)
            lock.flush()
        lock.seek(0)
        if lock.read() != run:
            return False
        fcntl.flock(lock, fcntl.LOCK_SH)
        return True


def _is_free(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
