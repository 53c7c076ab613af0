"""What a model's cache allows, measured at load by comparing logits.

Two short sequences of different lengths are computed alone, then in chunks and side by side. What
gives the same logits may be used. The comparison is relative to the largest logit, with a
tolerance for the rounding of the weight format.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from llm_server.engine.hf_cache import CacheGroup, can_group, join, keep
from llm_server.engine.hf_forward import ForwardPass

_LONG = (5, 3, 8, 2, 9, 4, 7, 6)
_SHORT = (7, 2, 6)
_NEXT = (4, 3)
_TOLERANCES = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}


@dataclass(frozen=True, slots=True)
class Abilities:
    """``chunks``: a prompt may be computed in parts. ``groups``: rows may share a pass."""

    chunks: bool
    groups: bool


def measure_abilities(forward: ForwardPass) -> Abilities:
    """Compare the fast ways with the plain one; a way that raises or differs is not used."""
    return Abilities(
        chunks=_holds(lambda: _same_in_chunks(forward)),
        groups=_holds(lambda: _same_side_by_side(forward)),
    )


def _holds(comparison: Callable[[], bool]) -> bool:
    try:
        return comparison()
    # Models raise whatever they like on inputs that they do not support: then it is unsupported.
    except Exception:  # noqa: BLE001
        return False


def _same_in_chunks(forward: ForwardPass) -> bool:
    whole, _ = _prompt(forward, _LONG)
    cache = forward.new_cache()
    forward([_LONG[:3]], cache, [0])
    forward([_LONG[3:6]], cache, [3])
    return _close(forward, forward([_LONG[6:]], cache, [6]), whole)


def _same_side_by_side(forward: ForwardPass) -> bool:
    long_alone = _decode_alone(forward, _LONG)
    short_alone = _decode_alone(forward, _SHORT)
    _, long = _prompt(forward, _LONG)
    _, short = _prompt(forward, _SHORT)
    if not (can_group(long.cache) and can_group(short.cache)):
        return False
    group = join([short, long])
    first = _step(forward, group, _NEXT[0])
    group = keep(group, [0])
    second = _step(forward, group, _NEXT[1])
    return (
        _close(forward, first[1:], long_alone[0])
        and _close(forward, first[:1], short_alone[0])
        and _close(forward, second, short_alone[1])
    )


def _decode_alone(forward: ForwardPass, prompt: tuple[int, ...]) -> list[Tensor]:
    _, group = _prompt(forward, prompt)
    return [_step(forward, group, token) for token in _NEXT]


def _prompt(forward: ForwardPass, prompt: tuple[int, ...]) -> tuple[Tensor, CacheGroup]:
    group = CacheGroup(forward.new_cache(), ["probe"], [0])
    logits = forward([prompt], group.cache, [0])
    group.lengths = [len(prompt)]
    return logits, group


def _step(forward: ForwardPass, group: CacheGroup, token: int) -> Tensor:
    logits = forward([[token]] * len(group.lengths), group.cache, group.lengths)
    group.lengths = [length + 1 for length in group.lengths]
    return logits


def _close(forward: ForwardPass, logits: Tensor, reference: Tensor) -> bool:
    tolerance = _TOLERANCES[forward.dtype]
    scale = float(reference.abs().max())
    return float((logits - reference).abs().max()) <= tolerance * max(scale, 1e-6)
