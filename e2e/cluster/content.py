"""Content addresses: a short name for exactly these inputs, and a lock around making them.

Called by every builder. What an input is, the builder decides; a name that is taken means that the
work is done, so nothing here looks at times.
"""

import fcntl
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from e2e.cluster.paths import cache_root

_KEY_CHARACTERS = 16


def key_of(parts: Iterable[str | Path]) -> str:
    """Return 16 hexadecimal digits that name `parts`: texts, and files or trees by path.

    Of a tree, the relative names, the executable bits and the contents count.
    """
    digest = hashlib.sha256()
    for part in parts:
        for chunk in _chunks(part):
            digest.update(len(chunk).to_bytes(8, "big"))
            digest.update(chunk)
    return digest.hexdigest()[:_KEY_CHARACTERS]


def _chunks(part: str | Path) -> Iterator[bytes]:
    if isinstance(part, str):
        yield part.encode()
    else:
        for path in files_under(part):
            yield str(path.relative_to(part)).encode()
            yield b"x" if path.stat().st_mode & 0o100 else b"-"
            yield path.read_bytes()


def files_under(path: Path) -> list[Path]:
    """Return the file itself, or the files of a tree in a fixed order, without compiled Python.

    Raises:
        FileNotFoundError: There is nothing at `path`.
    """
    if not path.is_dir():
        path.stat()
        return [path]
    return sorted(
        found
        for found in path.rglob("*")
        if found.is_file() and "__pycache__" not in found.parts and found.suffix != ".pyc"
    )


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the machine-wide lock `name`: two runs never make the same thing at once."""
    with opened_lock(name) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def opened_lock(name: str) -> IO[str]:
    """Open the file of the machine-wide lock `name`, without taking the lock."""
    locks = cache_root() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    return (locks / name).open("a+")
