"""A tiny model on disk and a small Hub that serves it, for the tests of this folder."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.hub.repositories import Repositories, Repository
from e2e.hub.server import HubServer
from llm_server.models import builtin, environment

LARGE_CONTENT = b"".join(number.to_bytes(8, "big") for number in range(24 << 17))
"""24 MiB: the client gives up at most the 10 MiB that it has in hand when it is cut off."""

TOKEN = "hf_righttokenrighttoken"


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``builtin://tiny``, made once."""
    return builtin.make("tiny", tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def library_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries' own files go where the tests' do, and no token of a user is sent."""
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    prepared = dict(os.environ)
    environment.prepare(tmp_path_factory.getbasetemp() / "home", prepared)
    for name, value in prepared.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def hub(
    tiny_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HubServer]:
    """A Hub with one repository per case: public, private, and one of pickles."""
    pickled = tmp_path / "hub" / "pickled"
    pickled.mkdir(parents=True)
    (pickled / "config.json").write_text("{}")
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04")
    large = tmp_path / "hub" / "large"
    large.mkdir()
    (large / "config.json").write_text("{}")
    (large / "model.safetensors").write_bytes(LARGE_CONTENT)
    repositories = Repositories(
        {
            "demo/tiny": Repository(
                {"main": tiny_directory, "v1": older(tiny_directory, tmp_path)}
            ),
            "demo/private": Repository({"main": tiny_directory}, token=TOKEN),
            "demo/large": Repository({"main": large}),
            "demo/pickled": Repository({"main": pickled}),
        }
    )
    with HubServer(("127.0.0.1", 0), repositories) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        close_kept_connections()
        server.shutdown()
        thread.join()


def close_kept_connections() -> None:
    """The client keeps connections; the next Hub at this address must not be taken for this one."""
    from huggingface_hub import close_session  # noqa: PLC0415

    close_session()


def older(directory: Path, tmp_path: Path) -> Path:
    """The same model with another chat template."""
    copy = tmp_path / "hub" / "v1"
    copy.mkdir(parents=True)
    for file in directory.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    return copy
