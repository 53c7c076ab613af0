"""From settings to something that can run: picks the runner and puts the engine's parts together.

Runs in the loading thread. torch and transformers are imported here and only for a model that
needs them: ``builtin://simulated`` never does.
"""

import hashlib
import os
import sys
import threading
import time
from dataclasses import dataclass, replace
from importlib import metadata
from typing import TYPE_CHECKING

import structlog

from llm_server import contract, machine
from llm_server.contract import StartupFailure, StartupPhase
from llm_server.engine.batch import ModelRunner, RunnerCapacity
from llm_server.engine.core import Clock, EngineCore, TextRules
from llm_server.engine.request import SamplingParams
from llm_server.engine.scheduler import Scheduler, SchedulerLimits
from llm_server.engine.simulated_faults import FaultyRunner, SimulatedFaults
from llm_server.engine.simulated_runner import SimulatedModel, SimulatedRunner, TimingModel
from llm_server.models import environment, memory, simulated_tokenizer
from llm_server.models.failures import StartupError, classify
from llm_server.models.progress import Progress
from llm_server.models.simulated_tokenizer import SimulatedTokenizer
from llm_server.models.source import BuiltinSource, FileSource, HubSource, ModelSource
from llm_server.models.tokenizer import Tokenizer
from llm_server.settings import ServerSettings

if TYPE_CHECKING:
    from llm_server.engine.hf_runner import CacheBudget
    from llm_server.models.generation_config import SamplingDefaults
    from llm_server.models.loading import LoadedModel, LoadOptions

_LOG = structlog.get_logger()
_CACHE_SHARE = 0.7
"""Of the memory that is free after the load; the rest is for activations and the tokenizer."""

_MIN_KV_TOKENS = 16
_STEP_SECONDS = 0.25
_MIN_CHUNK_TOKENS = 32
_MAX_CHUNK_TOKENS = 2048

_SIMULATED_MAX_MODEL_LEN = 32_768
_SIMULATED_VOCAB_SIZE = 1 << 33  # its tokenizer tags four bytes of text with a fifth
_SIMULATED_LOAD_PARTS = 20
_SIMULATED_LOAD_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Assembled:
    """A runner that is warm, and what the rest needs to know about its model."""

    runner: ModelRunner
    tokenizer: Tokenizer
    capacity: RunnerCapacity
    eos_token_ids: frozenset[int]
    max_model_len: int
    fingerprint: str
    sampling: SamplingParams
    """What a request is sampled with where it does not say otherwise; it has its own seed."""
    lifetime_seconds: float | None = None
    """After so long the device is lost; only a simulated one knows when."""
    commit: str | None = None
    """The commit that was loaded, of a model of a hub."""


def is_simulated(source: ModelSource) -> bool:
    """Whether ``source`` is the simulated model."""
    return source == BuiltinSource(contract.BUILTIN_SIMULATED)


def served_name(settings: ServerSettings, source: ModelSource) -> str:
    """Return the name that requests use: the setting's, else what the source calls itself."""
    if settings.served_name is not None:
        return settings.served_name
    match source:
        case HubSource(repo=repo):
            return repo
        case BuiltinSource(name=name):
            return name
        case FileSource(path=path):
            return path.name


def version() -> str:
    """Return the version of the distribution; ``0`` when run from a bare source tree."""
    try:
        return metadata.version("llm-operator")
    except metadata.PackageNotFoundError:
        return "0"


def assemble(settings: ServerSettings, source: ModelSource, progress: Progress) -> Assembled:
    """Load and warm up the model. Blocking.

    Raises:
        StartupError: whatever went wrong, typed.
    """
    try:
        if is_simulated(source):
            assembled = _assemble_simulated(settings, progress)
        else:
            assembled = _assemble_loaded(settings, source, progress)
    # The edge of the loading thread: every failure of a start leaves it with a reason.
    except Exception as error:
        raise classify(error) from error
    return assembled


