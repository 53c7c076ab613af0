"""Removes pip, setuptools and ensurepip from the interpreter of the base image.

Runs at the end of an image's dependency layer with the base's own ``python3``: a container that
cannot install software is one step harder to misuse. The environment under ``/opt`` is built
without pip in the first place and is not touched. Standard library only.
"""

import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

_INSTALLERS = ("pip", "setuptools", "wheel", "_distutils_hack", "pkg_resources", "ensurepip")
_DEBIAN_LIBRARY = Path("/usr/lib/python3/dist-packages")
_DEBIAN_WHEELS = Path("/usr/share/python-wheels")  # what Debian's ensurepip installs
_PROGRAM_PATTERNS = ("pip", "pip[0-9]*", "wheel", "easy_install*")


def installer_paths(libraries: Iterable[Path], programs: Path, wheels: Path) -> Iterator[Path]:
    """Yield what belongs to an installer: packages, their metadata, programs, bundled wheels."""
    for library in libraries:
        for name in _INSTALLERS:
            yield from library.glob(name)
            yield from library.glob(f"{name}-*.dist-info")
        yield from library.glob("distutils-precedence.pth")
    for pattern in _PROGRAM_PATTERNS:
        yield from programs.glob(pattern)
    yield from wheels.glob("*.whl")


def remove(paths: Iterable[Path]) -> list[Path]:
    """Delete every path, directories with their contents; return what was deleted, sorted."""
    removed = sorted(set(paths))
    for path in removed:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return removed


def main() -> None:
    """Strip the base interpreter, also when an environment's own runs this; print what went."""
    base = {"base": sys.base_prefix, "platbase": sys.base_prefix}
    paths = sysconfig.get_paths("posix_prefix", vars={**base, "installed_base": sys.base_prefix})
    libraries = {Path(paths[name]) for name in ("stdlib", "purelib", "platlib")}
    libraries.add(_DEBIAN_LIBRARY)
    for path in remove(installer_paths(libraries, Path(paths["scripts"]), _DEBIAN_WHEELS)):
        print(f"strip_installers: {path}")  # noqa: T201  # the build's log is its only output


if __name__ == "__main__":
    main()
