import pytest

from llm_server.contract import StartupFailure
from llm_server.models.failures import StartupError
from llm_server.models.hub_files import HubFile, needed_files


def names(*listed: str) -> list[str]:
    """The names picked of those listed."""
    return [file.name for file in needed_files(HubFile(name, 1) for name in listed)]


def test_only_data_that_a_server_needs_is_taken() -> None:
    """Code, pickles, other formats and pictures of a repository are left there."""
    taken = names(
        "README.md", "config.json", "generation_config.json", "modeling_evil.py",
        "model.safetensors", "pytorch_model.bin", "onnx/model.onnx", "tokenizer.json",
        "tokenizer_config.json", "chat_template.jinja", "logo.png", "consolidated.safetensors",
    )  # fmt: skip
    assert taken == [
        "chat_template.jinja", "config.json", "generation_config.json", "tokenizer.json",
        "tokenizer_config.json", "model.safetensors",
    ]  # fmt: skip


def test_shards_come_with_their_index() -> None:
    """Sharded weights are taken as a whole."""
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert names("config.json", "model.safetensors.index.json", *shards) == [
        "config.json", "model.safetensors.index.json", *shards,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("pytorch_model.bin", "pickled weights"),
        ("model.gguf", "GGUF"),
        ("adapter_model.safetensors", "adapter"),
        ("README.md", "no weights"),
    ],
)
def test_other_weights_are_refused_by_what_they_are(weights: str, said: str) -> None:
    """A repository in another format is refused before anything is downloaded."""
    with pytest.raises(StartupError, match=said) as refused:
        names("config.json", weights)
    assert refused.value.reason is StartupFailure.MODEL_UNSUPPORTED


def test_a_repository_without_a_config_is_no_model() -> None:
    """A repository that holds no model is ModelNotFound."""
    with pytest.raises(StartupError) as refused:
        names("data.parquet")
    assert refused.value.reason is StartupFailure.MODEL_NOT_FOUND
