"""What a node changes on the machine itself, written down before and put back after.

A node is a privileged container: its kubelet writes global kernel settings, and podman makes a
mount and cgroups that outlive it. The record is taken before the first cluster comes and used when
the last one has gone; with Docker the engine's own machine is left as kind leaves it.
"""

import json
from contextlib import suppress
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
_PODMAN_CGROUP = "libpod_parent"


@dataclass(frozen=True, slots=True)
class HostPlaces:
    """Where the machine keeps what is recorded."""

    record: Path
    sysctl: Path = Path("/proc/sys")
    namespaces: Path = Path("/run/netns")
    modules: Path = Path("/lib/modules")
    cgroups: Path = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class HostRecord:
    """The machine before the first cluster."""

    kernel_settings: dict[str, str]
    namespaces_mounted: bool
    modules_existed: bool
    cgroups: list[str]


def host_places() -> HostPlaces:
    """Return this machine's places."""
    return HostPlaces(cache_root() / "clusters" / "host.json")


def record_host(places: HostPlaces) -> None:
    """Write the record unless one is there, and make what a node expects to find."""
    if not places.record.exists():
        places.record.parent.mkdir(parents=True, exist_ok=True)
        partial = places.record.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(_observe(places)), indent=1))
        partial.rename(places.record)
    places.modules.mkdir(parents=True, exist_ok=True)  # kind mounts it; it need not hold anything


def restore_host(places: HostPlaces) -> None:
    """Put back what the record says and remove it. Nothing happens without a record."""
    if not places.record.exists():
        return
    before = HostRecord(**json.loads(places.record.read_text()))
    for name, value in before.kernel_settings.items():
        if _read(places.sysctl / name) != value:
            (places.sysctl / name).write_text(value)
    for cgroup in set(_podman_cgroups(places)) - set(before.cgroups):
        _remove_empty_tree(Path(cgroup))
    mounted = _is_mount(places.namespaces) and not before.namespaces_mounted
    if mounted and _is_empty(places.namespaces):
        attempt("umount", str(places.namespaces))
    if not before.modules_existed and places.modules.is_dir() and _is_empty(places.modules):
        places.modules.rmdir()
    places.record.unlink()


def _observe(places: HostPlaces) -> HostRecord:
    settings = (*_WRITTEN_BY_KUBELET, *_WRITTEN_BY_SYSTEMD)
    return HostRecord(
        kernel_settings={name: _read(places.sysctl / name) for name in settings},
        namespaces_mounted=_is_mount(places.namespaces),
        modules_existed=places.modules.is_dir(),
        cgroups=_podman_cgroups(places),
    )


def _read(path: Path) -> str:
    return path.read_text().strip()


def _is_mount(path: Path) -> bool:
    """Whether `path` is a mount point; `Path.is_mount` does not see bind mounts."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == str(path) for line in mounts)


def _is_empty(path: Path) -> bool:
    return not any(path.iterdir())


def _podman_cgroups(places: HostPlaces) -> list[str]:
    found = [places.cgroups / _PODMAN_CGROUP, *places.cgroups.glob(f"*/{_PODMAN_CGROUP}")]
    return sorted(str(place) for place in found if place.is_dir())


def _remove_empty_tree(cgroup: Path) -> None:
    """Remove a cgroup and those below it; one that still holds a process stays."""
    for below in sorted((p for p in cgroup.rglob("*") if p.is_dir()), reverse=True):
        _remove_cgroup(below)
    _remove_cgroup(cgroup)


def _remove_cgroup(cgroup: Path) -> None:
    with suppress(OSError):  # busy: somebody else's container lives there
        cgroup.rmdir()
