import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import _pydantic_core

from build import prune_cuda
from build.prune_cuda import Library, dead_weight, delete, reachable, read_library
from tests.unit.build.elf import write_library

NAMES = st.sampled_from([f"lib{letter}.so" for letter in "abcdefgh"])
GRAPHS = st.dictionaries(NAMES, st.frozensets(NAMES))


def library(name: str, *needed: str) -> Library:
    """Return a library in memory whose file bears its name."""
    return Library(Path("/lib") / name, name, frozenset(needed))


def names(paths: frozenset[Path]) -> set[str]:
    """Return the files' names."""
    return {path.name for path in paths}


@pytest.fixture
def site_packages(tmp_path: Path) -> Path:
    """An installation like torch's: what import opens, what a GPU opens later, and the rest."""
    write_library(tmp_path / "torch/_C.cpython-311-x86_64-linux-gnu.so", ["libtorch_python.so"])
    write_library(tmp_path / "torch/lib/libtorch_global_deps.so", ["libcudart.so.13"])
    write_library(tmp_path / "torch/bin/torch_shm_manager", ["libc.so.6"])
    write_library(tmp_path / "torch/lib/libtorch_python.so", ["libtorch_cuda.so"])
    write_library(tmp_path / "torch/lib/libtorch_cuda.so", ["libcublas.so.13"])
    write_library(tmp_path / "torch/lib/libtorch_cuda_linalg.so", ["libcusolver.so.12"])
    write_library(tmp_path / "torch/lib/libgfortran.so.5", ["libm.so.6"])
    write_library(tmp_path / "nvidia/cu13/lib/libcudart.so.13", soname="libcudart.so.13")
    write_library(tmp_path / "nvidia/cu13/lib/libcublas.so.13", ["libcublasLt.so.13"])
    write_library(tmp_path / "nvidia/cu13/lib/libcublasLt.so.13")
    write_library(tmp_path / "nvidia/cu13/lib/libcusolver.so.12")
    write_library(tmp_path / "nvidia/cudnn/lib/libcudnn_engines.so.9")
    for text in (
        "torch/__init__.py",
        "torch/include/ATen/ATen.h",
        "torch/bin/protoc",
        "nvidia/cu13/include/cuda.h",
        "numpy/__init__.py",
    ):
        file = tmp_path / text
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("text")
    return tmp_path


def test_a_real_library_is_read() -> None:
    """What a linker wrote is read like what is written here."""
    found = read_library(Path(_pydantic_core.__file__))

    assert found is not None
    assert "libc.so.6" in found.needed


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Name and needed names of a shared object come from its dynamic section."""
    path = write_library(tmp_path / "libx.so.1.2", ["liby.so", "libz.so"], "libx.so.1")

    assert read_library(path) == Library(path, "libx.so.1", frozenset({"liby.so", "libz.so"}))


def test_a_file_that_is_no_library_has_no_needs(tmp_path: Path) -> None:
    """Text, and an empty file, are none."""
    (tmp_path / "text").write_text("ELF? no")
    (tmp_path / "empty").write_bytes(b"")

    assert read_library(tmp_path / "text") is None
    assert read_library(tmp_path / "empty") is None


def test_a_link_is_followed_by_file_name_too(tmp_path: Path) -> None:
    """The loader finds a library by its file name; its own name may differ."""
    versioned = Library(tmp_path / "libx.so.1", "libx.so.1.2.3", frozenset())

    assert reachable([library("root.so", "libx.so.1")], [versioned]) == {versioned.path}


@given(graph=GRAPHS, roots=st.frozensets(NAMES))
def test_reachable_is_the_transitive_closure(
    graph: dict[str, frozenset[str]], roots: frozenset[str]
) -> None:
    """Kept: exactly the known libraries on a path of needs from the roots; cycles end."""
    wanted = roots & graph.keys()
    while True:
        grown = wanted | {need for name in wanted for need in graph[name] if need in graph}
        if grown == wanted:
            break
        wanted = grown
    candidates = [library(name, *needs) for name, needs in graph.items()]

    assert names(reachable([library("root.so", *roots)], candidates)) == wanted


def test_only_what_import_torch_opens_is_kept(site_packages: Path) -> None:
    """The needs of torch's entry points stay; the rest of CUDA and what compiles go."""
    assert names(dead_weight(site_packages)) == {
        "libtorch_cuda_linalg.so",
        "libcusolver.so.12",
        "libcudnn_engines.so.9",
        "cuda.h",
        "ATen.h",
        "protoc",
    }


def test_nothing_is_removed_where_torch_is_not_found(site_packages: Path) -> None:
    """A layout that is not understood fails the build: an empty list of needs would take all."""
    for path in (site_packages / "torch").rglob("*"):
        if path.name.startswith(("_C.", "libtorch_global_deps", "torch_shm")):
            path.unlink()

    with pytest.raises(FileNotFoundError, match="torch/_C"):
        dead_weight(site_packages)


def test_no_empty_directory_stays(
    site_packages: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python takes an empty directory for a package, and libraries ask what is installed."""
    monkeypatch.setattr(sys, "argv", ["prune_cuda.py", str(site_packages)])

    prune_cuda.main()

    assert {path.name for path in site_packages.iterdir()} == {"torch", "nvidia", "numpy"}
    assert {path.name for path in (site_packages / "nvidia").iterdir()} == {"cu13"}
    assert not (site_packages / "torch/include").exists()
    assert "MB removed" in capsys.readouterr().out


def test_a_second_run_finds_nothing_left(site_packages: Path) -> None:
    """Pruning is complete in one pass."""
    delete(dead_weight(site_packages), site_packages)

    assert dead_weight(site_packages) == frozenset()


def test_the_bytes_that_were_freed_are_counted(site_packages: Path) -> None:
    """The build's log says what the step was worth."""
    doomed = dead_weight(site_packages)
    size = sum(path.stat().st_size for path in doomed)

    assert delete(doomed, site_packages) == size > 0
