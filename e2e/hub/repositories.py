"""What the small Hub holds: repositories, their revisions as directories, and set faults.

Knows no HTTP. Read from ``hub.json`` in the served directory, or, without one, each
``ORG/NAME/`` below it is a repository with the one revision ``main``. Standard library only:
it runs in a pod from the server's image with these files mounted.
"""

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_REVISION = "main"
CONFIG_FILE = "hub.json"


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a commit; ``digest`` is the SHA-256 of its content in hex."""

    name: str
    path: Path
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Commit:
    """A revision's content; ``sha`` is a function of names and contents alone."""

    sha: str
    files: Mapping[str, HubFile]


@dataclass(frozen=True, slots=True)
class Fault:
    """What a repository does wrong: an HTTP status, or a body that ends after so many bytes."""

    status: int | None = None
    cut_after_bytes: int | None = None


@dataclass(slots=True)
class Repository:
    """Branches and tags as directories; ``token`` is needed if set; ``fault`` may be switched."""

    revisions: Mapping[str, Path]
    token: str | None = None
    fault: Fault | None = None
    commits: dict[str, Commit] = field(default_factory=dict)


class Repositories:
    """All repositories of a Hub; safe from any thread."""

    def __init__(self, repositories: Mapping[str, Repository]) -> None:
        self._repositories = dict(repositories)
        self._lock = threading.Lock()
        self._digests: dict[tuple[Path, int, int], str] = {}

    def get(self, name: str) -> Repository | None:
        """The repository ``org/name``, if there is one."""
        return self._repositories.get(name)

    def set_fault(self, name: str, fault: Fault | None) -> None:
        """Let a repository fail from now on, or no longer; KeyError if there is none."""
        with self._lock:
            self._repositories[name].fault = fault

    def take_cut(self, repository: Repository, length: int) -> int | None:
        """Bytes after which an answer of ``length`` is to be cut; the next one is whole again."""
        with self._lock:
            fault = repository.fault
            if fault is None or fault.cut_after_bytes is None or fault.cut_after_bytes >= length:
                return None
            repository.fault = None
            return fault.cut_after_bytes

    def commit(self, repository: Repository, revision: str) -> Commit | None:
        """The content of a branch, a tag or a commit's sha."""
        with self._lock:
            for name, directory in repository.revisions.items():
                repository.commits[name] = self._scan(directory)
            for name, commit in repository.commits.items():
                if revision in (name, commit.sha):
                    return commit
        return None

    def _scan(self, directory: Path) -> Commit:
        files = {file.name: file for file in self._files(directory)}
        listing = "".join(f"{file.name}\0{file.digest}\n" for _, file in sorted(files.items()))
        sha = hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()
        return Commit(sha, files)

    def _files(self, directory: Path) -> Iterator[HubFile]:
        for parent, _, names in os.walk(directory):
            for name in names:
                path = Path(parent, name)
                relative = path.relative_to(directory).as_posix()
                if not relative.startswith("."):
                    yield HubFile(relative, path, path.stat().st_size, self._digest(path))

    def _digest(self, path: Path) -> str:
        state = path.stat()
        key = (path, state.st_size, state.st_mtime_ns)
        if key not in self._digests:
            with path.open("rb") as content:
                self._digests[key] = hashlib.file_digest(content, "sha256").hexdigest()
        return self._digests[key]


def read_directory(directory: Path) -> Repositories:
    """The repositories below ``directory``; paths in ``hub.json`` are relative to it.

    Raises:
        ValueError: ``hub.json`` is malformed; the message names the repository.
    """
    config = directory / CONFIG_FILE
    if config.is_file():
        entries = json.loads(config.read_bytes())["repositories"]
        return Repositories({name: _repository(directory, name, e) for name, e in entries.items()})
    found = (path for path in sorted(directory.glob("*/*")) if path.is_dir())
    return Repositories(
        {
            path.relative_to(directory).as_posix(): Repository({DEFAULT_REVISION: path})
            for path in found
        }
    )


def read_fault(entry: Mapping[str, Any]) -> Fault | None:
    """``{"status": 503}``, ``{"cut_after_bytes": 1000}``, or nothing of both."""
    status, cut = entry.get("status"), entry.get("cut_after_bytes")
    if status is None and cut is None:
        return None
    if status is not None and not (isinstance(status, int) and 400 <= status <= 599):
        raise ValueError(f"status is {status!r}; allowed are 400 to 599")
    if cut is not None and not (isinstance(cut, int) and cut >= 0):
        raise ValueError(f"cut_after_bytes is {cut!r}; allowed are integers from 0")
    return Fault(status, cut)


def _repository(directory: Path, name: str, entry: Mapping[str, Any]) -> Repository:
    if name.count("/") != 1:
        raise ValueError(f"{name!r}: a repository is named org/name")
    revisions = {rev: directory / path for rev, path in entry.get("revisions", {}).items()}
    for revision, path in revisions.items():
        if not path.is_dir():
            raise ValueError(f"{name}: revision {revision}: {path} is not a directory")
    return Repository(revisions, entry.get("token"), read_fault(entry))
