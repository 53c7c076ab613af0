import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from llm_server.contract import StartupFailure
from llm_server.models.checkpoint import inspect, weight_files
from llm_server.models.failures import StartupError


def model(directory: Path, **config: object) -> Path:
    """A directory with that config.json."""
    (directory / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    return directory


def refusal(directory: Path) -> StartupError:
    """What inspecting the directory raises."""
    with pytest.raises(StartupError) as refused:
        inspect(directory)
    return refused.value


def test_parameters_are_counted_from_the_headers(tmp_path: Path) -> None:
    """The memory that a model needs is known before a weight is read."""
    save_file(
        {"a": np.zeros((10, 20), np.float16), "b": np.zeros(5, np.float32)},
        model(tmp_path) / "model.safetensors",
    )
    found = inspect(tmp_path)
    assert (found.parameter_count, found.largest_tensor_parameters) == (205, 200)
    assert found.weight_bytes(4) == 820


def test_shards_are_what_the_index_names(tmp_path: Path) -> None:
    """Of several safetensors files only those in the index are the model."""
    for name in ("model-00001-of-00002", "model-00002-of-00002", "other"):
        save_file({name: np.zeros(3, np.float32)}, tmp_path / f"{name}.safetensors")
    index = {"weight_map": {f"t{i}": f"model-0000{i}-of-00002.safetensors" for i in (1, 2)}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert inspect(model(tmp_path)).parameter_count == 6
    assert [file.name for file in weight_files(tmp_path)] == sorted(index["weight_map"].values())


@pytest.mark.parametrize("name", ["../../etc/passwd", "pytorch_model.bin", 7])
def test_an_index_cannot_name_other_files(tmp_path: Path, name: object) -> None:
    """An index that points outside the directory or to another format is refused."""
    index = {"weight_map": {"t": name}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert refusal(model(tmp_path)).reason is StartupFailure.MODEL_UNSUPPORTED


def test_pickled_weights_are_refused_with_the_reason(tmp_path: Path) -> None:
    """A pickle runs code when it is loaded, so it never is."""
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    error = refusal(model(tmp_path))
    assert error.reason is StartupFailure.MODEL_UNSUPPORTED
    assert "pickled (pytorch_model.bin)" in error.message
    assert "safetensors" in error.message


def test_quantized_weights_are_refused_by_method(tmp_path: Path) -> None:
    """Only full weights are served; the message names the method found."""
    error = refusal(model(tmp_path, quantization_config={"quant_method": "gptq"}))
    assert error.reason is StartupFailure.MODEL_UNSUPPORTED
    assert "gptq" in error.message


@pytest.mark.parametrize("content", ["{", "[]", '{"a": '])
def test_a_broken_config_is_named(tmp_path: Path, content: str) -> None:
    """A config.json that is no JSON object is refused by name."""
    (tmp_path / "config.json").write_text(content)
    assert "config.json" in refusal(tmp_path).message


def test_a_file_that_is_no_safetensors_is_named(tmp_path: Path) -> None:
    """A truncated or foreign file under the right name is refused, not half loaded."""
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 100)
    error = refusal(model(tmp_path))
    assert error.reason is StartupFailure.MODEL_UNSUPPORTED
    assert "model.safetensors" in error.message


def test_a_directory_without_a_model_is_not_found(tmp_path: Path) -> None:
    """No directory, no config and no weights are all ModelNotFound, with what is missing."""
    assert refusal(tmp_path / "absent").reason is StartupFailure.MODEL_NOT_FOUND
    assert "config.json" in refusal(tmp_path).message
    assert refusal(model(tmp_path)).reason is StartupFailure.MODEL_NOT_FOUND
