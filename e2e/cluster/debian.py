"""Debian root file systems as container images, made from Debian's archive by mmdebstrap.

For machines that reach a Debian mirror but no image registry. One image per list of packages,
cached by that list in podman's store, where images built from it share its layer.
"""

import subprocess

from e2e.cluster.commands import CommandFailed, Outcome
from e2e.cluster.content import exclusive, key_of
from e2e.cluster.podman import image_exists, podman_environment
from e2e.cluster.progress import step

SUITE = "bookworm"
_NOT_IN_CONTAINERS = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
_MERGED_USR = "/usr/share/mmdebstrap/hooks/merged-usr"
"""Ships with mmdebstrap; without it, `usrmerge` brings all of perl, 50 MB."""


def debian_image(packages: tuple[str, ...]) -> str:
    """Return the reference of a minimal Debian with `packages`, making it if need be.

    Raises:
        CommandFailed: The archive could not be reached or a package does not exist.
    """
    command = _mmdebstrap(packages)
    reference = f"localhost/llm-operator-debian:{key_of(command)}"
    with exclusive("debian"):
        if not image_exists(reference):
            with step(f"Debian {SUITE} with {len(packages)} packages: {', '.join(packages[:3])} …"):
                _import(command, reference)
    return reference


def _mmdebstrap(packages: tuple[str, ...]) -> list[str]:
    return [
        *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"),
        *(f"--dpkgopt=path-exclude={path}" for path in _NOT_IN_CONTAINERS),
        f"--hook-dir={_MERGED_USR}",
        *("--skip=output/dev", SUITE, "-"),  # a container's run-time brings its own /dev
    ]


def _import(command: list[str], reference: str) -> None:
    environment = podman_environment()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as bootstrap:
        imported = subprocess.run(
            ["podman", "import", "--quiet", "-", reference],
            stdin=bootstrap.stdout,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert bootstrap.stderr is not None
        said = bootstrap.stderr.read().decode(errors="replace")
    if bootstrap.returncode != 0:
        _remove(reference)
        raise CommandFailed(Outcome(tuple(command), bootstrap.returncode, "", said, 0))
    if imported.returncode != 0:
        raise CommandFailed(
            Outcome(("podman", "import"), imported.returncode, "", imported.stderr, 0)
        )


def _remove(reference: str) -> None:
    subprocess.run(
        ["podman", "rmi", reference], capture_output=True, env=podman_environment(), check=False
    )
