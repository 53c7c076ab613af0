import pytest

from llm_server.contract import Dtype
from llm_server.models.precision import MatmulSeconds, choose_cpu_dtype


@pytest.mark.parametrize(
    ("bfloat16", "dtype"),
    [
        (MatmulSeconds(token=0.5, prompt=0.5), Dtype.BFLOAT16),  # AVX-512 BF16, AMX
        (MatmulSeconds(token=0.5, prompt=1.4), Dtype.BFLOAT16),
        (MatmulSeconds(token=0.5, prompt=9.0), Dtype.FLOAT32),  # AVX2: prompts take forever
        (MatmulSeconds(token=0.95, prompt=0.9), Dtype.FLOAT32),  # no gain worth the precision
        (MatmulSeconds(token=3.0, prompt=9.0), Dtype.FLOAT32),
    ],
)
def test_16_bit_only_where_it_gains(bfloat16: MatmulSeconds, dtype: Dtype) -> None:
    """BFloat16 is taken where a token is a tenth faster and a prompt not half as slow again."""
    chosen, reason = choose_cpu_dtype(MatmulSeconds(token=1.0, prompt=1.0), bfloat16)
    assert chosen is dtype
    assert "BFloat16" in reason
