"""From a source to a model that can run: the one place that calls ``from_pretrained``.

Downloads or finds the directory, looks before it loads (memory, device, architecture), loads
safetensors without running any code of the model's author, and says what was loaded. Blocking;
the server calls it from a thread of its own.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from llm_server.contract import Device, Dtype, StartupFailure, StartupPhase
from llm_server.models import (
    architecture,
    builtin,
    checkpoint,
    download,
    generation_config,
    memory,
    precision,
)
from llm_server.models.checkpoint import Checkpoint
from llm_server.models.failures import StartupError, classify
from llm_server.models.generation_config import GenerationConfig, SamplingDefaults
from llm_server.models.hf_tokenizer import load_tokenizer
from llm_server.models.progress import Progress
from llm_server.models.source import BuiltinSource, FileSource, HubSource, ModelSource
from llm_server.models.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger(__name__)

RUNTIME_BYTES: Final = 400 * memory.MIB
"""What torch and transformers take once imported, beside file-mapped pages (405 MiB measured)."""

_SMALLEST_PARAMETER_BYTES: Final = 2
_PARAMETER_BYTES: Final = {Dtype.FLOAT32: 4, Dtype.FLOAT16: 2, Dtype.BFLOAT16: 2}


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What the settings say; ``max_model_len`` in tokens, None for the model's own."""

    dtype: Dtype
    device: Device
    max_model_len: int | None
    cache_dir: Path
    builtin_models_dir: Path


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in evaluation mode on its device, and all that generation needs to know of it.

    ``dtype`` is never ``AUTO``; ``device`` is torch's name; ``revision`` is the commit of an
    ``hf://`` source; ``weight_bytes`` is what the weights take on the device.
    """

    model: Any
    tokenizer: Tokenizer
    max_model_len: int
    eos_token_ids: frozenset[int]
    sampling: SamplingDefaults
    dtype: Dtype
    device: str
    revision: str | None
    weight_bytes: int


def load(source: ModelSource, options: LoadOptions, progress: Progress) -> LoadedModel:
    """Fetch and load ``source``.

    Raises:
        StartupError: whatever went wrong, typed; no other exception leaves this function.
    """
    try:
        directory, revision = _directory(source, options, progress)
        progress.enter(StartupPhase.LOADING)
        return load_directory(directory, revision, options)
    except Exception as error:
        typed = classify(error)
        if typed is error:
            raise
        raise typed from error


def load_directory(directory: Path, revision: str | None, options: LoadOptions) -> LoadedModel:
    """Load a Hugging Face model directory; raises what the libraries raise."""
    found = checkpoint.inspect(directory)
    smallest = found.loading_bytes(_SMALLEST_PARAMETER_BYTES)
    memory.require(RUNTIME_BYTES + smallest, _what(found), memory.available_memory())
    config = architecture.read_config(directory)
    max_model_len = architecture.max_model_len(config, options.max_model_len)
    generation = generation_config.read(directory)
    _tell(generation)
    device = _device(options.device)
    dtype = _dtype(options.dtype, device, config)
    _require_memory(found, dtype, device)
    tokenizer = load_tokenizer(directory)
    model = _load_weights(directory, config, dtype).to(device)
    weight_bytes = sum(p.numel() * p.element_size() for p in model.parameters())
    _LOG.info("loaded %s as %s on %s: %s", directory, dtype, device, memory.mib(weight_bytes))
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        max_model_len=max_model_len,
        eos_token_ids=architecture.eos_token_ids(model),
        sampling=generation.sampling,
        dtype=dtype,
        device=device,
        revision=revision,
        weight_bytes=weight_bytes,
    )


def _tell(generation: GenerationConfig) -> None:
    """Say how requests are sampled by default, and what of the model's wishes is not followed."""
    defaults = generation.sampling
    _LOG.info(
        "requests are sampled by default with temperature %g, top_p %g, top_k %d",
        *(defaults.temperature, defaults.top_p, defaults.top_k),
    )
    if generation.neglected:
        names = ", ".join(generation.neglected)
        _LOG.warning("not supported and ignored in %s: %s", generation_config.FILE, names)


def _directory(
    source: ModelSource, options: LoadOptions, progress: Progress
) -> tuple[Path, str | None]:
    match source:
        case FileSource(path):
            return path, None
        case BuiltinSource(name):
            return builtin.find(name, options.builtin_models_dir, options.cache_dir), None
        case HubSource():
            snapshot = download.fetch(source, options.cache_dir, progress)
            return snapshot.directory, snapshot.commit


def _device(wanted: Device) -> str:
    import torch  # noqa: PLC0415

    if wanted is not Device.CPU and torch.cuda.is_available():
        return "cuda:0"
    if wanted is Device.CUDA:
        raise StartupError(
            StartupFailure.NO_DEVICE,
            "a CUDA device was asked for and torch sees none; set accelerator on a node that has "
            "one, and use a server image built with CUDA",
        )
    return "cpu"


def _dtype(wanted: Dtype, device: str, config: Any) -> Dtype:
    if wanted is not Dtype.AUTO:
        return wanted
    if device != "cpu":
        return _checkpoint_dtype(config)
    dtype, reason = precision.choose_cpu_dtype(*precision.measure_cpu())
    _LOG.info("dtype Auto: %s on this CPU, %s", dtype, reason)
    return dtype


def _checkpoint_dtype(config: Any) -> Dtype:
    name = str(config.dtype).removeprefix("torch.")
    return {d.value.lower(): d for d in Dtype}.get(name, Dtype.BFLOAT16)


def _torch_dtype(dtype: Dtype) -> "torch.dtype":
    import torch  # noqa: PLC0415

    return {
        Dtype.FLOAT32: torch.float32,
        Dtype.FLOAT16: torch.float16,
        Dtype.BFLOAT16: torch.bfloat16,
    }[dtype]


def _require_memory(found: Checkpoint, dtype: Dtype, device: str) -> None:
    import torch  # noqa: PLC0415

    needed = found.loading_bytes(_PARAMETER_BYTES[dtype])
    memory.require(needed, f"{_what(found)} as {dtype}", memory.available_memory())
    if device != "cpu":
        free, _ = torch.cuda.mem_get_info(device)
        bound = memory.AvailableMemory(free, "the memory of the CUDA device")
        memory.require(found.weight_bytes(_PARAMETER_BYTES[dtype]), _what(found), bound)


def _load_weights(directory: Path, config: Any, dtype: Dtype) -> Any:
    """The model with every weight from the files; a weight left at random is a refusal."""
    from transformers import AutoModelForCausalLM  # noqa: PLC0415
    from transformers.utils import logging as transformers_logging  # noqa: PLC0415

    transformers_logging.disable_progress_bar()
    with architecture.unsupported_if_it_fails():
        model, report = AutoModelForCausalLM.from_pretrained(
            directory,
            config=config,
            dtype=_torch_dtype(dtype),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the report, which is refused below
        )
    left_random = sorted(report["missing_keys"]) + [str(k[0]) for k in report["mismatched_keys"]]
    if left_random:
        raise architecture.unsupported(
            f"its files lack {len(left_random)} of its weights, e.g. {left_random[0]}"
        )
    return model.eval().requires_grad_(False)  # noqa: FBT003  # torch's signature


def _what(found: Checkpoint) -> str:
    return f"a model of {found.parameter_count / 1e6:,.0f} million parameters"
