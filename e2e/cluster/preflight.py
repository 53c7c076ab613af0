"""Decide whether this machine can run a local cluster, and by which route.

`inspect` gathers, `judge` decides, `admit` does both and refuses with every reason at once.
Nothing is installed before the verdict.
"""

import os
import platform
import re
import resource
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.commands import attempt, follow
from e2e.cluster.engine import ContainerTool
from e2e.cluster.paths import cache_root
from e2e.cluster.progress import step

DEBIAN_PACKAGES = (
    *("podman", "netavark", "buildah", "runc", "docker-registry", "mmdebstrap"),
    *("iptables", "nftables", "iproute2", "util-linux"),
)
_DOCKER_PROGRAMS = ("kind", "kubectl", "helm")
_GO_MINIMUM = (1, 26, 4)
_DISK_GIB_COLD = 25  # programs and their build 8, images 12, the registry's and the node's copies
_DISK_GIB_WARM = 8
_MEMORY_GIB = 6  # a build in Go peaks at 2.4, Traefik's at 3.2; a model of the demo may take 3
_MEMORY_LIMITS = (  # of this process's cgroup, in a container; v2, v1
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_OPEN_FILES = 8192
_CAP_SYS_RESOURCE = 24


class PreflightRefused(RuntimeError):
    """This machine cannot run a local cluster; the message says why."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What `inspect` found."""

    container_tool: str  # the value of CONTAINER_TOOL, empty if unset
    docker_answers: bool
    docker_programs_missing: tuple[str, ...]
    linux: bool
    root: bool
    debian: bool
    go_version: tuple[int, ...] | None
    packages_missing: tuple[str, ...]
    disk_free_gib: float
    memory_gib: float  # of the machine, or what the container may take of it
    open_files_limit: int
    cgroup_version: int
    may_raise_limits: bool  # CAP_SYS_RESOURCE
    built_before: bool  # programs and images are in the cache, as far as one can tell cheaply


@dataclass(frozen=True, slots=True)
class Verdict:
    """The route, and what forbids it: usable if `refusals` is empty."""

    tool: ContainerTool
    refusals: tuple[str, ...]


def judge(machine: Machine) -> Verdict:
    """Choose the route and list what is missing for it."""
    asked = machine.container_tool
    if asked not in ("", *ContainerTool):
        allowed = " or ".join(ContainerTool)
        return Verdict(ContainerTool.DOCKER, (f"CONTAINER_TOOL={asked!r}: allowed is {allowed}",))
    tool = ContainerTool(asked) if asked else _preferred(machine)
    reasons = _docker_reasons(machine) if tool is ContainerTool.DOCKER else _podman_reasons(machine)
    return Verdict(tool, (*reasons, *_common_reasons(machine)))


def inspect() -> Machine:
    """Look at this machine; changes nothing."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return Machine(
        container_tool=os.environ.get("CONTAINER_TOOL", ""),
        docker_answers=shutil.which("docker") is not None and attempt("docker", "info").ok,
        docker_programs_missing=tuple(p for p in _DOCKER_PROGRAMS if shutil.which(p) is None),
        linux=platform.system() == "Linux",
        root=os.geteuid() == 0,
        debian=_is_debian(),
        go_version=_go_version(),
        packages_missing=_packages_missing(),
        disk_free_gib=_disk_free_gib(),
        memory_gib=_memory_gib(),
        open_files_limit=2**31 if hard == resource.RLIM_INFINITY else hard,
        cgroup_version=2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1,
        may_raise_limits=_has_capability(_CAP_SYS_RESOURCE),
        built_before=(cache_root() / "registry").is_dir(),
    )


def admit() -> ContainerTool:
    """Return the route, with Debian's packages for it installed.

    Raises:
        PreflightRefused: Something is missing; the message lists all of it.
    """
    machine = inspect()
    verdict = judge(machine)
    if verdict.refusals:
        lines = "\n  - ".join(verdict.refusals)
        msg = f"this machine cannot run the local cluster with {verdict.tool}:\n  - {lines}"
        raise PreflightRefused(msg)
    if verdict.tool is ContainerTool.PODMAN and machine.packages_missing:
        _install(machine.packages_missing)
    return verdict.tool


def describe(machine: Machine) -> list[tuple[str, str]]:
    """Return what was found, as pairs of a name and a value for people."""
    return [
        ("CONTAINER_TOOL", machine.container_tool or "unset"),
        ("Docker engine", "answers" if machine.docker_answers else "does not answer"),
        ("root", _yes(machine.root)),
        ("Debian", _yes(machine.debian)),
        ("Debian packages", f"missing: {' '.join(machine.packages_missing) or 'none'}"),
        ("Go", _dotted(machine.go_version)),
        ("disk free", f"{machine.disk_free_gib:.0f} GiB"),
        ("memory", f"{machine.memory_gib:.1f} GiB"),
        ("built here before", _yes(machine.built_before)),
        ("open files, hard limit", str(machine.open_files_limit)),
        ("cgroups", f"v{machine.cgroup_version}"),
        ("CAP_SYS_RESOURCE", f"{_yes(machine.may_raise_limits)} (not needed)"),
    ]


def _yes(value: bool) -> str:  # noqa: FBT001 - a value to print, not a switch
    return "yes" if value else "no"


def _dotted(version: tuple[int, ...] | None) -> str:
    return ".".join(map(str, version)) if version else "none"


def _preferred(machine: Machine) -> ContainerTool:
    return ContainerTool.DOCKER if machine.docker_answers else ContainerTool.PODMAN


def _docker_reasons(machine: Machine) -> list[str]:
    reasons = []
    if not machine.docker_answers:
        reasons.append("`docker info` fails: start the engine, or set CONTAINER_TOOL=podman")
    if machine.docker_programs_missing:
        reasons.append(f"not on PATH: {', '.join(machine.docker_programs_missing)}")
    return reasons


def _podman_reasons(machine: Machine) -> list[str]:
    go = _dotted(_GO_MINIMUM)
    checks = [
        (machine.linux, "the podman route needs Linux; elsewhere start a Docker engine"),
        (machine.root, "the podman route needs root; or start a Docker engine"),
        (
            machine.debian or not machine.packages_missing,
            f"not Debian, so these are not installed for you: {' '.join(machine.packages_missing)}",
        ),
        (
            machine.go_version is not None and machine.go_version >= _GO_MINIMUM,
            f"Go >= {go} is needed to build Kubernetes, found: {_dotted(machine.go_version)}",
        ),
        (
            machine.open_files_limit >= _OPEN_FILES,
            f"the hard limit of open files is {machine.open_files_limit}, needed are {_OPEN_FILES}",
        ),
    ]
    return [reason for holds, reason in checks if not holds]


def _common_reasons(machine: Machine) -> list[str]:
    needed = _DISK_GIB_WARM if machine.built_before else _DISK_GIB_COLD
    reasons = []
    if machine.disk_free_gib < needed:
        free = f"{machine.disk_free_gib:.0f}"
        reasons.append(f"{free} GiB of disk are free at {cache_root()}, needed are {needed}")
    if machine.memory_gib < _MEMORY_GIB:
        reasons.append(f"{machine.memory_gib:.1f} GiB of memory, needed are {_MEMORY_GIB}")
    return reasons


def _is_debian() -> bool:
    path = Path("/etc/os-release")
    if not path.exists():
        return False
    return bool(re.search(r"^ID(_LIKE)?=.*\bdebian\b", path.read_text(), re.MULTILINE))


def _go_version() -> tuple[int, ...] | None:
    if shutil.which("go") is None:
        return None
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", attempt("go", "env", "GOVERSION").stdout)
    return None if found is None else tuple(int(part or 0) for part in found.groups())


def _packages_missing() -> tuple[str, ...]:
    if shutil.which("dpkg-query") is None:
        return DEBIAN_PACKAGES
    said = attempt("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *DEBIAN_PACKAGES)
    installed = {
        line.split()[0] for line in said.stdout.splitlines() if line.endswith(" installed")
    }
    return tuple(package for package in DEBIAN_PACKAGES if package not in installed)


def _disk_free_gib() -> float:
    place = cache_root()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free / 2**30


def _memory_gib() -> float:
    limits_bytes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _MEMORY_LIMITS:
        with suppress(OSError, ValueError):  # not there, or `max`
            limits_bytes.append(int(path.read_text()))
    return min(limits_bytes) / 2**30


def _has_capability(number: int) -> bool:
    status = Path("/proc/self/status")
    if not status.exists():
        return False
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", status.read_text(), re.MULTILINE)
    return found is not None and bool(int(found.group(1), 16) >> number & 1)


def _install(packages: tuple[str, ...]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"Debian packages: {' '.join(packages)}") as progress:
        follow("apt-get", "update", on_line=progress.say, env=environment)
        follow(
            *("apt-get", "install", "--yes", "--no-install-recommends", *packages),
            on_line=progress.say,
            env=environment,
        )
