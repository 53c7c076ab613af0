import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from llm_server.contract import StartupFailure
from llm_server.models import builtin, smollm2
from llm_server.models.failures import StartupError

pytestmark = pytest.mark.torch


def contents(directory: Path) -> dict[str, bytes]:
    """Every file of a directory."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_tiny_model_is_the_same_everywhere(tiny_directory: Path, tmp_path: Path) -> None:
    """Two builds have the same bytes, in a few hundred kilobytes that any user may read."""
    again = builtin.make("tiny", tmp_path / "tiny")
    assert contents(again) == contents(tiny_directory)
    assert sum(len(content) for content in contents(again).values()) < 600_000
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in again.iterdir())


def test_the_image_comes_before_the_cache(tiny_directory: Path, tmp_path: Path) -> None:
    """A model that ships with the image is used; one that does not is made once."""
    assert builtin.find("tiny", tiny_directory.parent, tmp_path) == tiny_directory
    made = builtin.find("tiny", tmp_path / "nowhere", tmp_path)
    assert made == tmp_path / "builtin" / "tiny"
    first = (made / "model.safetensors").stat().st_mtime_ns
    assert builtin.find("tiny", tmp_path / "nowhere", tmp_path) == made
    assert (made / "model.safetensors").stat().st_mtime_ns == first


def test_who_comes_second_takes_what_is_there(tiny_directory: Path, tmp_path: Path) -> None:
    """Two processes that make a model at once end with one whole model and no remains."""
    builtin.make("tiny", tmp_path / "tiny")
    assert builtin.make("tiny", tmp_path / "tiny") == tmp_path / "tiny"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers never see half a model."""
    monkeypatch.setattr(smollm2, "PACKAGE", "no_such_package")
    with pytest.raises(StartupError):
        builtin.make("smollm2-135m-instruct", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_embedded_model_says_what_it_would_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the image and without its package the error names both."""
    monkeypatch.setattr(smollm2, "PACKAGE", "no_such_package")
    with pytest.raises(StartupError) as refused:
        builtin.find("smollm2-135m-instruct", tmp_path / "image", tmp_path)
    assert refused.value.reason is StartupFailure.MODEL_NOT_FOUND
    assert "no_such_package" in refused.value.message
    assert str(tmp_path / "image") in refused.value.message


def test_the_simulated_model_has_no_weights(tmp_path: Path) -> None:
    """builtin://simulated is not something to load."""
    with pytest.raises(StartupError, match="no weights"):
        builtin.find("simulated", tmp_path, tmp_path)


def test_the_image_build_writes_a_model_and_refuses_to_overwrite(tmp_path: Path) -> None:
    """The command of the image build makes a directory, or says why it does not."""
    command = [
        sys.executable,
        "-m",
        "llm_server.models.build",
        "tiny",
        "--out",
        str(tmp_path / "t"),
    ]
    built = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert built.returncode == 0, built.stderr
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(contents(tmp_path / "t"))
    again = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert again.returncode == 1
    assert "exists" in again.stderr


def test_the_package_of_the_embedded_model_is_installed_for_development() -> None:
    """``llm-server serve`` alone works from the development environment."""
    assert importlib.util.find_spec(smollm2.PACKAGE) is not None
    assert importlib.util.find_spec("gguf") is not None
