import importlib
from pathlib import Path
from types import ModuleType

import pytest
from transformers import AutoModelForCausalLM

from llm_server.models import builtin

pytestmark = pytest.mark.torch


@pytest.fixture
def make_model() -> ModuleType:
    """The program; importing it imports torch."""
    return importlib.import_module("build.make_model")


def test_a_model_without_knowledge_fails_the_build(make_model: ModuleType, tmp_path: Path) -> None:
    """Weights that give every token the same chance were not written as they should be."""
    directory = builtin.make("tiny", tmp_path / "tiny")
    make_model.verify(directory)
    model = AutoModelForCausalLM.from_pretrained(directory)
    for weight in model.parameters():
        weight.data.zero_()
    model.save_pretrained(directory)

    with pytest.raises(make_model.BrokenModel, match="tiny"):
        make_model.verify(directory)
