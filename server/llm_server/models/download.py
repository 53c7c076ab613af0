"""``hf://``: a model's files from a Hub into the cache, by the real ``huggingface_hub``.

The endpoint, the token, proxies and certificates are what the environment says to that
library. Only what ``hub_files`` picks is fetched. A finished download leaves a manifest; with
it the model starts without the hub when the revision is a commit, or when the hub is down.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from llm_server.contract import COMMIT, StartupFailure, StartupPhase
from llm_server.models.failures import StartupError, classify, is_transient
from llm_server.models.hub_files import HubFile, needed_files
from llm_server.models.memory import mib
from llm_server.models.progress import Progress
from llm_server.models.source import HubSource

RETRY_SECONDS: Final = 10.0
"""How long a hub that does not answer is asked again before the start fails."""

_FIRST_DELAY_SECONDS: Final = 0.5
_LARGEST_DELAY_SECONDS: Final = 3.0
_REQUEST_TIMEOUT_SECONDS: Final = 5.0
_PARALLEL_FILES: Final = 4
_STALE_PART_SECONDS: Final = 3600.0
_LOG = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All needed files of a repository at one commit, in one directory."""

    directory: Path
    commit: str


def fetch(source: HubSource, cache_dir: Path, progress: Progress) -> Snapshot:
    """Bring ``source`` into ``cache_dir``, or find it there.

    Raises:
        StartupError: typed by what the hub or the disk answered, naming the source.
    """
    progress.enter(StartupPhase.DOWNLOADING)
    hub_cache = cache_dir / "huggingface" / "hub"
    manifest = _Manifest(cache_dir / "manifests" / source.repo.replace("/", "--"))
    if COMMIT.fullmatch(source.revision) and (cached := manifest.complete(source.revision)):
        _LOG.info("%s is in the cache; the hub is not asked", source)
        return cached
    try:
        return _download(source, hub_cache, manifest, progress)
    except Exception as error:
        failure = classify(error)
        cached = manifest.complete(source.revision)
        if failure.reason is StartupFailure.MODEL_SOURCE_UNAVAILABLE and cached:
            _LOG.warning(
                "the hub does not answer (%s); %s starts from the cache at commit %s",
                failure.message, source, cached.commit,
            )  # fmt: skip
            return cached
        raise StartupError(failure.reason, f"{source}: {failure.message}") from error


def _download(
    source: HubSource, hub_cache: Path, manifest: "_Manifest", progress: Progress
) -> Snapshot:
    commit, files = _retried(lambda: _resolve(source))
    _drop_stale_parts(hub_cache, time.time())  # noqa: TID251  # compared with file times
    hub_cache.mkdir(parents=True, exist_ok=True)
    missing = [file for file in files if not _is_cached(source, commit, file, hub_cache)]
    _require_space(missing, hub_cache)
    _LOG.info(
        "downloading %s at commit %s: %d files, %s, of which %s are cached",
        source, commit, len(files), mib(_total(files)), mib(_total(files) - _total(missing)),
    )  # fmt: skip
    directory = _retried(lambda: _fetch_files(source, commit, files, hub_cache, progress))
    snapshot = Snapshot(directory, commit)
    manifest.write((source.revision, commit), snapshot, files)
    return snapshot


def _resolve(source: HubSource) -> tuple[str, tuple[HubFile, ...]]:
    """The commit that the revision names now, and the files to take from it."""
    from huggingface_hub import HfApi  # noqa: PLC0415

    info: Any = HfApi(endpoint=_endpoint(), library_name="llm-server").model_info(
        source.repo,
        revision=source.revision,
        files_metadata=True,
        timeout=_REQUEST_TIMEOUT_SECONDS,
    )
    listed = [HubFile(entry.rfilename, entry.size or 0) for entry in info.siblings or ()]
    return str(info.sha), needed_files(listed)


def _fetch_files(
    source: HubSource, commit: str, files: tuple[HubFile, ...], hub_cache: Path, progress: Progress
) -> Path:
    """One attempt at all files; those already there cost no request."""
    progress.expect(_total(files))
    bar = _byte_bar(progress)

    def fetch_one(file: HubFile) -> Path:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415

        if _is_cached(source, commit, file, hub_cache):
            progress.advance(file.size_bytes)
        path = hf_hub_download(
            source.repo,
            file.name,
            revision=commit,
            cache_dir=hub_cache,
            endpoint=_endpoint(),
            library_name="llm-server",
            tqdm_class=bar,
        )
        return Path(path)

    with ThreadPoolExecutor(_PARALLEL_FILES, thread_name_prefix="download") as pool:
        paths = list(pool.map(fetch_one, files))
    return paths[0].parent


