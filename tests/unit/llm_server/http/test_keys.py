from pathlib import Path

from llm_server.http.keys import KeyRing
from tests.server_builders import Clock


def mount(directory: Path, generation: str, keys: dict[str, str]) -> None:
    """Write keys as the kubelet does: into a new directory, then move the link ``..data``."""
    target = directory / f"..{generation}"
    target.mkdir()
    for name, key in keys.items():
        (target / name).write_text(key)
    link = directory / "..data_tmp"
    link.symlink_to(target.name)
    link.rename(directory / "..data")
    for stale in directory.iterdir():
        if not stale.name.startswith("..") and stale.name not in keys:
            stale.unlink()
    for name in keys:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(Path("..data") / name)


def test_every_file_holds_one_key(tmp_path: Path) -> None:
    """Each value of a mounted Secret is a key; white space around it is not part of it."""
    mount(tmp_path, "1", {"alice": "key-a\n", "bob": "key-b"})
    ring = KeyRing(tmp_path, Clock())

    assert [ring.admits(key) for key in (b"key-a", b"key-b", b"key-c", b"", b"alice")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_changed_keys_are_read_again(tmp_path: Path) -> None:
    """A changed Secret takes effect within a second: the new key opens, the old one does not."""
    clock = Clock()
    mount(tmp_path, "1", {"alice": "old"})
    ring = KeyRing(tmp_path, clock)
    mount(tmp_path, "2", {"alice": "new"})
    clock.now = 1.1

    assert (ring.admits(b"new"), ring.admits(b"old")) == (True, False)


def test_no_key_opens_nothing(tmp_path: Path) -> None:
    """An empty or missing directory lets nobody in; an empty file is not a key."""
    (tmp_path / "empty").write_text("\n")

    assert not KeyRing(tmp_path, Clock()).admits(b"")
    assert not KeyRing(tmp_path / "missing", Clock()).admits(b"x")
