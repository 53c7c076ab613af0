"""How many threads this process may keep busy: its cores, cut by the quota of its cgroups.

More threads than the quota allows would be throttled at every barrier. Reads cgroup version 2 and
1; called when a model is loaded.
"""

import os
from collections.abc import Iterator
from pathlib import Path


def compute_threads(root: Path = Path("/")) -> int:
    """Return the threads to compute with: whole cores within quota and affinity, at least 1.

    A quota of 3.7 cores gives 3, one of 0.5 gives 1.
    """
    cores = float(len(os.sched_getaffinity(0)))
    return max(int(min([cores, *_quotas(root)])), 1)


def _quotas(root: Path) -> Iterator[float]:
    for group in _groups(root):
        match _read(group / "cpu.max").split():
            case [quota, period] if quota != "max":
                yield int(quota) / int(period)
    legacy = root / "sys/fs/cgroup/cpu"
    quota_text = _read(legacy / "cpu.cfs_quota_us").strip()
    period_text = _read(legacy / "cpu.cfs_period_us").strip()
    if quota_text.isdecimal() and period_text.isdecimal():
        yield int(quota_text) / int(period_text)


def _groups(root: Path) -> Iterator[Path]:
    """Return this process's group of version 2 and those above it, as far as they are visible."""
    mount = root / "sys/fs/cgroup"
    own = next(
        (line[3:] for line in _read(root / "proc/self/cgroup").splitlines() if line[:3] == "0::"),
        "/",
    )
    group = mount / own.lstrip("/")
    while group.is_relative_to(mount):
        yield group
        group = group.parent


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
