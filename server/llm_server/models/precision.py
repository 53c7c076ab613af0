"""In which weight format a model runs on this machine's CPU, by a measurement.

What a CPU is fast at cannot be read off its name: with AVX-512 BF16 or AMX 16 bit wins, with
AVX2 alone it is many times slower than 32 bit. The measurement multiplies matrices larger
than the caches in both formats (about half a second); the decision is pure. Called by
``loading`` when ``model.dtype`` is ``Auto``.
"""

import time
from dataclasses import dataclass
from typing import Final

from llm_server.contract import Dtype

PROMPT_ROWS: Final = 64
_MATRIX_SIDE: Final = 1024
_MATRIX_COUNT: Final = 16
_REPEATS: Final = 3
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
    """Time this CPU in 32 bit and in bfloat16, with the threads torch is set to."""
    import torch  # noqa: PLC0415

    return _measure(torch.float32), _measure(torch.bfloat16)


def _measure(dtype: object) -> MatmulSeconds:
    import torch  # noqa: PLC0415

    # 16 matrices of a million weights: 64 MiB or 32 MiB, more than a core's share of cache.
    matrices = [
        torch.zeros(_MATRIX_SIDE, _MATRIX_SIDE, dtype=dtype)  # type: ignore[call-overload]
        for _ in range(_MATRIX_COUNT)
    ]
    seconds = []
    for rows in (1, PROMPT_ROWS):
        activations = torch.zeros(rows, _MATRIX_SIDE, dtype=dtype)  # type: ignore[call-overload]
        passes = [_pass_seconds(matrices, activations) for _ in range(_REPEATS + 1)]
        seconds.append(min(passes[1:]))
    return MatmulSeconds(*seconds)


def _pass_seconds(matrices: list[object], activations: object) -> float:
    import torch  # noqa: PLC0415

    started = time.perf_counter()
    with torch.inference_mode():
        for matrix in matrices:
            torch.nn.functional.linear(activations, matrix)  # type: ignore[arg-type]
    return time.perf_counter() - started
