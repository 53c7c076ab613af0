import json
from pathlib import Path

import pytest

from llm_server.contract import StartupFailure
from llm_server.models.failures import StartupError
from llm_server.models.generation_config import FILE, GenerationConfig, SamplingDefaults, read


def given(directory: Path, **fields: object) -> GenerationConfig:
    """Return what is read of a file with these fields."""
    (directory / FILE).write_text(json.dumps(fields))
    return read(directory)


def test_the_models_own_sampling_is_the_default(tmp_path: Path) -> None:
    """Temperature, top_p and top_k are taken from the file."""
    found = given(tmp_path, temperature=0.6, top_p=0.95, top_k=20, do_sample=True)

    assert found == GenerationConfig(SamplingDefaults(0.6, 0.95, 20), ())


@pytest.mark.parametrize("fields", [{}, {"temperature": None, "top_k": None}, {"eos_token_id": 2}])
def test_what_the_file_leaves_out_is_neutral(tmp_path: Path, fields: dict[str, object]) -> None:
    """Not what transformers would take (top_k 50): as vLLM reads the file."""
    assert given(tmp_path, **fields) == GenerationConfig(SamplingDefaults(1.0, 1.0, 0), ())


def test_a_model_without_the_file_is_sampled_neutrally(tmp_path: Path) -> None:
    """The file is optional."""
    assert read(tmp_path) == GenerationConfig(SamplingDefaults(), ())


def test_fields_that_are_not_followed_are_named(tmp_path: Path) -> None:
    """All but those that are used, that mean nothing, or that ask for what is done anyway."""
    found = given(
        tmp_path,
        repetition_penalty=1.05,
        max_new_tokens=512,
        do_sample=False,
        num_beams=1,
        suppress_tokens=None,
        pad_token_id=0,
        transformers_version="5.17.0",
    )

    assert found.neglected == ("do_sample", "max_new_tokens", "repetition_penalty")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -1),
        ("temperature", "hot"),
        ("temperature", True),
        ("top_p", 1.5),
        ("top_k", 2.5),
        ("top_k", -2),
    ],
)
def test_a_value_that_cannot_be_followed_is_named(
    tmp_path: Path, field: str, value: object
) -> None:
    """A model is not served otherwise than its file says, as if it had said nothing."""
    with pytest.raises(StartupError, match=f"{FILE}: {field}: .*got {value!r}") as refused:
        given(tmp_path, **{field: value})

    assert refused.value.reason is StartupFailure.MODEL_UNSUPPORTED


@pytest.mark.parametrize("content", ["[]", "{", '"x"'])
def test_a_broken_file_is_named(tmp_path: Path, content: str) -> None:
    """What is no JSON object is refused by the file's name."""
    (tmp_path / FILE).write_text(content)

    with pytest.raises(StartupError, match=FILE):
        read(tmp_path)
