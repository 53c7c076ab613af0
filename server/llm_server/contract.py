"""What the operator and the server promise each other; standard library only.

The operator renders pods from these names and reads failures by them; the server takes its
settings, ports, paths and metric names from them. Nothing else of the server is imported by
the operator (an import-linter contract keeps that). A change here is a change of the renderer.
"""

import re
from enum import StrEnum
from typing import Final

HTTP_PORT: Final = 8000
"""The OpenAI-compatible API: /v1/* (bearer keys when configured) and /health."""

PROBE_PORT: Final = 8001
"""Probes and metrics, served by a thread of their own; never needs a key."""

STARTUP_PATH: Final = "/startupz"
READY_PATH: Final = "/readyz"
LIVE_PATH: Final = "/livez"
METRICS_PATH: Final = "/metrics"

DRAIN_ACCEPT_SECONDS: Final = 10
"""After SIGTERM new requests are still admitted for so long: proxies learn late (api.md)."""

DRAIN_MARGIN_SECONDS: Final = 15
"""Added to the grace period beyond accept + drain, for the ordered end of the process."""

TERMINATION_LOG_PATH: Final = "/dev/termination-log"
"""A start-up failure is written here as JSON ``{"reason": StartupFailure, "message": str}``."""

CREDENTIALS_ENV: Final = "HF_TOKEN"
"""The variable that huggingface_hub itself reads; filled from ``credentialsSecretRef``."""

API_KEYS_PATH: Final = "/etc/llm-server/api-keys"
MODEL_CACHE_PATH: Final = "/var/cache/llm-server"
MODEL_CLAIM_PATH: Final = "/models"
TEMP_PATH: Final = "/tmp"  # noqa: S108  # the one writable path beside the cache; an emptyDir

BUILTIN_MODELS_PATH: Final = "/opt/llm-server/models"
"""Where the image keeps the models of ``builtin://``."""

REVISION_HEADER: Final = "x-llm-revision"
"""On a request to a Gateway: the revision that shall answer. On an answer: the one that did."""

RUN_AS_ID: Final = 10001
"""Numeric user and group of both images (api.md, Pods)."""

ENV_PREFIX: Final = "LLM_SERVER_"


class Setting(StrEnum):
    """Every setting of ``llm-server serve`` that the operator renders; users may not repeat it."""

    MODEL = "model"
    SERVED_NAME = "served_name"
    DTYPE = "dtype"
    MAX_MODEL_LEN = "max_model_len"
    CACHE_DIR = "cache_dir"
    DEVICE = "device"
    MAX_BATCH_SIZE = "max_batch_size"
    MAX_QUEUED_REQUESTS = "max_queued_requests"
    REQUEST_TIMEOUT_SECONDS = "request_timeout_seconds"
    DRAIN_SECONDS = "drain_seconds"
    API_KEYS_DIR = "api_keys_dir"
    REVISION = "revision"
    HTTP_PORT = "http_port"
    PROBE_PORT = "probe_port"

    @property
    def env(self) -> str:
        """The environment variable, e.g. ``LLM_SERVER_MAX_MODEL_LEN``."""
        return ENV_PREFIX + self.value.upper()

    @property
    def flag(self) -> str:
        """The command-line flag, e.g. ``--max-model-len``."""
        return "--" + self.value.replace("_", "-")


class Dtype(StrEnum):
    """Weight formats as they are spelled in the API, the environment and the flags."""

    AUTO = "Auto"
    FLOAT32 = "Float32"
    FLOAT16 = "Float16"
    BFLOAT16 = "BFloat16"


class Device(StrEnum):
    """Where the model runs; AUTO takes CUDA when there is one."""

    AUTO = "Auto"
    CPU = "CPU"
    CUDA = "CUDA"


class StartupFailure(StrEnum):
    """Why a server could not start, as written to the termination log; closed list."""

    INVALID_SETTINGS = "InvalidSettings"
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_UNAUTHORIZED = "ModelUnauthorized"
    MODEL_SOURCE_UNAVAILABLE = "ModelSourceUnavailable"
    MODEL_UNSUPPORTED = "ModelUnsupported"
    OUT_OF_MEMORY = "OutOfMemory"
    NO_DEVICE = "NoDevice"
    DISK_FULL = "DiskFull"
    INTERNAL = "InternalError"


