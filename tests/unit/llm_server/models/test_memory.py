from pathlib import Path

import pytest

from llm_server.contract import StartupFailure
from llm_server.models.failures import StartupError
from llm_server.models.memory import MIB, AvailableMemory, available_memory, require


def write(root: Path, files: dict[str, object]) -> None:
    """Lay out files as a kernel would show them below ``root``."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


MACHINE = {"proc/meminfo": f"MemTotal: 9999999 kB\nMemAvailable: {8 * 1024 * 1024} kB"}


def test_without_a_limit_the_machine_bounds(tmp_path: Path) -> None:
    """No cgroup limit: what the machine has free is available."""
    write(tmp_path, {**MACHINE, "proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "max"})
    assert available_memory(tmp_path).available_bytes == 8 * 1024 * MIB


def test_version_2_limit_counts_page_cache_as_free(tmp_path: Path) -> None:
    """Available is the limit less what is used, and file pages can be given back."""
    write(
        tmp_path,
        {
            **MACHINE,
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/memory.max": 512 * MIB,
            "sys/fs/cgroup/memory.current": 300 * MIB,
            "sys/fs/cgroup/memory.stat": f"inactive_file {80 * MIB}\nactive_file {20 * MIB}",
        },
    )
    memory = available_memory(tmp_path)
    assert memory.available_bytes == (512 - 300 + 100) * MIB
    assert memory.bound == "the memory limit of 512 MiB"


def test_the_tightest_group_above_us_bounds(tmp_path: Path) -> None:
    """A pod's limit holds even where the container itself has none."""
    group = "sys/fs/cgroup/kubepods/pod1"
    write(
        tmp_path,
        {
            **MACHINE,
            "proc/self/cgroup": "0::/kubepods/pod1/container",
            f"{group}/container/memory.max": "max",
            f"{group}/memory.max": 256 * MIB,
            f"{group}/memory.current": 56 * MIB,
        },
    )
    assert available_memory(tmp_path).available_bytes == 200 * MIB


def test_version_1_limit_is_read_where_the_container_sees_it(tmp_path: Path) -> None:
    """Version 1 inside a container: the path names the host's group, the mount is our own."""
    mount = "sys/fs/cgroup/memory"
    write(
        tmp_path,
        {
            **MACHINE,
            "proc/self/cgroup": "4:memory:/kubepods/burstable/x\n0::/",
            f"{mount}/memory.limit_in_bytes": 1024 * MIB,
            f"{mount}/memory.usage_in_bytes": 24 * MIB,
        },
    )
    assert available_memory(tmp_path).available_bytes == 1000 * MIB


def test_the_unlimited_number_of_version_1_is_no_limit(tmp_path: Path) -> None:
    """Version 1 writes a huge number for no limit."""
    mount = "sys/fs/cgroup/memory"
    write(
        tmp_path,
        {
            **MACHINE,
            "proc/self/cgroup": "4:memory:/",
            f"{mount}/memory.limit_in_bytes": 9223372036854771712,
            f"{mount}/memory.usage_in_bytes": 1,
        },
    )
    assert available_memory(tmp_path).bound == "the machine's free memory"


def test_a_model_that_does_not_fit_is_refused_with_both_figures() -> None:
    """The refusal names what is needed, what is there, and what to change."""
    with pytest.raises(StartupError) as refused:
        require(900 * MIB, "the model", AvailableMemory(300 * MIB, "the memory limit of 512 MiB"))
    assert refused.value.reason is StartupFailure.OUT_OF_MEMORY
    for part in ("900 MiB", "300 MiB", "512 MiB", "resources.limits.memory"):
        assert part in refused.value.message


def test_a_model_that_just_fits_is_accepted() -> None:
    """The bound itself is allowed."""
    assert require(300, "the model", AvailableMemory(300, "a limit")) is None  # type: ignore[func-returns-value]
