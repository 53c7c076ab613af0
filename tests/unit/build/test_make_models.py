import importlib
from pathlib import Path
from types import ModuleType

import pytest
from transformers import AutoModelForCausalLM

from llm_server.models import builtin

pytestmark = pytest.mark.torch


@pytest.fixture
def make_models() -> ModuleType:
    """The program; importing it imports torch."""
    return importlib.import_module("build.make_models")


def test_a_model_without_knowledge_fails_the_build(make_models: ModuleType, tmp_path: Path) -> None:
    """Weights that give every token the same chance were not written as they should be."""
    directory = builtin.make("tiny", tmp_path / "tiny")
    make_models.verify(directory)
    model = AutoModelForCausalLM.from_pretrained(directory)
    for weight in model.parameters():
        weight.data.zero_()
    model.save_pretrained(directory)

    with pytest.raises(make_models.BrokenModel, match="tiny"):
        make_models.verify(directory)
