"""What a node changes on the machine itself, written down before and put back after.

A node is a privileged container: its kubelet writes global kernel settings, and podman makes a
mount and cgroups that outlive it. The record is taken before the first cluster comes and used when
the last one has gone; with Docker the engine's own machine is left as kind leaves it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from e2e.cluster.commands import attempt
from e2e.cluster.paths import cache_root

_WRITTEN_BY_KUBELET = (  # https://kubernetes.io/docs/reference/command-line-tools-reference/kubelet
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
_WRITTEN_BY_SYSTEMD = ("fs/file-max", "fs/nr_open")  # the node's first process raises both
_SYSCTL = Path("/proc/sys")
_NAMESPACES = Path("/run/netns")
_MODULES = Path("/lib/modules")
_CGROUPS = Path("/sys/fs/cgroup")
_PODMAN_CGROUP = "libpod_parent"


@dataclass(frozen=True, slots=True)
class HostRecord:
    """The machine before the first cluster."""

    kernel_settings: dict[str, str]
    namespaces_mounted: bool
    modules_existed: bool
    cgroups: list[str]


def record_host() -> None:
    """Write the record unless one is there, and make what a node expects to find."""
    path = _record_path()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(_observe()), indent=1))
        partial.rename(path)
    _MODULES.mkdir(parents=True, exist_ok=True)  # kind mounts it; it need not hold anything


def restore_host() -> None:
    """Put back what the record says and remove it. Nothing happens without a record."""
    path = _record_path()
    if not path.exists():
        return
    before = HostRecord(**json.loads(path.read_text()))
    for name, value in before.kernel_settings.items():
        if _read(name) != value:
            (_SYSCTL / name).write_text(value)
    for cgroup in set(_podman_cgroups()) - set(before.cgroups):
        _remove_empty_tree(Path(cgroup))
    if not before.namespaces_mounted and _is_mount(_NAMESPACES) and _is_empty(_NAMESPACES):
        attempt("umount", str(_NAMESPACES))
    if not before.modules_existed and _MODULES.is_dir() and _is_empty(_MODULES):
        _MODULES.rmdir()
    path.unlink()


def _observe() -> HostRecord:
    return HostRecord(
        kernel_settings={
            name: _read(name) for name in (*_WRITTEN_BY_KUBELET, *_WRITTEN_BY_SYSTEMD)
        },
        namespaces_mounted=_is_mount(_NAMESPACES),
        modules_existed=_MODULES.is_dir(),
        cgroups=_podman_cgroups(),
    )


def _record_path() -> Path:
    return cache_root() / "clusters" / "host.json"


def _read(name: str) -> str:
    return (_SYSCTL / name).read_text().strip()


def _is_mount(path: Path) -> bool:
    """Whether `path` is a mount point; `Path.is_mount` does not see bind mounts."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == str(path) for line in mounts)


def _is_empty(path: Path) -> bool:
    return not any(path.iterdir())


def _podman_cgroups() -> list[str]:
    places = [_CGROUPS / _PODMAN_CGROUP, *_CGROUPS.glob(f"*/{_PODMAN_CGROUP}")]
    return sorted(str(place) for place in places if place.is_dir())


def _remove_empty_tree(cgroup: Path) -> None:
    """Remove a cgroup and those below it; one that still holds a process stays."""
    for below in sorted((p for p in cgroup.rglob("*") if p.is_dir()), reverse=True):
        _remove_cgroup(below)
    _remove_cgroup(cgroup)


def _remove_cgroup(cgroup: Path) -> None:
    if not (cgroup / "cgroup.procs").read_text().strip():
        cgroup.rmdir()
