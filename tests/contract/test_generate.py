"""What ``make crds`` writes and ``make check`` compares."""

from pathlib import Path

import pytest

from llm_operator.api.generate import generated_files, main


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the root of a repository that has nothing generated yet."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_check_passes_for_what_was_just_written(root: Path) -> None:
    """And what was written is all of it."""
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert all((root / name).read_text() == text for name, text in generated_files().items())


@pytest.mark.parametrize("name", generated_files())
def test_the_check_names_a_stale_file_and_leaves_it(
    root: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An edited or a missing file fails the check; only `make crds` writes it."""
    main([])
    (root / name).write_text("edited")

    assert main(["--check"]) == 1
    assert capsys.readouterr().err == f"{root / name} is stale; run `make crds`\n"
    assert (root / name).read_text() == "edited"

    (root / name).unlink()
    assert main(["--check"]) == 1
    assert not (root / name).exists()


def test_nothing_is_written_outside_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without pyproject.toml is left alone."""
    monkeypatch.chdir(tmp_path)

    assert main([]) == 2
    assert list(tmp_path.iterdir()) == []
