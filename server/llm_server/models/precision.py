"""In which weight format a model runs on this machine's CPU, by a measurement.

What a CPU is fast at cannot be read off its name: with AVX-512 BF16 or AMX 16 bit wins, with
AVX2 alone it is many times slower than 32 bit. The measurement multiplies matrices larger
than the caches in both formats (about half a second); the decision is pure. Called by
``loading`` when ``model.dtype`` is ``Auto``.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from llm_server.contract import Dtype

if TYPE_CHECKING:
    import torch

PROMPT_ROWS: Final = 64
_SIDE: Final = 1024
_MATRICES: Final = 16  # of a million weights each: 96 MiB in both formats, beyond the caches
_ROUNDS: Final = 4
_DECODE_GAIN: Final = 1.1
_PROMPT_LOSS: Final = 1.5


@dataclass(frozen=True, slots=True)
class MatmulSeconds:
    """Seconds for one pass over the matrices with one row (a token) and with ``PROMPT_ROWS``."""

    token: float
    prompt: float


def choose_cpu_dtype(float32: MatmulSeconds, bfloat16: MatmulSeconds) -> tuple[Dtype, str]:
    """The format and why.

    32 bit is more exact, so 16 bit has to be a tenth faster on a token, which is what a
    stream waits for, and must not lose more than half on prompts.
    """
    gain = float32.token / bfloat16.token
    loss = bfloat16.prompt / float32.prompt
    measured = f"BFloat16 is {gain:.2f}x as fast on a token and {1 / loss:.2f}x on a prompt"
    if gain >= _DECODE_GAIN and loss <= _PROMPT_LOSS:
        return Dtype.BFLOAT16, measured
    return Dtype.FLOAT32, measured


def measure_cpu() -> tuple[MatmulSeconds, MatmulSeconds]:
    """Time this CPU in 32 bit and in bfloat16.

    Made to give the same answer on a busy machine, so that the pods of one revision agree:
    on one thread, because a barrier waits for the neighbours; both formats in turn; and of
    each multiplication, which is shorter than a time slice, the fastest of several.
    """
    import torch  # noqa: PLC0415

    formats = (torch.float32, torch.bfloat16)
    matrices = [[torch.zeros(_SIDE, _SIDE, dtype=f) for f in formats] for _ in range(_MATRICES)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        token = _fastest(matrices, rows=1)
        prompt = _fastest(matrices, rows=PROMPT_ROWS)
    finally:
        torch.set_num_threads(threads)
    float32, bfloat16 = (MatmulSeconds(*pair) for pair in zip(token, prompt, strict=True))
    return float32, bfloat16


def _fastest(matrices: "list[list[torch.Tensor]]", rows: int) -> list[float]:
    """Seconds for all matrices of each format, the fastest of ``_ROUNDS`` for each matrix."""
    import torch  # noqa: PLC0415

    activations = [torch.zeros(rows, _SIDE, dtype=matrix.dtype) for matrix in matrices[0]]
    rounds = [
        [
            [_linear_seconds(x, matrix) for x, matrix in zip(activations, pair, strict=True)]
            for pair in matrices
        ]
        for _ in range(_ROUNDS + 1)
    ][1:]  # the first one warms up
    return [
        sum(min(seconds[m][f] for seconds in rounds) for m in range(len(matrices)))
        for f in range(len(activations))
    ]


def _linear_seconds(activations: "torch.Tensor", matrix: "torch.Tensor") -> float:
    import torch  # noqa: PLC0415

    started = time.perf_counter()
    torch.nn.functional.linear(activations, matrix)
    return time.perf_counter() - started
