"""What a model directory holds, found without reading a weight.

Not a loader: it reads ``config.json`` and the headers of the safetensors files, and refuses
what would be unsafe or wrong to load. Called by ``loading`` before torch is imported.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_server.contract import StartupFailure
from llm_server.models.failures import StartupError

WEIGHTS_FILE = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_CONFIG_LIMIT_BYTES = 16 * 1024 * 1024
_DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A directory that may be loaded."""

    directory: Path
    config: Mapping[str, Any]
    parameter_count: int
    largest_tensor_parameters: int

    def weight_bytes(self, bytes_per_parameter: int) -> int:
        """Memory of all weights at that size."""
        return self.parameter_count * bytes_per_parameter

    def loading_bytes(self, bytes_per_parameter: int) -> int:
        """Memory at the worst moment of loading: all weights and one tensor being converted."""
        return self.weight_bytes(bytes_per_parameter) + 4 * self.largest_tensor_parameters


def inspect(directory: Path) -> Checkpoint:
    """Read what ``directory`` holds.

    Raises:
        StartupError: ``ModelNotFound`` if there is no model, ``ModelUnsupported`` for pickled
            or quantized weights and for files that are not what their name says.
    """
    config = _read_config(directory)
    if quantization := config.get("quantization_config"):
        method = (
            quantization.get("quant_method", "unknown") if isinstance(quantization, dict) else ""
        )
        raise _unsupported(
            directory, f"its weights are quantized ({method}); take the full weights"
        )
    sizes = [size for file in weight_files(directory) for size in _tensor_sizes(file)]
    return Checkpoint(directory, config, sum(sizes), max(sizes, default=0))


def weight_files(directory: Path) -> tuple[Path, ...]:
    """The safetensors files of a directory, in order.

    Raises:
        StartupError: ``ModelUnsupported`` if only pickled weights are there (loading a pickle
            runs code of whoever made it), ``ModelNotFound`` if a file is missing.
    """
    index = directory / WEIGHTS_INDEX
    if index.is_file():
        names = _sharded_names(directory, read_json(index))
    elif (directory / WEIGHTS_FILE).is_file():
        names = (WEIGHTS_FILE,)
    else:
        raise _no_weights(directory)
    for name in names:
        if not (directory / name).is_file():
            raise _not_found(directory, f"{WEIGHTS_INDEX} names {name}, which is missing")
    return tuple(directory / name for name in names)


def _sharded_names(directory: Path, index: Any) -> tuple[str, ...]:
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise _unsupported(directory, f"{WEIGHTS_INDEX} has no weight_map")
    names = sorted(set(weight_map.values()))
    for name in names:
        if not isinstance(name, str) or "/" in name or not name.endswith(".safetensors"):
            raise _unsupported(directory, f"{WEIGHTS_INDEX} names {name!r}, not a safetensors file")
    return tuple(names)


def _no_weights(directory: Path) -> StartupError:
    pickled = sorted(p.name for p in directory.iterdir() if p.suffix in PICKLE_SUFFIXES)
    if pickled:
        return _unsupported(
            directory,
            f"its weights are pickled ({pickled[0]}), and loading a pickle runs code of whoever "
            "made it; convert them to safetensors",
        )
    return _not_found(directory, f"it has neither {WEIGHTS_FILE} nor {WEIGHTS_INDEX}")


def _read_config(directory: Path) -> Mapping[str, Any]:
    if not directory.is_dir():
        raise StartupError(StartupFailure.MODEL_NOT_FOUND, f"{directory} is not a directory")
    file = directory / "config.json"
    if not file.is_file():
        raise _not_found(directory, "it has no config.json")
    config = read_json(file)
    if not isinstance(config, dict):
        raise _unsupported(directory, "config.json is not a JSON object")
    return config


def read_json(file: Path) -> Any:
    """Return what a small file of a model holds.

    Raises:
        StartupError: ``ModelUnsupported`` if it is large or no JSON.
    """
    if file.stat().st_size > _CONFIG_LIMIT_BYTES:
        raise _unsupported(file.parent, f"{file.name} is over {_CONFIG_LIMIT_BYTES} bytes")
    try:
        return json.loads(file.read_bytes())
    except ValueError as error:
        raise _unsupported(file.parent, f"{file.name} is not valid JSON: {error}") from error


def _tensor_sizes(file: Path) -> list[int]:
    """Parameters per tensor, from the header alone."""
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415  # loaded with the model only

    sizes = []
    try:
        with safe_open(file, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118  # not a mapping: it has no iterator
                tensor = tensors.get_slice(name)
                if tensor.get_dtype() not in _DTYPE_BYTES:
                    continue
                sizes.append(math.prod(tensor.get_shape()))
    except SafetensorError as error:
        raise _unsupported(
            file.parent, f"{file.name} is not a safetensors file: {error}"
        ) from error
    return sizes


def _unsupported(directory: Path, why: str) -> StartupError:
    return StartupError(StartupFailure.MODEL_UNSUPPORTED, f"the model in {directory}: {why}")


def _not_found(directory: Path, why: str) -> StartupError:
    return StartupError(
        StartupFailure.MODEL_NOT_FOUND, f"{directory} is not a Hugging Face model directory: {why}"
    )
