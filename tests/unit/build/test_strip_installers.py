from pathlib import Path

from build.strip_installers import installer_paths, remove


def a_file(path: Path) -> Path:
    """Make a file and the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_installers_go_and_the_rest_stays(tmp_path: Path) -> None:
    """pip, setuptools, ensurepip, their programs and bundled wheels; nothing of a similar name."""
    library, programs, wheels = (tmp_path / name for name in ("lib", "bin", "wheels"))
    for name in ("pip", "setuptools", "ensurepip", "pip-23.0.dist-info"):
        a_file(library / name / "x.py")
    for name in ("pip", "pip3", "pip3.11"):
        a_file(programs / name)
    a_file(wheels / "pip-23.0.1-py3-none-any.whl")
    kept = {
        a_file(library / "pipes.py"),
        a_file(library / "json" / "x.py"),
        a_file(programs / "python3"),
        a_file(programs / "pipesz"),
    }

    remove(installer_paths([library], programs, wheels))

    assert {path for path in tmp_path.rglob("*") if path.is_file()} == kept


def test_a_link_is_removed_and_not_what_it_points_to(tmp_path: Path) -> None:
    """Distributions link programs and packages; the target may belong to something else."""
    target = a_file(tmp_path / "shared" / "x.py").parent
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "setuptools").symlink_to(target)

    remove(installer_paths([tmp_path / "lib"], tmp_path / "bin", tmp_path / "wheels"))

    assert not (tmp_path / "lib" / "setuptools").is_symlink()
    assert (target / "x.py").exists()


def test_nothing_to_remove_is_no_error(tmp_path: Path) -> None:
    """A base without installers is fine."""
    assert remove(installer_paths([tmp_path / "none"], tmp_path, tmp_path)) == []
