"""Tiny random causal language models of many architectures, made in memory; needs torch."""

from collections.abc import Callable
from typing import Any

import torch
import transformers

VOCAB_SIZE = 211
_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": None,
    "pad_token_id": 0,
}
_GPT: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 256,
    "bos_token_id": 1,
    "eos_token_id": None,
}

ARCHITECTURES: dict[str, Callable[[], Any]] = {
    "llama": lambda: transformers.LlamaConfig(**_SIZES),
    "qwen2": lambda: transformers.Qwen2Config(**_SIZES),
    "qwen3": lambda: transformers.Qwen3Config(**_SIZES, head_dim=16),
    "mistral with a sliding window": lambda: transformers.MistralConfig(
        **_SIZES, sliding_window=16
    ),
    "gemma3 with both kinds of layers": lambda: transformers.Gemma3TextConfig(
        **_SIZES,
        head_dim=16,
        sliding_window=12,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "phi": lambda: transformers.PhiConfig(**_SIZES),
    "gpt2": lambda: transformers.GPT2Config(**_GPT),
    "gpt-neox": lambda: transformers.GPTNeoXConfig(
        **{key: value for key, value in _SIZES.items() if key != "num_key_value_heads"}
    ),
    "opt": lambda: transformers.OPTConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=64,
        ffn_dim=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        word_embed_proj_dim=64,
        bos_token_id=1,
        eos_token_id=None,
        pad_token_id=0,
    ),
    "bloom with alibi": lambda: transformers.BloomConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=64,
        n_layer=2,
        n_head=4,
        bos_token_id=1,
        eos_token_id=None,
    ),
    "mixtral with experts": lambda: transformers.MixtralConfig(**_SIZES, num_local_experts=4),
    "mamba without attention": lambda: transformers.MambaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=64,
        num_hidden_layers=2,
        bos_token_id=1,
        eos_token_id=None,
    ),
    "lfm2 with convolutions": lambda: transformers.Lfm2Config(
        **_SIZES, layer_types=["conv", "full_attention"]
    ),
}


def a_model(architecture: str) -> Any:  # any causal LM of transformers
    """Return a model whose weights are large enough that its tokens differ."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(ARCHITECTURES[architecture]())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.15)
    return model.eval()


def a_prompt(length: int, seed: int) -> list[int]:
    """Return random token ids."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, VOCAB_SIZE, (length,), generator=generator).tolist()


def generate(model: Any, prompt: list[int], max_tokens: int) -> list[int]:
    """Return the greedy continuation by ``transformers.generate``."""
    with torch.inference_mode():
        whole = model.generate(
            torch.tensor([prompt]), max_new_tokens=max_tokens, do_sample=False, use_cache=True
        )
    answer: list[int] = whole[0, len(prompt) :].tolist()
    return answer
