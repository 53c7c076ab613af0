"""A network namespace per cluster: nothing in it reaches out, nothing outside is changed.

Firewall rules, routes, ports and podman's bridge live and die with it. Two clusters never meet.
"""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from e2e.cluster.commands import attempt, run

_GRACE_SECONDS = 5.0


def entering(name: str) -> list[str]:
    """Return the words to put before a command that shall run in the namespace.

    `nsenter`, not `ip netns exec`: that one also changes the mounts, and podman would not find
    its own.
    """
    return ["nsenter", f"--net={_path(name)}"]


def exists(name: str) -> bool:
    """Whether there is a namespace of this name."""
    return _path(name).exists()


def create(name: str) -> None:
    """Make the namespace with a working loopback."""
    run("ip", "netns", "add", name)
    run("ip", "-n", name, "link", "set", "lo", "up")


def end_processes(name: str, sparing: str = "") -> None:
    """End every process in the namespace but those of the program `sparing`.

    A container's processes are not in it: a container has a namespace of its own.
    """
    _signal_all(name, signal.SIGTERM, sparing)
    deadline = time.monotonic() + _GRACE_SECONDS
    while _processes(name, sparing) and time.monotonic() < deadline:
        time.sleep(0.1)
    _signal_all(name, signal.SIGKILL, sparing)


def is_empty(name: str) -> bool:
    """Whether no process is in the namespace."""
    return not _processes(name, sparing="")


def remove(name: str) -> None:
    """End every process in the namespace and remove it."""
    end_processes(name)
    run("ip", "netns", "delete", name)


def _path(name: str) -> Path:
    return Path("/run/netns") / name


def _processes(name: str, sparing: str) -> list[int]:
    found = [int(pid) for pid in attempt("ip", "netns", "pids", name).stdout.split()]
    return [pid for pid in found if _program(pid) != sparing]


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has ended


def _signal_all(name: str, number: signal.Signals, sparing: str) -> None:
    for pid in _processes(name, sparing):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
