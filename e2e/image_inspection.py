"""What is in the image that this runs in; its text is run by a pod, see ``test_images``.

Prints one JSON object. Standard library only; the argument is where models would be.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_NOT_OF_THE_IMAGE = ("/proc", "/sys", "/dev", "/run", "/var/run", "/tmp")  # noqa: S108  # mounts
_PROGRAMS = ("pip", "pip3", "uv", "gcc", "cc", "g++", "make")
_MODULES = ("pip", "ensurepip", "uv")


def file_sizes(directory: str) -> Iterator[int]:
    """Yield the size in bytes of every file below a directory that this user may look into."""
    try:
        entries = list(os.scandir(directory))
    except PermissionError:
        return
    for entry in entries:
        if entry.is_file(follow_symlinks=False):
            yield entry.stat(follow_symlinks=False).st_size
        elif entry.is_dir(follow_symlinks=False) and entry.path not in _NOT_OF_THE_IMAGE:
            yield from file_sizes(entry.path)


def runnable_modules() -> Iterator[str]:
    """Yield the installers that the environment's Python or the base's can run."""
    for python in {sys.executable, os.path.realpath(sys.executable)}:
        for module in _MODULES:
            line = [python, "-m", module, "--version"]
            if subprocess.run(line, capture_output=True, check=False).returncode == 0:
                yield f"{python} -m {module}"


def main() -> None:
    """Look at the image and print what was found."""
    models = Path(sys.argv[1])
    sources = [str(path) for path in Path(os.environ["PYTHONPATH"]).rglob("*.py")]
    found = {
        "bytes": sum(file_sizes("/")),
        "user": [os.getuid(), os.getgid()],
        "installers": [name for name in _PROGRAMS if shutil.which(name)] + [*runnable_modules()],
        "sources": len(sources),
        "not_compiled": [
            path for path in sources if not Path(importlib.util.cache_from_source(path)).exists()
        ],
        "has_torch": importlib.util.find_spec("torch") is not None,
        "models": sorted(path.name for path in models.iterdir()) if models.is_dir() else [],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
