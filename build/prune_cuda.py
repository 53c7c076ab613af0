"""Removes from an installed CUDA build of torch what a machine without a GPU never loads.

There is no CPU wheel of torch on PyPI: its wheel links CUDA libraries, and the dynamic loader
wants those that an ELF ``NEEDED`` entry reaches from what ``import torch`` opens, whether or not
there is a GPU. Everything else under ``nvidia/`` (cuDNN's engines, device code, headers), torch's
libraries that open on the first use of a GPU and the files for compiling extensions are dead
weight. Runs inside the image build of the CPU server, before ``verify_torch`` proves the result;
needs pyelftools. Packages that a CPU never needs at all are not installed in the first place.
"""

import argparse
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

_MAGIC = b"\x7fELF"
_COMPILE_TIME = ("torch/include", "torch/share", "torch/bin/protoc*")
_ENTRY_POINTS = ("torch/_C.*", "torch/lib/libtorch_global_deps.so", "torch/bin/torch_shm_manager")


@dataclass(frozen=True, slots=True)
class Library:
    """A shared object: its file, the name that others link it by, and what it links itself."""

    path: Path
    soname: str
    needed: frozenset[str]


def read_library(path: Path) -> Library | None:
    """Read the dynamic section of ``path``; None when it is no ELF file.

    Raises:
        ELFError: The file says that it is ELF and cannot be read as such.
    """
    with path.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            return None
        elf = ELFFile(stream)
        sections = [part for part in elf.iter_sections() if isinstance(part, DynamicSection)]
        tags: list[Any] = [tag for section in sections for tag in section.iter_tags()]
    needed = frozenset(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED")
    sonames = [tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"]
    return Library(path, sonames[0] if sonames else path.name, needed)


def libraries_under(directory: Path) -> Iterator[Library]:
    """Yield every ELF file below ``directory``."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and (library := read_library(path)):
            yield library


def reachable(roots: Iterable[Library], candidates: Iterable[Library]) -> frozenset[Path]:
    """Return the files among ``candidates`` that the loader opens for ``roots``, transitively."""
    by_name: Mapping[str, Library] = {
        name: library for library in candidates for name in (library.soname, library.path.name)
    }
    found: set[Path] = set()
    pending = deque(name for root in roots for name in root.needed)
    while pending:
        library = by_name.get(pending.popleft())
        if library and library.path not in found:
            found.add(library.path)
            pending.extend(library.needed)
    return frozenset(found)


def dead_weight(site_packages: Path) -> frozenset[Path]:
    """Return the files below ``site_packages`` that a CPU never needs.

    Raises:
        FileNotFoundError: torch's own libraries are not there, so nothing can be judged.
    """
    torch = tuple(libraries_under(site_packages / "torch"))
    entries = [part for part in torch if any(part.path.match(name) for name in _ENTRY_POINTS)]
    if not entries:
        raise FileNotFoundError(f"{site_packages}/torch holds none of {', '.join(_ENTRY_POINTS)}")
    nvidia = tuple(libraries_under(site_packages / "nvidia"))
    loaded = reachable(entries, (*torch, *nvidia)) | {entry.path for entry in entries}
    cuda = set(_files_under(site_packages / "nvidia"))
    gpu_only = {part.path for part in torch if reachable([part], nvidia)}
    extra = {path for name in _COMPILE_TIME for path in _matching(site_packages, name)}
    return frozenset((cuda | gpu_only) - loaded | extra)


def _files_under(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if not path.is_dir())


def _matching(directory: Path, pattern: str) -> Iterator[Path]:
    for found in directory.glob(pattern):
        yield from _files_under(found) if found.is_dir() else (found,)


def delete(files: Collection[Path], site_packages: Path) -> int:
    """Delete ``files`` and the directories left empty; return the bytes that this freed."""
    freed = sum(path.lstat().st_size for path in files)
    for path in files:
        path.unlink()
    for name in ("nvidia", "torch"):
        _remove_empty(site_packages / name)
    return freed


def _remove_empty(directory: Path) -> None:
    """Remove ``directory`` if it holds no file: left empty it imports as a namespace package."""
    nested = [path for path in directory.rglob("*") if path.is_dir()]
    for path in (*sorted(nested, reverse=True), directory):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def main() -> None:
    """Prune the ``site-packages`` directory named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("site_packages", type=Path)
    site_packages: Path = parser.parse_args().site_packages
    freed = delete(dead_weight(site_packages), site_packages)
    print(f"prune_cuda: {freed / 1e6:.0f} MB removed")  # noqa: T201  # the build's log


if __name__ == "__main__":
    main()