def build_core(assembled: Assembled, settings: ServerSettings, clock: Clock) -> EngineCore:
    """Put scheduler, runner and text rules together."""
    limits = SchedulerLimits(
        max_batch_size=settings.max_batch_size,
        max_waiting=settings.max_batch_size + settings.max_queued_requests,
        kv_capacity_tokens=assembled.capacity.kv_capacity_tokens,
        max_prefill_tokens=settings.prefill_chunk_tokens or _chunk_tokens(assembled.capacity),
    )
    text = TextRules(assembled.tokenizer.detokenizer, assembled.eos_token_ids)
    return EngineCore(Scheduler(limits), assembled.runner, text, clock)


def _assemble_simulated(settings: ServerSettings, progress: Progress) -> Assembled:
    _pretend_to_load(settings, progress)
    progress.enter(StartupPhase.WARMING_UP)
    kv_capacity = settings.simulated_kv_capacity_tokens
    model = SimulatedModel(
        timing=TimingModel(
            prefill_tokens_per_second=settings.simulated_prefill_tokens_per_second,
            step_seconds=settings.simulated_step_milliseconds / 1000,
            step_seconds_per_sequence=settings.simulated_step_milliseconds_per_sequence / 1000,
            duration_percent=settings.simulated_duration_percent,
        ),
        capacity=RunnerCapacity(
            kv_capacity_tokens=kv_capacity,
            vocab_size=_SIMULATED_VOCAB_SIZE,
            prefill_tokens_per_second=settings.simulated_prefill_tokens_per_second,
        ),
        num_words=SimulatedTokenizer.VOCAB_SIZE - 1,
        eos_token_id=simulated_tokenizer.EOS_TOKEN_ID,
        answer_tokens=settings.simulated_answer_tokens,
    )
    runner = _with_faults(SimulatedRunner(model), settings)
    return Assembled(
        runner=runner,
        tokenizer=SimulatedTokenizer(),
        capacity=runner.warm_up(),
        eos_token_ids=frozenset({simulated_tokenizer.EOS_TOKEN_ID}),
        max_model_len=_fitting_length(settings, _SIMULATED_MAX_MODEL_LEN, kv_capacity),
        fingerprint=f"simulated-{version()}",
        sampling=SamplingParams(),
        lifetime_seconds=settings.simulated_crash_after_seconds,
    )


