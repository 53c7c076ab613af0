"""Settings of the operator, read once from the environment by ``__main__``.

Every field can be set as ``LLM_OPERATOR_<NAME>``; the chart renders them, and a contract test
compares both lists. A value that does not parse stops the start with the variable's name.
"""

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

ENV_PREFIX: Final = "LLM_OPERATOR_"


class LogFormat(StrEnum):
    """How log lines are written."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least severe line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class OperatorSettings(BaseSettings):
    """What one operator process is told."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, use_attribute_docstrings=True, extra="ignore"
    )

    namespace: Annotated[str, Field(min_length=1, max_length=63)] = "llm-operator-system"
    """Namespace of the operator itself: where its Lease is."""
    pod_name: Annotated[str, Field(max_length=253)] = ""
    """Name of this process in the Lease and in events. Empty: the host name."""
    watch_namespace: Annotated[str, Field(max_length=63)] = ""
    """The one namespace to look after. Empty: all of them."""
    server_image: Annotated[str, Field(min_length=1, max_length=512)] = "llm-server:0.1.0"
    """Image of revisions whose spec has no ``server.image``."""
    workers: Annotated[int, Field(ge=1, le=256)] = 16
    """Resources that are reconciled at the same time."""
    relist_seconds: Annotated[int, Field(ge=10, le=86400)] = 600
    """Everything is listed again after so long, with jitter: repairs what a watch lost."""
    request_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 8.0
    """Deadline of one request to the API server; shorter than what is left of a Lease."""
    lease_name: Annotated[str, Field(min_length=1, max_length=253)] = "llm-operator"
    """Name of the Lease that elects the leader."""
    lease_duration_seconds: Annotated[int, Field(ge=3, le=300)] = 15
    """A standby takes over when the Lease was not renewed for so long."""
    lease_renew_deadline_seconds: Annotated[float, Field(gt=0, le=300)] = 10.0
    """A leader that could not renew for so long gives up and exits."""
    lease_retry_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Time between two attempts to get or renew the Lease."""
    probe_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """Port of /livez, /readyz and /metrics."""
    drain_seconds: Annotated[float, Field(ge=0, le=600)] = 20.0
    """How long passes in hand may take after SIGTERM."""
    log_level: LogLevel = LogLevel.INFO
    """The least severe line that is written."""
    log_format: LogFormat = LogFormat.AUTO
    """json, console, or auto: console on a terminal."""

    @model_validator(mode="after")
    def _lease_times_fit(self) -> Self:
        """Refuse times by which two replicas could write, or a healthy leader could not."""
        retry, deadline = self.lease_retry_seconds, self.lease_renew_deadline_seconds
        duration = self.lease_duration_seconds
        if not retry < deadline < duration:
            raise ValueError(
                "must rise: LLM_OPERATOR_LEASE_RETRY_SECONDS, "
                "LLM_OPERATOR_LEASE_RENEW_DEADLINE_SECONDS, LLM_OPERATOR_LEASE_DURATION_SECONDS"
            )
        if self.request_timeout_seconds + 2 * retry > duration:
            raise ValueError(
                "LLM_OPERATOR_REQUEST_TIMEOUT_SECONDS and twice LLM_OPERATOR_LEASE_RETRY_SECONDS "
                "must fit into LLM_OPERATOR_LEASE_DURATION_SECONDS"
            )
        return self


class SettingsInvalid(ValueError):
    """A variable that does not parse: its name and what is accepted."""


def read_settings() -> OperatorSettings:
    """Read the environment.

    Raises:
        SettingsInvalid: names every variable that does not parse and the accepted form.
    """
    try:
        return OperatorSettings()
    except ValidationError as error:
        raise SettingsInvalid("; ".join(map(_explain, error.errors()))) from error


def _explain(detail: ErrorDetails) -> str:
    """Say which variable is wrong, why, and what is accepted."""
    if not detail["loc"]:
        return detail["msg"]
    name = str(detail["loc"][0])
    return f"{ENV_PREFIX}{name.upper()}: {detail['msg']} (accepted: {_accepted(name)})"


def _accepted(name: str) -> str:
    schema = OperatorSettings.model_json_schema()
    rules = schema["properties"][name]
    if "$ref" in rules:
        choices = schema["$defs"][rules["$ref"].rpartition("/")[2]]["enum"]
        return ", ".join(choices)
    if rules["type"] == "string":
        return f"text of {rules.get('minLength', 0)} to {rules['maxLength']} characters"
    least = rules.get("minimum", rules.get("exclusiveMinimum"))
    above = "above " if "exclusiveMinimum" in rules else ""
    return f"{rules['type']}, {above}{least} to {rules['maximum']}"
