"""How much memory this process may still take, and the refusal when a model needs more.

A refusal that names both figures before loading is worth more than a kill by the kernel
without a word. Reads the cgroup limits (version 2 and 1) of this process and of every group
above it, and the machine's own free memory. Called by ``loading``.
"""

from dataclasses import dataclass
from pathlib import Path

from llm_server.contract import StartupFailure
from llm_server.models.failures import StartupError

MIB = 1024 * 1024
_UNLIMITED_V1 = 1 << 60


@dataclass(frozen=True, slots=True)
class AvailableMemory:
    """Bytes that can still be taken, and what sets the bound, for people."""

    available_bytes: int
    bound: str


def require(needed_bytes: int, purpose: str, memory: AvailableMemory) -> None:
    """Refuse a start that cannot fit.

    Raises:
        StartupError: ``OutOfMemory`` naming the needed and the available bytes.
    """
    if needed_bytes <= memory.available_bytes:
        return
    raise StartupError(
        StartupFailure.OUT_OF_MEMORY,
        f"{purpose} needs {mib(needed_bytes)} of memory and {mib(memory.available_bytes)} are "
        f"available within {memory.bound}; raise resources.limits.memory or take a smaller model",
    )


def mib(byte_count: int) -> str:
    """``byte_count`` for people, in MiB."""
    return f"{byte_count / MIB:,.0f} MiB"


def available_memory(root: Path = Path("/")) -> AvailableMemory:
    """The tightest bound of all; ``root`` is where ``proc`` and ``sys`` are found.

    Page cache counts as available: the kernel gives clean pages back before it kills.
    """
    bounds = [_machine(root), *_cgroup_v2(root), *_cgroup_v1(root)]
    return min(bounds, key=lambda bound: bound.available_bytes)


def _machine(root: Path) -> AvailableMemory:
    for line in _read(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return AvailableMemory(int(value.split()[0]) * 1024, "the machine's free memory")
    return AvailableMemory(1 << 62, "an unknown amount of memory")


def _cgroup_v2(root: Path) -> list[AvailableMemory]:
    mount = root / "sys/fs/cgroup"
    bounds = []
    for group in _groups(mount, _own_group(root, controller="")):
        limit = _number(group / "memory.max")
        used = _number(group / "memory.current")
        if limit is not None and used is not None:
            cached = _stat(group / "memory.stat", ("inactive_file", "active_file"))
            bounds.append(_bound(limit, used - cached))
    return bounds


def _cgroup_v1(root: Path) -> list[AvailableMemory]:
    mount = root / "sys/fs/cgroup/memory"
    bounds = []
    for group in _groups(mount, _own_group(root, controller="memory")):
        limit = _number(group / "memory.limit_in_bytes")
        used = _number(group / "memory.usage_in_bytes")
        if limit is not None and used is not None and limit < _UNLIMITED_V1:
            cached = _stat(group / "memory.stat", ("total_inactive_file", "total_active_file"))
            bounds.append(_bound(limit, used - cached))
    return bounds


def _bound(limit: int, used: int) -> AvailableMemory:
    return AvailableMemory(max(0, limit - max(0, used)), f"the memory limit of {mib(limit)}")


def _own_group(root: Path, controller: str) -> str:
    """The path of this process's group as ``/proc/self/cgroup`` gives it; "" is version 2."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return "/"


def _groups(mount: Path, path: str) -> list[Path]:
    """The group and every one above it; inside a container the mount itself is the group."""
    own = mount / path.strip("/")
    if not own.is_dir():
        return [mount]
    return [own, *(parent for parent in own.parents if parent.is_relative_to(mount))]


def _stat(file: Path, names: tuple[str, ...]) -> int:
    fields = (line.split() for line in _read(file).splitlines())
    return sum(int(field[1]) for field in fields if len(field) == 2 and field[0] in names)


def _number(file: Path) -> int | None:
    text = _read(file).strip()
    return int(text) if text.isdigit() else None


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
