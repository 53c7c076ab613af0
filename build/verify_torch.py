"""Proves, at the end of an image build, that the installed torch computes and generates.

A library pruned too many, or a wheel for another machine, fails the build here and not the first
pod. Runs without a GPU for both accelerators.
"""

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import LlamaConfig, LlamaForCausalLM

_NEW_TOKENS = 4


class BrokenInstallation(RuntimeError):
    """The installed torch or transformers does not compute what it should."""


def check_matmul() -> None:
    """Multiply two small matrices whose product is known."""
    product = torch.tensor([[1.0, 2.0], [3.0, 4.0]]) @ torch.tensor([[5.0], [6.0]])
    if product.tolist() != [[17.0], [39.0]]:
        raise BrokenInstallation(f"matmul gave {product.tolist()}, not [[17], [39]]")


def check_attention() -> None:
    """Attend with equal scores: the answer is the mean of the values."""
    query = torch.zeros(1, 1, 1, 8)
    values = torch.stack([torch.zeros(8), torch.full((8,), 2.0)]).reshape(1, 1, 2, 8)
    mean = scaled_dot_product_attention(query, values, values)
    if not torch.allclose(mean, torch.ones(1, 1, 1, 8)):
        raise BrokenInstallation(f"attention over 0 and 2 gave {mean.flatten().tolist()}, not 1")


def check_generation() -> None:
    """Generate with a random model of two layers."""
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=None,
        pad_token_id=0,
    )
    prompt = torch.tensor([[1, 2, 3]])
    tokens = LlamaForCausalLM(config).generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=_NEW_TOKENS, do_sample=False
    )
    if tuple(tokens.shape) != (1, prompt.shape[1] + _NEW_TOKENS):
        raise BrokenInstallation(f"generate gave {tuple(tokens.shape)}")


def main() -> None:
    """Run every check and print the version that passed."""
    torch.manual_seed(0)
    check_matmul()
    check_attention()
    check_generation()
    print(f"verify_torch: torch {torch.__version__} computes and generates")  # noqa: T201


if __name__ == "__main__":
    main()
