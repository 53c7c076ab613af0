"""Podman, set up for the machine it runs on; none of the user's own settings are touched.

Called by everything that builds or runs containers where no Docker engine answers.
"""

import os
import resource
from pathlib import Path

from e2e.cluster.commands import Outcome, attempt, follow, run
from e2e.cluster.paths import cache_root
from e2e.cluster.progress import Step

# runc and cgroupfs: crun refuses hybrid cgroups, and there need be no systemd on the machine.
# Limits: podman asks for more than a small machine's hard limits allow, and the runtime then fails.
_CONTAINERS_CONF = """\
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile={nofile}:{nofile}", "nproc={nproc}:{nproc}"]
"""
_MAX_OPEN_FILES = 1_048_576
_MAX_PROCESSES = 32_768


def max_open_files() -> int:
    """Return how many files a container may hold open: the machine's hard limit, bounded."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)


def _max_processes() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    return _MAX_PROCESSES if hard == resource.RLIM_INFINITY else min(hard, _MAX_PROCESSES)


def podman_environment() -> dict[str, str]:
    """Return the environment in which podman, buildah and kind-with-podman run."""
    settings = _CONTAINERS_CONF.format(nofile=max_open_files(), nproc=_max_processes())
    path = cache_root() / "containers.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != settings:
        path.write_text(settings)
    return {**os.environ, "CONTAINERS_CONF": str(path), "KIND_EXPERIMENTAL_PROVIDER": "podman"}


def podman(*args: str, timeout_seconds: float = 300) -> str:
    """Run podman and return what it printed.

    Raises:
        CommandFailed: It refused.
    """
    return run("podman", *args, env=podman_environment(), timeout_seconds=timeout_seconds)


def try_podman(*args: str, timeout_seconds: float = 300) -> Outcome:
    """Run podman and return how it ended."""
    return attempt("podman", *args, env=podman_environment(), timeout_seconds=timeout_seconds)


def image_exists(reference: str) -> bool:
    """Whether the local store has the image."""
    return try_podman("image", "exists", reference).ok


def podman_build(context: Path, progress: Step, *options: str) -> None:
    """Build an image, showing the instruction that runs.

    chroot and the host's network: no rules are left in the firewall, no second resolver is needed.

    Raises:
        CommandFailed: An instruction failed; the message ends with what it printed.
    """

    def show(line: str) -> None:
        if line.startswith(("STEP", "[")):
            progress.say(line)

    follow(
        *("podman", "build", "--isolation", "chroot", "--network", "host"),
        *(*options, str(context)),
        on_line=show,
        env=podman_environment(),
    )
