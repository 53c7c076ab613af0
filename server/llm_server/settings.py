"""Every setting of ``llm-server serve``, read once from flags, environment and a file.

The names are the same everywhere: the setting ``max_batch_size`` is the flag ``--max-batch-size``,
the variable ``LLM_SERVER_MAX_BATCH_SIZE`` and the key ``max_batch_size`` of the YAML or JSON file
that ``--config`` names. Flags win over the environment, the environment over the file. A value
that does not parse stops the start; so does a name that does not exist. Only ``cli`` reads them;
inner code is handed the values that it needs. ``reference`` makes docs/server-reference.md of this.
"""

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from llm_server import contract
from llm_server.contract import Device, Dtype, StartupFailure
from llm_server.models.failures import StartupError
from llm_server.simulated_settings import SimulatedSettings

CONFIG = "config"
_SIMULATED = f"builtin://{contract.BUILTIN_SIMULATED}"

_SPARE_CONNECTIONS = 512  # with batch and queue of the defaults within 1024 descriptors

# Kubernetes injects such names for a Service called `llm-server` (service links).
_SERVICE_LINK = re.compile(
    r"(.*_)?SERVICE_(HOST|PORT(_.*)?)|(.*_)?PORT(_\d+_(TCP|UDP|SCTP)(_.*)?)?"
)

Port = Annotated[int, Field(ge=0, le=65535)]


