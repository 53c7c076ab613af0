"""The build context of an image: exactly the files that its Dockerfile names, and their hash.

A staged context makes the list of inputs true by construction: what COPY does not name is not
there, so it cannot go in unnoticed and need not be hashed. Times are fixed, so that a fresh
checkout of the same content finds podman's layers again.
"""

import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.content import files_under, key_of

_CONTINUED = re.compile(r"\\[ \t]*\n(?:[ \t]*#[^\n]*\n)*")
_FIXED_TIME = 1_000_000_000
_COPYING = ("COPY", "ADD")


@dataclass(frozen=True, slots=True)
class Sources:
    """Paths of the context that a Dockerfile reads, relative to the context's root.

    `bound` are those of `RUN --mount=type=bind`: podman does not look into them when it asks
    whether a layer is still good, so a build with any must not use its layer cache.
    """

    copied: tuple[str, ...]
    bound: tuple[str, ...]


def sources_of(dockerfile: str) -> Sources:
    """Return what the text of a Dockerfile reads from its context.

    Raises:
        ValueError: A source is a variable, a pattern or everything: it must name what it needs.
    """
    copied: list[str] = []
    bound: list[str] = []
    for instruction in _instructions(dockerfile):
        word, _, rest = instruction.partition(" ")
        if word.upper() in _COPYING:
            copied += _copied(rest)
        elif word.upper() == "RUN":
            bound += _bound(rest)
    for source in (*copied, *bound):
        if source in (".", "./", "/") or any(c in source for c in "$*?["):
            msg = f"source {source!r}: name the files and directories that the image needs"
            raise ValueError(msg)
    return Sources(tuple(dict.fromkeys(copied)), tuple(dict.fromkeys(bound)))


def context_key(root: Path, dockerfile: Path, args: dict[str, str]) -> str:
    """Name the image that these inputs make: Dockerfile, build arguments, every named file."""
    text = dockerfile.read_text()
    sources = sources_of(text)
    parts: list[str | Path] = [text, *(f"{k}={v}" for k, v in sorted(args.items()))]
    for source in (*sources.copied, *sources.bound):
        parts += [source, root / source]
    return key_of(parts)


def stage(root: Path, dockerfile: Path, target: Path) -> None:
    """Copy what the Dockerfile names from `root` to the empty directory `target`."""
    sources = sources_of(dockerfile.read_text())
    for source in (*sources.copied, *sources.bound):
        for path in files_under(root / source):
            copy = target / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    for path in (target, *target.rglob("*")):
        os.utime(path, (_FIXED_TIME, _FIXED_TIME))


def _instructions(dockerfile: str) -> list[str]:
    joined = _CONTINUED.sub(" ", dockerfile)
    return [
        line.strip() for line in joined.splitlines() if line.strip() and line.lstrip()[0] != "#"
    ]


def _copied(rest: str) -> list[str]:
    words = shlex.split(rest)
    flags = [word for word in words if word.startswith("--")]
    if any(flag.startswith("--from=") for flag in flags):
        return []
    return [_clean(word) for word in words[len(flags) : -1]]


def _bound(rest: str) -> list[str]:
    found = []
    for mount in re.findall(r"--mount=(\S+)", rest):
        options = {key: value for key, _, value in _pairs(mount)}
        if options.get("type") == "bind" and "from" not in options:
            found.append(_clean(options.get("source", options.get("src", "."))))
    return found


def _pairs(mount: str) -> list[tuple[str, str, str]]:
    return [option.partition("=") for option in mount.split(",")]


def _clean(source: str) -> str:
    return source.removeprefix("./").rstrip("/") or "/"