def _pretend_to_load(settings: ServerSettings, progress: Progress) -> None:
    """Take the time of a load; it may be asked never to end, or to end the process."""
    progress.enter(StartupPhase.LOADING)
    progress.expect(_SIMULATED_LOAD_BYTES)
    stop_at = settings.simulated_load_stops_at_percent
    for part in range(_SIMULATED_LOAD_PARTS):
        if stop_at is not None and part * 100 >= stop_at * _SIMULATED_LOAD_PARTS:
            threading.Event().wait()
        time.sleep(settings.simulated_load_seconds / _SIMULATED_LOAD_PARTS)
        progress.advance(_SIMULATED_LOAD_BYTES // _SIMULATED_LOAD_PARTS)
    if settings.simulated_load_exit_code is not None:
        _LOG.error("Exiting, as --simulated-load-exit-code asks")
        sys.stdout.flush()
        os._exit(settings.simulated_load_exit_code)


def _with_faults(runner: SimulatedRunner, settings: ServerSettings) -> ModelRunner:
    faults = SimulatedFaults(
        error_percent=settings.simulated_error_percent,
        error_after_tokens=settings.simulated_error_after_tokens,
        crash_after_requests=settings.simulated_crash_after_requests,
        hang_after_requests=settings.simulated_hang_after_requests,
    )
    return runner if faults == SimulatedFaults() else FaultyRunner(runner, faults)


def _assemble_loaded(
    settings: ServerSettings, source: ModelSource, progress: Progress
) -> Assembled:
    from llm_server.models import loading  # noqa: PLC0415

    # torch reads this when it is imported. Importing it takes seconds, so that happens inside the
    # load, once the source is known to be there: a wrong one is named at once.
    os.environ.setdefault("OMP_NUM_THREADS", str(machine.compute_threads()))
    loaded = loading.load(source, _load_options(settings), progress)

    from llm_server.engine.hf_forward import CacheUnsupported, ForwardPass  # noqa: PLC0415
    from llm_server.engine.hf_runner import HFRunner  # noqa: PLC0415

    progress.enter(StartupPhase.WARMING_UP)
    try:
        forward = ForwardPass(loaded.model)
    except CacheUnsupported as error:
        raise StartupError(StartupFailure.MODEL_UNSUPPORTED, str(error)) from error
    vocab_size: int = loaded.model.get_input_embeddings().num_embeddings
    runner = HFRunner(forward, vocab_size, _cache_budget(settings, loaded))
    capacity = runner.warm_up()
    if settings.kv_capacity_tokens is not None:
        capacity = replace(capacity, kv_capacity_tokens=settings.kv_capacity_tokens)
    return Assembled(
        runner=runner,
        tokenizer=loaded.tokenizer,
        capacity=capacity,
        eos_token_ids=loaded.eos_token_ids,
        max_model_len=_fitting_length(settings, loaded.max_model_len, capacity.kv_capacity_tokens),
        fingerprint=_fingerprint(source, loaded),
        sampling=_sampling(loaded.sampling),
        commit=loaded.revision,
    )


def _sampling(defaults: "SamplingDefaults") -> SamplingParams:
    return SamplingParams(defaults.temperature, defaults.top_p, max(defaults.top_k, 0))


def _load_options(settings: ServerSettings) -> "LoadOptions":
    from llm_server.models.loading import LoadOptions  # noqa: PLC0415

    return LoadOptions(
        dtype=settings.dtype,
        device=settings.device,
        max_model_len=settings.max_model_len,
        cache_dir=settings.cache_dir or environment.default_cache_dir(os.environ),
        builtin_models_dir=settings.builtin_models_dir,
    )


def _cache_budget(settings: ServerSettings, loaded: "LoadedModel") -> "CacheBudget":
    import torch  # noqa: PLC0415

    from llm_server.engine.hf_runner import CacheBudget  # noqa: PLC0415

    if loaded.device == "cpu":
        free = memory.available_memory().available_bytes
    else:
        free, _ = torch.cuda.mem_get_info(loaded.device)
    return CacheBudget(
        max_bytes=int(free * _CACHE_SHARE),
        max_tokens=settings.max_batch_size * loaded.max_model_len,
        max_model_len=loaded.max_model_len,
    )


def _fingerprint(source: ModelSource, loaded: "LoadedModel") -> str:
    """Return a short name of what decides the tokens: code, weights and their format."""
    parts = (version(), str(source), loaded.revision or "", loaded.dtype.value, loaded.device)
    return "llm-" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _chunk_tokens(capacity: RunnerCapacity) -> int:
    """Return the prompt tokens of one step: few enough that streams beside it do not stutter."""
    affordable = int(capacity.prefill_tokens_per_second * _STEP_SECONDS)
    return min(max(affordable, _MIN_CHUNK_TOKENS), _MAX_CHUNK_TOKENS)


def _fitting_length(settings: ServerSettings, model_len: int, kv_capacity_tokens: int) -> int:
    """Return the longest request to take. Raises ``StartupError`` if the asked one cannot fit."""
    wanted = settings.max_model_len
    if kv_capacity_tokens < _MIN_KV_TOKENS:
        raise StartupError(
            StartupFailure.OUT_OF_MEMORY,
            f"the memory left beside the model holds {kv_capacity_tokens} tokens of KV cache; "
            "raise resources.limits.memory or take a smaller model",
        )
    if wanted is not None and wanted > kv_capacity_tokens:
        raise StartupError(
            StartupFailure.OUT_OF_MEMORY,
            f"max_model_len {wanted} needs a KV cache of as many tokens; the memory holds "
            f"{kv_capacity_tokens}",
        )
    return wanted or min(model_len, kv_capacity_tokens)
