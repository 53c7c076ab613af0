import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.hub.server import HubServer
from llm_server.contract import Device, Dtype, StartupFailure, StartupPhase
from llm_server.models import memory, precision
from llm_server.models.failures import StartupError
from llm_server.models.loading import LoadedModel, LoadOptions, load
from llm_server.models.memory import AvailableMemory
from llm_server.models.precision import MatmulSeconds
from llm_server.models.progress import Progress
from llm_server.models.source import BuiltinSource, FileSource, HubSource

pytestmark = pytest.mark.torch


@pytest.fixture
def options(tmp_path: Path, tiny_directory: Path) -> Callable[..., LoadOptions]:
    """Options of a CPU server that knows the builtin models; fields may be given."""

    def make(**fields: Any) -> LoadOptions:
        defaults = {
            "dtype": Dtype.FLOAT32,
            "device": Device.CPU,
            "max_model_len": None,
            "cache_dir": tmp_path / "cache",
            "builtin_models_dir": tiny_directory.parent,
        }
        return LoadOptions(**{**defaults, **fields})

    return make


@pytest.fixture
def copy(tiny_directory: Path, tmp_path: Path) -> Path:
    """The tiny model in a directory that a test may change."""
    return Path(shutil.copytree(tiny_directory, tmp_path / "copy"))


def edit_config(directory: Path, **fields: object) -> None:
    """Change fields of a model's config.json."""
    file = directory / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def refusal(directory: Path, options: LoadOptions) -> StartupError:
    """What loading the directory raises."""
    with pytest.raises(StartupError) as refused:
        load(FileSource(directory), options, Progress())
    return refused.value


def greedy(loaded: LoadedModel, prompt: str, count: int) -> list[int]:
    """The next tokens by ``transformers.generate``."""
    import torch  # noqa: PLC0415

    token_ids = loaded.tokenizer.encode(prompt)
    output = loaded.model.generate(
        torch.tensor([token_ids]), max_new_tokens=count, do_sample=False, pad_token_id=0
    )
    tokens: list[int] = output[0, len(token_ids) :].tolist()
    return tokens


def test_a_loaded_model_generates(options: Callable[..., LoadOptions]) -> None:
    """A builtin model loads with its own limits and end tokens, and gives tokens."""
    progress = Progress()
    loaded = load(BuiltinSource("tiny"), options(), progress)
    assert loaded.max_model_len == 2048
    assert loaded.eos_token_ids == {2}
    assert (loaded.dtype, loaded.device, loaded.revision) == (Dtype.FLOAT32, "cpu", None)
    assert loaded.weight_bytes == 4 * sum(p.numel() for p in loaded.model.parameters())
    assert not loaded.model.training
    assert len(greedy(loaded, "A pod holds", 5)) == 5
    assert progress.snapshot().phase is StartupPhase.LOADING


def test_the_hub_gives_the_same_model(hub: HubServer, options: Callable[..., LoadOptions]) -> None:
    """hf:// ends in the model that file:// gives, with the commit it came from."""
    local = load(BuiltinSource("tiny"), options(), Progress())
    remote = load(HubSource("demo/tiny"), options(), Progress())
    assert greedy(remote, "A service gives", 8) == greedy(local, "A service gives", 8)
    assert remote.revision is not None
    assert len(remote.revision) == 40


def test_the_context_is_what_was_asked_within_the_models(
    copy: Path, options: Callable[..., LoadOptions]
) -> None:
    """A shorter context is taken, a longer one is a wrong setting that names both."""
    assert load(FileSource(copy), options(max_model_len=256), Progress()).max_model_len == 256
    error = refusal(copy, options(max_model_len=4096))
    assert error.reason is StartupFailure.INVALID_SETTINGS
    assert "max_model_len is 4096" in error.message
    assert "16 to 2048" in error.message


def test_every_end_token_of_the_generation_config_counts(
    copy: Path, options: Callable[..., LoadOptions]
) -> None:
    """Several end tokens are all taken, and they win over the model's config."""
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 2]}))
    edit_config(copy, eos_token_id=1)
    assert load(FileSource(copy), options(), Progress()).eos_token_ids == {0, 2}


@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16])
def test_the_weights_have_the_format_asked_for(
    dtype: Dtype, options: Callable[..., LoadOptions]
) -> None:
    """Every weight is in the format that the settings name."""
    loaded = load(BuiltinSource("tiny"), options(dtype=dtype), Progress())
    formats = {str(p.dtype).removeprefix("torch.") for p in loaded.model.parameters()}
    assert formats == {dtype.value.lower()}