class ServerSettings(SimulatedSettings):
    """What a server needs to know; bounds are inclusive."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    model: str = Field(
        default=f"builtin://{contract.BUILTIN_SMOLLM2}",
        max_length=1024,
        description="model source: hf://org/name[@revision], builtin://name or file:///path",
    )
    served_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=contract.SERVED_NAME_CHARS_MAX,
        description="the `model` that requests name; absent: taken from the source",
    )
    revision: str | None = Field(
        default=None,
        max_length=63,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="revision hash of the deployment, for metrics and answers",
    )
    dtype: Dtype = Field(
        default=Dtype.AUTO, description="weight format; Auto: as saved on CUDA, measured on CPUs"
    )
    device: Device = Field(default=Device.AUTO, description="where the model runs")
    max_model_len: int | None = Field(
        default=None,
        ge=contract.MODEL_LEN_MIN,
        le=contract.MODEL_LEN_MAX,
        description="prompt and answer tokens; absent: model's",
    )
    cache_dir: Path | None = Field(
        default=None, description="where downloads are kept; absent: the user's cache directory"
    )
    builtin_models_dir: Path = Field(
        default=Path(contract.BUILTIN_MODELS_PATH), description="where builtin:// models lie"
    )
    host: str = Field(
        default="0.0.0.0",  # noqa: S104  # a pod is reached through its own address
        max_length=253,
        description="address that both ports listen on",
    )
    http_port: Port = Field(default=contract.HTTP_PORT, description="port of the API")
    probe_port: Port = Field(
        default=contract.PROBE_PORT, description="port of the probes and metrics"
    )
    max_batch_size: int = Field(default=32, ge=1, le=1024, description="sequences computed at once")
    max_queued_requests: int = Field(
        default=256, ge=0, le=100_000, description="requests that may wait beyond the batch"
    )
    max_connections: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="connections that may be open to the API; "
        f"absent: {_SPARE_CONNECTIONS} more than batch and queue hold",
    )
    max_body_bytes: int = Field(
        default=4 * 1024 * 1024, ge=1024, le=1024**3, description="bytes of one request's body"
    )
    request_timeout_seconds: int = Field(
        default=300, ge=1, le=86_400, description="a request that lasts longer ends with an error"
    )
    drain_seconds: int | None = Field(
        default=None,
        ge=0,
        le=86_400,
        description="how long admitted requests may go on after SIGTERM and "
        f"{contract.DRAIN_ACCEPT_SECONDS} s of accepting; absent: request_timeout_seconds",
    )
    stall_seconds: int = Field(
        default=120, ge=5, le=86_400, description="/livez fails after so long without progress"
    )
    api_keys_dir: Path | None = Field(
        default=None,
        description="directory whose files each hold one bearer key for /v1; absent: open",
    )
    prefill_chunk_tokens: int | None = Field(
        default=None,
        ge=16,
        le=1_000_000,
        description="prompt tokens computed in one step; absent: what takes a quarter second",
    )
    kv_capacity_tokens: int | None = Field(
        default=None, ge=16, le=10**9, description="tokens in the KV cache; absent: by free memory"
    )

    @property
    def effective_drain_seconds(self) -> int:
        """``drain_seconds``, or the request timeout so that no stream is cut."""
        if self.drain_seconds is None:
            return self.request_timeout_seconds
        return self.drain_seconds

    @property
    def effective_max_connections(self) -> int:
        """``max_connections``, or one for each request inside and some that idle."""
        if self.max_connections is None:
            return self.max_batch_size + self.max_queued_requests + _SPARE_CONNECTIONS
        return self.max_connections


def parse(arguments: list[str], environ: Mapping[str, str]) -> ServerSettings:
    """Read the settings of ``llm-server serve``; ``arguments`` follow ``serve``.

    Raises:
        StartupError: ``InvalidSettings``, naming every wrong flag, variable or key, and what
            is accepted.
        SystemExit: after ``--help``.
    """
    flags = _read_flags(arguments)
    variables = dict(_read_environment(environ))
    path = flags.pop(CONFIG, None) or variables.pop(CONFIG, None)
    file = _read_file(Path(path)) if path else {}
    variables.pop(CONFIG, None)
    try:
        chosen = ServerSettings.model_validate({**file, **variables, **flags})
    except ValidationError as error:
        raise _invalid(_explain(error, flags, variables)) from None
    if chosen.model != _SIMULATED and chosen.faults():
        names = ", ".join(_origin(name, flags, variables) for name in chosen.faults())
        raise _invalid(f"{names}: only {_SIMULATED} can be made to fail, got {chosen.model!r}")
    return chosen


def flag_of(name: str) -> str:
    """Return the flag of a setting.

    >>> flag_of("http_port")
    '--http-port'
    """
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """Return the environment variable of a setting.

    >>> variable_of("http_port")
    'LLM_SERVER_HTTP_PORT'
    """
    return contract.ENV_PREFIX + name.upper()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _invalid(f"{message}; see llm-server serve --help")


def _read_flags(arguments: list[str]) -> dict[str, str]:
    parser = _Parser(
        prog="llm-server serve",
        description="Serve a model over an OpenAI-compatible API.",
        epilog="Each flag is also an environment variable (--http-port: "
        f"{contract.ENV_PREFIX}HTTP_PORT) and a key of the --config file (http_port).",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--config", metavar="PATH", help="YAML or JSON file with settings")
    for name, field in ServerSettings.model_fields.items():
        parser.add_argument(flag_of(name), dest=name, metavar="VALUE", help=_help(field))
    return vars(parser.parse_args(arguments))


def _help(field: FieldInfo) -> str:
    default = "" if field.default is None else f" (default: {field.default})"
    return f"{field.description}{default}".replace("%", "%%")


def _read_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for variable, value in environ.items():
        if not variable.startswith(contract.ENV_PREFIX):
            continue
        name = variable.removeprefix(contract.ENV_PREFIX).lower()
        if name == CONFIG or name in ServerSettings.model_fields:
            yield name, value
        elif not _SERVICE_LINK.fullmatch(name.upper()):
            known = ", ".join(sorted(map(variable_of, ServerSettings.model_fields)))
            raise _invalid(f"unknown variable {variable}; known are {known}")


def _read_file(path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415  # only a start with a file pays for it

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _invalid(f"--config {path}: cannot be read as YAML or JSON: {error}") from None
    if not isinstance(content, dict):
        raise _invalid(f"--config {path}: must be a map of setting names to values")
    return {str(name): value for name, value in content.items()}


def _explain(error: ValidationError, flags: dict[str, str], variables: dict[str, str]) -> str:
    parts = []
    for entry in error.errors(include_url=False):
        origin = _origin(str(entry["loc"][0]), flags, variables)
        parts.append(f"{origin}: {_accepted(entry['type'], entry['msg'])}, got {entry['input']!r}")
    return "; ".join(parts)


def _origin(name: str, flags: dict[str, str], variables: dict[str, str]) -> str:
    """Return what the setting was given by, as the user wrote it."""
    if name in flags:
        return flag_of(name)
    return variable_of(name) if name in variables else f"--config key {name!r}"


def _accepted(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return f"no such setting; known are {', '.join(sorted(ServerSettings.model_fields))}"
    return message[0].lower() + message[1:]


def _invalid(message: str) -> StartupError:
    return StartupError(StartupFailure.INVALID_SETTINGS, message)
