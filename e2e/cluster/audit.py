"""Read the API server's audit log: who asked for what, in order.

Benchmarks and tests count requests from it. The policy (`manifests/audit-policy.yaml`) leaves out
what the control plane reads for itself.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class AuditMark:
    """A place in the log: a file, which keeps its identity when it is rotated, and a byte in it."""

    inode: int
    offset: int


def mark_of(directory: Path) -> AuditMark:
    """Return the end of the log as it is now."""
    status = (directory / "audit.log").stat()
    return AuditMark(status.st_ino, status.st_size)


def events_since(directory: Path, mark: AuditMark | None) -> list[dict[str, Any]]:
    """Return the `audit.k8s.io/v1` events after `mark`, or all that are kept.

    Raises:
        LookupError: The file of the mark has been rotated away: more than 600 MB ago.
    """
    files = sorted(directory.glob("audit*.log"), key=lambda path: path.stat().st_mtime)
    offset = 0
    if mark is not None:
        inodes = [path.stat().st_ino for path in files]
        if mark.inode not in inodes:
            msg = "the audit log was rotated past the mark"
            raise LookupError(msg)
        files = files[inodes.index(mark.inode) :]
        offset = mark.offset
    events: list[dict[str, Any]] = []
    for path in files:
        events.extend(_events(path, offset))
        offset = 0
    return events


def _events(path: Path, offset: int) -> list[dict[str, Any]]:
    with path.open("rb") as log:
        log.seek(offset)
        lines = log.read().split(b"\n")
    return [json.loads(line) for line in lines[:-1]]  # the last piece is a line still being written
