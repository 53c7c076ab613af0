import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from e2e.hub.repositories import Fault
from e2e.hub.server import HubServer
from llm_server.contract import StartupFailure, StartupPhase
from llm_server.models import download
from llm_server.models.download import Snapshot, fetch
from llm_server.models.failures import StartupError
from llm_server.models.memory import MIB
from llm_server.models.progress import Progress
from llm_server.models.source import HubSource

TINY = HubSource("demo/tiny")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up on a hub after one second instead of ten."""
    monkeypatch.setattr(download, "RETRY_SECONDS", 1.0)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache directory that does not exist yet."""
    return tmp_path / "cache"


def refusal(source: HubSource, cache: Path) -> StartupError:
    """What fetching ``source`` raises."""
    with pytest.raises(StartupError) as refused:
        fetch(source, cache, Progress())
    return refused.value


def file_requests(hub: HubServer) -> list[str]:
    """The paths whose content was asked for, without the look-ups before."""
    return [seen.path for seen in hub.seen if seen.method == "GET" and "/resolve/" in seen.path]


def test_a_download_is_the_repository_at_its_commit(
    hub: HubServer, cache: Path, tiny_directory: Path
) -> None:
    """Every needed file arrives byte for byte, under the commit that the branch named."""
    snapshot = fetch(TINY, cache, Progress())
    repository = hub.repositories.get("demo/tiny")
    assert repository is not None
    commit = hub.repositories.commit(repository, "main")
    assert commit is not None
    assert snapshot.commit == commit.sha
    arrived = {path.name: path.read_bytes() for path in snapshot.directory.iterdir()}
    assert arrived == {path.name: path.read_bytes() for path in tiny_directory.iterdir()}


def test_progress_counts_every_byte(hub: HubServer, cache: Path, tiny_directory: Path) -> None:
    """The total is known from the start, and at the end all of it has arrived."""
    progress = Progress()
    fetch(TINY, cache, progress)
    snapshot = progress.snapshot()
    size = sum(path.stat().st_size for path in tiny_directory.iterdir())
    assert snapshot.phase is StartupPhase.DOWNLOADING
    assert (snapshot.bytes_done, snapshot.bytes_total) == (size, size)


def test_the_revision_is_honoured(hub: HubServer, cache: Path) -> None:
    """A tag and a branch of one repository are two snapshots with their own content."""
    main = fetch(TINY, cache, Progress())
    v1 = fetch(replace(TINY, revision="v1"), cache, Progress())
    assert main.commit != v1.commit
    template = (v1.directory / "chat_template.jinja").read_text()
    assert template == "{{ messages[0]['content'] }}"
    assert (main.directory / "chat_template.jinja").read_text() != template


def test_a_commit_in_the_cache_needs_no_hub(hub: HubServer, cache: Path) -> None:
    """A commit cannot change, so a finished download of it is used without one request."""
    first = fetch(TINY, cache, Progress())
    hub.seen.clear()
    assert fetch(replace(TINY, revision=first.commit), cache, Progress()) == first
    assert not hub.seen


def test_a_branch_is_asked_for_again_and_costs_no_file(hub: HubServer, cache: Path) -> None:
    """A restart looks where the branch is now and downloads nothing that it has."""
    first = fetch(TINY, cache, Progress())
    hub.seen.clear()
    progress = Progress()
    assert fetch(TINY, cache, progress) == first
    assert [seen.path for seen in hub.seen if "/resolve/" in seen.path] == []
    assert progress.snapshot().bytes_done == progress.snapshot().bytes_total


