"""Writes the smallest shared objects that a reader of dynamic sections accepts."""

import struct
from collections.abc import Iterable
from pathlib import Path

_NEEDED, _SONAME, _END = 1, 14, 0
_HEADER_SIZE, _SECTION_SIZE = 64, 64
_STRTAB, _DYNAMIC = 3, 6


def write_library(path: Path, needed: Iterable[str] = (), soname: str | None = None) -> Path:
    """Write an ELF64 shared object that links ``needed``; return its path."""
    strings = bytearray(b"\0.dynstr\0.dynamic\0")
    tags: list[tuple[int, int]] = []
    named = [(_NEEDED, name) for name in needed] + ([(_SONAME, soname)] if soname else [])
    for tag, name in named:
        tags.append((tag, len(strings)))
        strings += name.encode() + b"\0"
    dynamic = b"".join(struct.pack("<qQ", *tag) for tag in (*tags, (_END, 0)))
    at_dynamic = _HEADER_SIZE + len(strings)
    at_sections = at_dynamic + len(dynamic)
    sections = [
        _section(0, 0, 0, 0, 0),
        _section(1, _STRTAB, _HEADER_SIZE, len(strings), 0),
        _section(9, _DYNAMIC, at_dynamic, len(dynamic), 1),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    header = _header(at_sections, len(sections))
    path.write_bytes(header + bytes(strings) + dynamic + b"".join(sections))
    return path


def _header(at_sections: int, count: int) -> bytes:
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    rest = (3, 62, 1, 0, 0, at_sections, 0, _HEADER_SIZE, 0, 0, _SECTION_SIZE, count, 1)
    return identity + struct.pack("<HHIQQQIHHHHHH", *rest)


def _section(name: int, kind: int, offset: int, size: int, link: int) -> bytes:
    entry = 16 if kind == _DYNAMIC else 0
    return struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, offset, size, link, 0, 1, entry)
