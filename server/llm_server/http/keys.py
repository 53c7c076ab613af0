"""Bearer keys from a mounted directory: every file holds one key.

A Secret's volume changes by moving the link ``..data``, so names that begin with two dots are
left out and a change shows as a new modification time. No file or an unreadable directory means
that nobody is let in: a missing key never opens the door.
"""

import hmac
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import structlog

_LOG = structlog.get_logger()

Signature = tuple[tuple[str, int, int], ...]


class KeyRing:
    """The keys of one directory, read again within a second of a change."""

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock
        self._signature: Signature | None = None
        self._digests: tuple[bytes, ...] = ()
        self._check_again_at = clock()
        self._refresh()

    def admits(self, key: bytes) -> bool:
        """Whether ``key`` is one of the keys; takes the same time for every wrong one."""
        if self._clock() >= self._check_again_at:
            self._refresh()
        digest = sha256(key).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(matches)

    def _refresh(self) -> None:
        self._check_again_at = self._clock() + 1.0
        try:
            files = _key_files(self._directory)
            signature = tuple(_stamp(file) for file in files)
            if signature == self._signature:
                return
            keys = [file.read_bytes().strip() for file in files]
        except OSError as error:
            _LOG.warning("API keys cannot be read, nobody is admitted", reason=error.strerror)
            self._signature, self._digests = None, ()
            return
        self._signature = signature
        self._digests = tuple(sha256(key).digest() for key in keys if key)
        _LOG.info("Read API keys", count=len(self._digests))


def _key_files(directory: Path) -> list[Path]:
    return sorted(
        path for path in directory.iterdir() if not path.name.startswith("..") and path.is_file()
    )


def _stamp(file: Path) -> tuple[str, int, int]:
    status = file.stat()
    return (file.name, status.st_mtime_ns, status.st_ino)
