import os
from pathlib import Path

from llm_server.machine import compute_threads

CORES = len(os.sched_getaffinity(0))


def a_root(tmp_path: Path, files: dict[str, str]) -> Path:
    """Write the files below a root directory."""
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def test_without_a_quota_every_core_is_used(tmp_path: Path) -> None:
    """No limit in any cgroup: the cores that the process may run on."""
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}

    assert compute_threads(a_root(tmp_path, files)) == CORES


def test_a_quota_of_a_group_above_counts(tmp_path: Path) -> None:
    """The tightest quota on the way up holds: one and a half cores are one thread."""
    files = {
        "proc/self/cgroup": "0::/pod/container\n",
        "sys/fs/cgroup/pod/container/cpu.max": "max 100000\n",
        "sys/fs/cgroup/pod/cpu.max": "150000 100000\n",
    }

    assert compute_threads(a_root(tmp_path, files)) == 1


def test_half_a_core_is_one_thread(tmp_path: Path) -> None:
    """There is always one thread, in version 1 of cgroups too."""
    files = {
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    }

    assert compute_threads(a_root(tmp_path, files)) == 1