def test_auto_takes_what_this_cpu_is_faster_with(
    options: Callable[..., LoadOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU the format follows the measurement, whichever it prefers."""
    for token_seconds, dtype in ((0.5, Dtype.BFLOAT16), (2.0, Dtype.FLOAT32)):
        measured = (MatmulSeconds(1.0, 1.0), MatmulSeconds(token_seconds, token_seconds))
        monkeypatch.setattr(precision, "measure_cpu", lambda measured=measured: measured)
        loaded = load(BuiltinSource("tiny"), options(dtype=Dtype.AUTO), Progress())
        assert loaded.dtype is dtype


def test_the_measurement_leaves_the_threads_as_they_were() -> None:
    """Measuring gives times that can be compared, and the model computes on all threads after."""
    import torch  # noqa: PLC0415

    threads = torch.get_num_threads()
    for seconds in precision.measure_cpu():
        assert 0 < seconds.token < seconds.prompt
    assert torch.get_num_threads() == threads


def test_a_model_beyond_the_memory_limit_is_refused_before_loading(
    copy: Path, options: Callable[..., LoadOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OutOfMemory with both figures, instead of a kill."""
    limit = AvailableMemory(100 * memory.MIB, "the memory limit of 128 MiB")
    monkeypatch.setattr(memory, "available_memory", lambda: limit)
    error = refusal(copy, options())
    assert error.reason is StartupFailure.OUT_OF_MEMORY
    assert "100 MiB" in error.message


def test_a_cuda_device_that_is_absent_is_named(
    copy: Path, options: Callable[..., LoadOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA asked and absent is NoDevice; Auto takes the CPU there."""
    import torch  # noqa: PLC0415

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert refusal(copy, options(device=Device.CUDA)).reason is StartupFailure.NO_DEVICE
    assert load(FileSource(copy), options(device=Device.AUTO), Progress()).device == "cpu"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model_type": "vit"}, "no causal language model"),
        ({"model_type": "my_own"}, "my_own"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification"),
        ({"quantization_config": {"quant_method": "awq"}}, "awq"),
        ({"hidden_size": "many"}, "hidden_size"),
    ],
)
def test_a_model_that_cannot_be_served_is_refused_by_what_it_is(
    copy: Path, options: Callable[..., LoadOptions], fields: dict[str, object], said: str
) -> None:
    """Other architectures, heads and formats are ModelUnsupported, with the word that says why."""
    edit_config(copy, **fields)
    error = refusal(copy, options())
    assert error.reason is StartupFailure.MODEL_UNSUPPORTED
    assert said in error.message


def test_code_of_a_repository_is_never_run(
    copy: Path, options: Callable[..., LoadOptions], tmp_path: Path
) -> None:
    """A model that needs its own Python is refused, and its file is not executed."""
    trace = tmp_path / "executed"
    (copy / "evil.py").write_text(f"open({str(trace)!r}, 'w')\nclass C: pass\n")
    auto = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.C"}
    edit_config(copy, model_type="evil", auto_map=auto)
    assert refusal(copy, options()).reason is StartupFailure.MODEL_UNSUPPORTED
    assert not trace.exists()


def test_weights_that_are_missing_are_not_made_up(
    copy: Path, options: Callable[..., LoadOptions]
) -> None:
    """A checkpoint without some of the model's weights is refused, never filled at random."""
    edit_config(copy, num_hidden_layers=3)
    error = refusal(copy, options())
    assert error.reason is StartupFailure.MODEL_UNSUPPORTED
    assert "model.layers.2" in error.message


def test_weights_of_another_shape_are_refused(
    copy: Path, options: Callable[..., LoadOptions]
) -> None:
    """A config that does not fit its weights is refused."""
    edit_config(copy, intermediate_size=64)
    assert refusal(copy, options()).reason is StartupFailure.MODEL_UNSUPPORTED


def test_an_unknown_path_is_not_found(tmp_path: Path, options: Callable[..., LoadOptions]) -> None:
    """A path without a model is ModelNotFound with the path."""
    error = refusal(tmp_path / "nowhere", options())
    assert error.reason is StartupFailure.MODEL_NOT_FOUND
    assert "nowhere" in error.message