def _endpoint() -> str | None:
    """The hub of the environment; None for the library's own default."""
    return os.environ.get("HF_ENDPOINT") or None


def _byte_bar(progress: Progress) -> type:
    """What ``huggingface_hub`` takes for a progress bar: it reports bytes to ``progress``."""

    class ByteBar:
        def __init__(
            self, *_: object, initial: int = 0, total: int | None = None, **__: object
        ) -> None:
            self.total = total
            progress.advance(initial)

        def update(self, byte_count: float | None = 1) -> None:
            progress.advance(int(byte_count or 0))

        def update_transfer(self, byte_count: float | None = 1) -> None:
            """Network bytes of a compressed transfer; progress counts bytes of files."""

        def set_postfix_str(self, *_: object, **__: object) -> None: ...

        def set_transfer_postfix_str(self, *_: object, **__: object) -> None: ...

        def refresh(self) -> None: ...

        def close(self) -> None: ...

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

    return ByteBar


def _retried(ask: Callable[[], _Answer]) -> _Answer:
    """Ask again while the hub may recover, for ``RETRY_SECONDS`` from its first failure."""
    give_up_at: float | None = None
    delay = _FIRST_DELAY_SECONDS
    while True:
        try:
            return ask()
        except Exception as error:
            now = time.monotonic()
            give_up_at = now + RETRY_SECONDS if give_up_at is None else give_up_at
            if not is_transient(error) or os.environ.get("HF_HUB_OFFLINE") or now >= give_up_at:
                raise
            _LOG.warning("the hub: %s; asking again in %g s", classify(error).message, delay)
        time.sleep(delay)
        delay = min(2 * delay, _LARGEST_DELAY_SECONDS)


def _is_cached(source: HubSource, commit: str, file: HubFile, hub_cache: Path) -> bool:
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415

    found = try_to_load_from_cache(source.repo, file.name, cache_dir=hub_cache, revision=commit)
    return isinstance(found, str) and _has_size(Path(found), file.size_bytes)


def _has_size(path: Path, size_bytes: int) -> bool:
    return path.is_file() and (size_bytes == 0 or path.stat().st_size == size_bytes)


def _require_space(missing: Iterable[HubFile], directory: Path) -> None:
    needed = _total(missing)
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise StartupError(
            StartupFailure.DISK_FULL,
            f"{mib(needed)} are to be downloaded and {directory} has {mib(free)} free; give "
            "model.cache more space",
        )


def _total(files: Iterable[HubFile]) -> int:
    return sum(file.size_bytes for file in files)


def _drop_stale_parts(hub_cache: Path, now: float) -> None:
    """Remove what killed downloads left: the library never continues another process's part."""
    for part in hub_cache.glob("models--*/blobs/*.incomplete"):
        try:
            if now - part.stat().st_mtime > _STALE_PART_SECONDS:
                part.unlink()
        except OSError as error:  # another process was faster, or the cache is read-only
            _LOG.debug("stale part %s: %s", part, error)


class _Manifest:
    """What finished downloads of one repository are made of, one file per revision."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, revisions: Iterable[str], snapshot: Snapshot, files: Iterable[HubFile]) -> None:
        """Record a finished download under each name that it answers to."""
        sizes = {file.name: file.size_bytes for file in files}
        body = {"commit": snapshot.commit, "directory": str(snapshot.directory), "files": sizes}
        self._directory.mkdir(parents=True, exist_ok=True)
        for revision in set(revisions):
            target = self._path(revision)
            part = target.with_name(f"{target.name}.{os.getpid()}.part")
            part.write_text(json.dumps(body))
            part.replace(target)

    def complete(self, revision: str) -> Snapshot | None:
        """The snapshot that was downloaded for ``revision``, if every file of it is there."""
        try:
            body = json.loads(self._path(revision).read_bytes())
            snapshot = Snapshot(Path(body["directory"]), body["commit"])
            sizes = dict(body["files"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        whole = all(_has_size(snapshot.directory / name, size) for name, size in sizes.items())
        return snapshot if whole else None

    def _path(self, revision: str) -> Path:
        return self._directory / f"{quote(revision, safe='')}.json"
