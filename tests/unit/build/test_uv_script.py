"""The script that a new machine runs first, on machines made of stubs."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PYTHON = (
    'if [ "$2" = venv ]; then /bin/mkdir -p "$3/bin" && /bin/cp "$0.of-venv" "$3/bin/python"; fi'
)
WITHOUT_VENV = f'case "$2" in *ensurepip*) exit 1 ;; esac\n{PYTHON}'
OLD = 'case "$*" in -V) echo Python 3.9.2 ;; *version_info*) exit 1 ;; esac'
INSTALLS_UV = '/usr/bin/touch "$(/usr/bin/dirname "$0")/uv"'
OFFLINE = 'echo "WARNING: Retrying"; echo "ERROR: No matching distribution found for uv"; exit 1'


@dataclass(frozen=True, slots=True)
class Machine:
    """Programs on PATH, and where the environment of uv shall be."""

    programs: Path
    target: Path

    def has(self, program: str, script: str) -> None:
        """Put a program on PATH, or another one in its place."""
        path = self.programs / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the script in the repository and return how it ended."""
        return subprocess.run(
            ["/bin/sh", "build/uv.sh", str(self.target)],
            cwd=ROOT,
            env={"PATH": str(self.programs)},
            capture_output=True,
            text=True,
            check=False,
        )

    def refuses(self) -> str:
        """Run, fail unless it ends with an error and what to do in two lines, and return them."""
        ended = self.run()
        assert ended.returncode == 1
        assert ended.stderr.startswith("error: ")
        assert len(ended.stderr.splitlines()) == 2
        return ended.stderr

    @property
    def has_uv(self) -> bool:
        """Whether the script came to its end."""
        return (self.target / "bin" / "uv").exists()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Root's machine with a network, and neither Python nor apt-get."""
    machine = Machine(tmp_path / "bin", tmp_path / "uv")
    machine.programs.mkdir()
    for tool in ("sed", "tail"):
        (machine.programs / tool).symlink_to(shutil.which(tool) or tool)
    machine.has("id", "echo 0")
    machine.has("python3.of-venv", INSTALLS_UV)
    return machine


def test_a_machine_with_python_gets_uv(machine: Machine) -> None:
    """Where Python and venv are there, nothing else is needed or said."""
    machine.has("python3", PYTHON)

    assert machine.run().stderr == ""
    assert machine.has_uv


@pytest.mark.parametrize("python", [None, WITHOUT_VENV])
def test_a_debian_without_venv_gets_it(machine: Machine, python: str | None) -> None:
    """Root's apt-get installs Python and venv, and the run goes on."""
    if python:
        machine.has("python3", python)
    machine.has("python3.installed", PYTHON)
    wanted = '"install --yes --no-install-recommends python3 python3-venv"'
    installs = '/bin/mv "$(/usr/bin/dirname "$0")/python3.installed" "${0%/*}/python3"'
    machine.has("apt-get", f'if [ "$*" = {wanted} ]; then {installs}; fi')

    assert "Debian packages" in machine.run().stdout
    assert machine.has_uv


def test_without_apt_get_the_packages_are_named(machine: Machine) -> None:
    """What cannot be installed for people is told them."""
    assert "apt-get install python3 python3-venv" in machine.refuses()


def test_who_is_not_root_is_told_what_root_shall_do(machine: Machine) -> None:
    """No package is installed without the right to it."""
    machine.has("id", "echo 1000")
    machine.has("apt-get", f"/usr/bin/touch {machine.target}")

    assert "as root" in machine.refuses()
    assert not machine.target.exists()


def test_an_archive_that_is_not_reached_is_told(machine: Machine) -> None:
    """apt-get's own last line stands in the message."""
    machine.has("apt-get", 'echo "Err:1"; echo "E: Failed to fetch it"; exit 100')

    assert "E: Failed to fetch it" in machine.refuses()


def test_an_old_python_is_named_with_the_version_needed(machine: Machine) -> None:
    """The message has what was found, where, and what pyproject.toml asks for."""
    machine.has("python3", OLD)

    told = machine.refuses()

    assert f"Python >= 3.11 is needed, {machine.programs}/python3 is Python 3.9.2" in told
    assert not machine.has_uv


def test_a_package_index_that_is_not_reached_is_told(machine: Machine) -> None:
    """The last line of pip stands in the message, with the settings that may be missing."""
    machine.has("python3", PYTHON)
    machine.has("python3.of-venv", OFFLINE)

    told = machine.refuses()

    assert "ERROR: No matching distribution found for uv" in told
    assert "HTTPS_PROXY" in told
