"""From logits to the next tokens, on the device of the logits.

Each row is sampled by its own parameters and its own number in [0, 1): inverse transform sampling
over the row's distribution. Nothing is shared between rows, so a row's token does not depend on
what else is in the batch. Tensors: ``[rows, vocab]`` float32 in, ``[rows]`` int64 out.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from llm_server.engine.batch import Draw

_NUCLEUS_CANDIDATES = 1024
"""Sorting this many is enough for nearly every nucleus; a wider one sorts the whole row."""


def sample(logits: Tensor, draws: Sequence[Draw]) -> list[int | None]:
    """Return one token id per row; None where the row's logits are not finite."""
    tokens = logits.argmax(dim=-1)
    finite = torch.isfinite(logits.amax(dim=-1))
    free = [row for row, draw in enumerate(draws) if _is_free(draw)]
    cut = [row for row, draw in enumerate(draws) if _is_cut(draw)]
    if free:
        tokens[free] = _sample_all(logits[free], [draws[row] for row in free])
    for row in cut:
        tokens[row] = _sample_cut(logits[row], draws[row])
    return [
        token if usable else None
        for token, usable in zip(tokens.tolist(), finite.tolist(), strict=True)
    ]


def _is_free(draw: Draw) -> bool:
    """Whether the row samples from its whole distribution."""
    params = draw.sampling
    return params.temperature > 0 and params.top_p >= 1 and params.top_k == 0


def _is_cut(draw: Draw) -> bool:
    params = draw.sampling
    return params.temperature > 0 and (params.top_p < 1 or params.top_k > 0)


def _sample_all(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    temperatures = logits.new_tensor([_temperature(draw) for draw in draws])
    uniforms = logits.new_tensor([_uniform(draw) for draw in draws], dtype=torch.float64)
    probabilities = _soften(logits, temperatures[:, None])
    return _invert(probabilities, uniforms)


def _sample_cut(logits: Tensor, draw: Draw) -> Tensor:
    """Sample one row ``[vocab]`` from its ``top_k`` best, then from the nucleus of those."""
    params = draw.sampling
    probabilities = _soften(logits, logits.new_tensor(_temperature(draw)))
    vocab = probabilities.shape[-1]
    wanted = min(params.top_k or vocab, vocab)
    kept, ids = torch.topk(probabilities, min(wanted, _NUCLEUS_CANDIDATES))
    if wanted > _NUCLEUS_CANDIDATES and float(kept.sum()) < params.top_p:
        kept, ids = torch.topk(probabilities, wanted)
    # The nucleus is taken of what top_k left: a token stays while those before it have less
    # than top_p of that mass. The first one always stays.
    mass = kept.sum() if params.top_k else probabilities.sum()
    before = kept.cumsum(-1) - kept
    kept = kept * (before < params.top_p * mass)
    kept[0] = torch.clamp(kept[0], min=torch.finfo(kept.dtype).tiny)
    uniform = logits.new_tensor([_uniform(draw)], dtype=torch.float64)
    return ids[_invert(kept[None, :], uniform)[0]]


def _soften(logits: Tensor, temperature: Tensor) -> Tensor:
    """Softmax at a temperature; the maximum goes first, so that a tiny one cannot overflow."""
    return torch.softmax((logits - logits.amax(-1, keepdim=True)) / temperature, dim=-1)


def _temperature(draw: Draw) -> float:
    return max(draw.sampling.temperature, 1e-6)


def _invert(weights: Tensor, uniforms: Tensor) -> Tensor:
    """Return per row the first index whose cumulative weight exceeds the uniform's share."""
    cumulative = weights.to(torch.float64).cumsum(-1)
    targets = uniforms[:, None] * cumulative[:, -1:]
    indices = torch.searchsorted(cumulative, targets, right=True)[:, 0]
    return indices.clamp(max=weights.shape[-1] - 1)


def _uniform(draw: Draw) -> float:
    return draw.sampling.uniform(draw.position)
