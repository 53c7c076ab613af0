import importlib
from types import ModuleType

import pytest

pytestmark = pytest.mark.torch


@pytest.fixture
def verify_torch() -> ModuleType:
    """The program; importing it imports torch."""
    return importlib.import_module("build.verify_torch")


def test_a_working_installation_passes(verify_torch: ModuleType) -> None:
    """The environment of the tests computes and generates."""
    verify_torch.main()


def test_a_wrong_product_fails_the_build(
    verify_torch: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation that computes nonsense is named, not shipped."""
    zeros = verify_torch.torch.zeros(2, 2)
    monkeypatch.setattr(verify_torch.torch, "tensor", lambda *_: zeros)

    with pytest.raises(verify_torch.BrokenInstallation, match="matmul"):
        verify_torch.check_matmul()


def test_a_wrong_attention_fails_the_build(
    verify_torch: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attention is proved by its result, not by its presence."""
    monkeypatch.setattr(verify_torch, "scaled_dot_product_attention", lambda query, *_: query * 0)

    with pytest.raises(verify_torch.BrokenInstallation, match="attention"):
        verify_torch.check_attention()