class StartupPhase(StrEnum):
    """The phase that ``/startupz`` answers, in order."""

    STARTING = "Starting"
    DOWNLOADING = "Downloading"
    LOADING = "Loading"
    WARMING_UP = "WarmingUp"
    READY = "Ready"
    DRAINING = "Draining"
    FAILED = "Failed"


SERVED_NAME_CHARS_MAX: Final = 253
MODEL_LEN_MIN: Final = 16
MODEL_LEN_MAX: Final = 10_000_000
"""Tokens of prompt and answer together."""

BUILTIN_SMOLLM2: Final = "smollm2-135m-instruct"
BUILTIN_TINY: Final = "tiny"
BUILTIN_SIMULATED: Final = "simulated"
BUILTIN_MODELS: Final = (BUILTIN_SMOLLM2, BUILTIN_TINY, BUILTIN_SIMULATED)

_CLAIM_PATH_CHARS_MAX = 512
_FILE_PATH_CHARS_MAX = len(MODEL_CLAIM_PATH) + _CLAIM_PATH_CHARS_MAX  # where a claim's path ends up
_REPO_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
SOURCE_PATTERNS: Final = {
    "hf": re.compile(
        rf"hf://(?P<repo>{_REPO_PART}/{_REPO_PART})(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]{{0,127}}))?"
    ),
    "pvc": re.compile(
        r"pvc://(?P<claim>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)"
        rf"/(?P<path>[A-Za-z0-9._/-]{{1,{_CLAIM_PATH_CHARS_MAX}}})"
    ),
    "builtin": re.compile(r"builtin://(?P<name>[a-z0-9][a-z0-9.-]{0,62})"),
    "file": re.compile(rf"file://(?P<path>/[A-Za-z0-9._/-]{{1,{_FILE_PATH_CHARS_MAX}}})"),
}
"""The four forms of ``model.source``; each matches the whole string."""

COMMIT: Final = re.compile(r"[0-9a-f]{40}")
"""A revision of a hub that cannot move; the label ``commit`` of ``Metric.MODEL``."""


class Metric(StrEnum):
    """Metric names: vLLM's spelling for what vLLM has, ``llm_`` for our own extras.

    Counters are named without the ``_total`` that the exposition format adds.
    """

    REQUESTS_RUNNING = "vllm:num_requests_running"
    REQUESTS_WAITING = "vllm:num_requests_waiting"
    KV_CACHE_USAGE = "vllm:kv_cache_usage_perc"
    PROMPT_TOKENS = "vllm:prompt_tokens"
    GENERATION_TOKENS = "vllm:generation_tokens"
    REQUEST_SUCCESS = "vllm:request_success"
    TIME_TO_FIRST_TOKEN = "vllm:time_to_first_token_seconds"  # noqa: S105 - a token of text
    INTER_TOKEN_LATENCY = "vllm:inter_token_latency_seconds"  # noqa: S105 - a token of text
    E2E_LATENCY = "vllm:e2e_request_latency_seconds"
    QUEUE_TIME = "vllm:request_queue_time_seconds"
    CACHE_CONFIG = "vllm:cache_config_info"
    REQUESTS_RECEIVED = "llm_requests_received"
    REQUESTS_TERMINATED = "llm_requests_terminated"
    PROGRESS_STEPS = "llm_engine_steps"
    STARTUP_SECONDS = "llm_startup_seconds"
    READY_SECONDS = "llm_ready_seconds"
    BOOT = "llm_server_info"
    MODEL = "llm_model_info"
    """Its label ``commit`` is what was loaded of a hub; empty before that, and for other models."""
    PREEMPTIONS = "vllm:num_preemptions"


class Outcome(StrEnum):
    """How a request for a generation ended; closed list, label ``outcome`` of the ledger."""

    STOP = "stop"
    LENGTH = "length"
    REFUSED = "refused"
    """The request was wrong: a status 4xx other than 429."""
    OVERLOADED = "overloaded"
    """The queue was full: 429."""
    UNAVAILABLE = "unavailable"
    """The server did not admit in its state, e.g. at the end of its drain: 503."""
    CANCELLED = "cancelled"
    """The client left."""
    FAILED = "failed"
    """The server's fault: a status 5xx other than that 503, or an error inside a stream."""


def grace_period_seconds(drain_seconds: int) -> int:
    """``terminationGracePeriodSeconds`` of a pod whose server drains for ``drain_seconds``."""
    return DRAIN_ACCEPT_SECONDS + drain_seconds + DRAIN_MARGIN_SECONDS