def test_a_cached_branch_starts_while_the_hub_is_down(
    hub: HubServer, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A hub that fails does not stop a model that is there; the log says what was done."""
    first = fetch(TINY, cache, Progress())
    hub.repositories.set_fault("demo/tiny", Fault(status=503))
    assert fetch(TINY, cache, Progress()) == first
    assert "starts from the cache" in caplog.text


def test_a_damaged_snapshot_is_not_used_offline(hub: HubServer, cache: Path) -> None:
    """A snapshot with a file missing or cut is not mistaken for a whole one."""
    first = fetch(TINY, cache, Progress())
    weights = (first.directory / "model.safetensors").resolve()
    weights.write_bytes(weights.read_bytes()[:-1])
    hub.repositories.set_fault("demo/tiny", Fault(status=503))
    pinned = replace(TINY, revision=first.commit)
    assert refusal(pinned, cache).reason is StartupFailure.MODEL_SOURCE_UNAVAILABLE


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_failing_hub_is_asked_again_and_then_named(
    hub: HubServer, cache: Path, status: int
) -> None:
    """5xx and 429 are retried within a bound, then the start fails with what the hub said."""
    hub.repositories.set_fault("demo/tiny", Fault(status=status))
    started = time.monotonic()
    error = refusal(TINY, cache)
    assert error.reason is StartupFailure.MODEL_SOURCE_UNAVAILABLE
    assert f"answered {status}" in error.message
    assert len(hub.seen) >= 2
    assert time.monotonic() - started < 5


def test_a_hub_that_recovers_is_used(
    hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short outage delays a start and does not fail it."""

    def mend(_: float) -> None:
        hub.repositories.set_fault("demo/tiny", None)

    monkeypatch.setattr(time, "sleep", mend)
    hub.repositories.set_fault("demo/tiny", Fault(status=503))
    assert isinstance(fetch(TINY, cache, Progress()), Snapshot)


def test_no_hub_at_all_is_unavailable(
    hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused connection is the same reason as a failing hub."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody listens
    assert refusal(TINY, cache).reason is StartupFailure.MODEL_SOURCE_UNAVAILABLE


def test_a_private_repository_needs_the_token(
    hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """401 is ModelUnauthorized, said at once and with the field to set; HF_TOKEN opens."""
    private = HubSource("demo/private")
    error = refusal(private, cache)
    assert error.reason is StartupFailure.MODEL_UNAUTHORIZED
    assert "credentialsSecretRef" in error.message
    assert len(hub.seen) == 1
    monkeypatch.setenv("HF_TOKEN", "hf_wrongtokenwrongtoken")
    wrong = refusal(private, cache)
    assert wrong.reason is StartupFailure.MODEL_UNAUTHORIZED
    assert "hf_wrong" not in wrong.message
    monkeypatch.setenv("HF_TOKEN", "hf_righttokenrighttoken")
    assert fetch(private, cache, Progress()).directory.is_dir()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (HubSource("demo/absent"), "RepoNotFound"),
        (replace(TINY, revision="v9"), "RevisionNotFound"),
    ],
)
def test_what_is_not_there_is_not_found(
    hub: HubServer, cache: Path, source: HubSource, said: str
) -> None:
    """An unknown repository and an unknown revision are told apart, at once."""
    error = refusal(source, cache)
    assert error.reason is StartupFailure.MODEL_NOT_FOUND
    assert said in error.message
    assert str(source) in error.message


def test_a_repository_of_pickles_is_refused_before_a_download(hub: HubServer, cache: Path) -> None:
    """Weights that would run code are not even fetched."""
    error = refusal(HubSource("demo/pickled"), cache)
    assert error.reason is StartupFailure.MODEL_UNSUPPORTED
    assert "pickled" in error.message
    assert file_requests(hub) == []


def test_a_cut_connection_is_resumed_where_it_was_cut(
    hub: HubServer, cache: Path, tmp_path: Path
) -> None:
    """After a cut only the rest is asked for, and progress ends at the whole."""
    large = HubSource("demo/large")
    hub.repositories.set_fault(large.repo, Fault(cut_after_bytes=15 * MIB))
    progress = Progress()
    snapshot = fetch(large, cache, progress)
    assert [seen.range_header for seen in hub.seen if seen.range_header] == [f"bytes={10 * MIB}-"]
    served = (tmp_path / "hub" / "large" / "model.safetensors").read_bytes()
    assert (snapshot.directory / "model.safetensors").read_bytes() == served
    assert progress.snapshot().bytes_done == progress.snapshot().bytes_total


def test_files_that_arrived_before_an_interruption_are_kept(hub: HubServer, cache: Path) -> None:
    """A download that was ended goes on with the files that are missing."""
    first = fetch(TINY, cache, Progress())
    weights = first.directory / "model.safetensors"
    weights.resolve().unlink()
    weights.unlink()
    hub.seen.clear()
    fetch(TINY, cache, Progress())
    assert [path.rsplit("/", 1)[1] for path in file_requests(hub)] == ["model.safetensors"]


def test_parts_that_a_killed_download_left_are_removed(hub: HubServer, cache: Path) -> None:
    """A crash loop does not fill the disk: parts untouched for an hour go, younger ones stay."""
    blobs = cache / "huggingface" / "hub" / "models--demo--tiny" / "blobs"
    blobs.mkdir(parents=True)
    for name, age_seconds in (("old.1234.incomplete", 7200), ("new.1234.incomplete", 60)):
        (blobs / name).write_bytes(b"part")
        then = (blobs / name).stat().st_mtime - age_seconds
        os.utime(blobs / name, (then, then))
    fetch(TINY, cache, Progress())
    assert sorted(path.name for path in blobs.glob("*.incomplete")) == ["new.1234.incomplete"]


def test_a_disk_without_room_is_named_before_the_download(
    hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DiskFull says what is needed and what is free, and nothing was fetched."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    error = refusal(TINY, cache)
    assert error.reason is StartupFailure.DISK_FULL
    assert "0 MiB free" in error.message
    assert file_requests(hub) == []


def test_a_cache_path_that_is_a_file_is_refused(hub: HubServer, tmp_path: Path) -> None:
    """A cache that cannot be written is a setting to change, named with its path."""
    (tmp_path / "cache").write_text("")
    error = refusal(TINY, tmp_path / "cache")
    assert error.reason is StartupFailure.INVALID_SETTINGS
    assert str(tmp_path / "cache") in error.message
