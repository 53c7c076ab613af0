"""``spec.server``: the program that serves the model, and its settings."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from llm_operator.api.pod_template import LocalReference
from llm_operator.api.schema import (
    ATOMIC,
    ApiModel,
    Flag,
    ObjectName,
    SecretKey,
    exactly_one,
    list_map,
    matches,
)

_DAY_SECONDS = 86400


class ImagePullPolicy(StrEnum):
    """When the kubelet pulls an image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class OptionalKeyReference(ApiModel):
    """One key of a Secret or ConfigMap of the resource's namespace."""

    name: ObjectName
    """Name of the Secret or ConfigMap."""
    key: SecretKey
    """Key in it."""
    optional: Flag | None = None
    """Whether the server starts without it. Absent: false."""


class VariableSource(ApiModel):
    """Where a variable's value is taken from."""

    rules = (exactly_one("secretKeyRef", "configMapKeyRef"),)

    secret_key_ref: OptionalKeyReference | None = None
    """A key of a Secret."""
    config_map_key_ref: OptionalKeyReference | None = None
    """A key of a ConfigMap."""


class Variable(ApiModel):
    """One environment variable of the server."""

    rules = (
        exactly_one("value", "valueFrom"),
        matches(
            "name", "[A-Za-z_][A-Za-z0-9_]*", "made of letters, digits and _, without a digit first"
        ),
    )

    name: Annotated[str, Field(min_length=1, max_length=256)]
    """Name of the variable; none that the operator renders itself."""
    value: Annotated[str, Field(max_length=8192)] | None = None
    """Its value."""
    value_from: VariableSource | None = None
    """Where its value is taken from."""


class Batching(ApiModel):
    """How requests are computed together."""

    max_batch_size: Annotated[int, Field(strict=True, ge=1, le=1024)] | None = None
    """The most requests that are computed at once. Absent: 32."""


class Server(ApiModel):
    """The server and its settings."""

    rules = (
        matches(
            "image",
            r"[A-Za-z0-9][A-Za-z0-9._:/@-]*",
            "an image reference such as registry.example/llm-server:1.2",
        ),
    )

    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Image of the server: the bundled one or a build of it. Absent: that of the operator's
    release at the time when the revision was made."""
    image_pull_policy: ImagePullPolicy | None = None
    """When the image is pulled. Absent: IfNotPresent."""
    batching: Batching | None = None
    """How requests are computed together."""
    max_queued_requests: Annotated[int, Field(strict=True, ge=1, le=65536)] | None = None
    """The most requests that wait in a pod; more are answered 429. Absent: 256."""
    request_timeout_seconds: Annotated[int, Field(strict=True, ge=1, le=_DAY_SECONDS)] | None = None
    """The longest that a request may take, in seconds. Absent: 300."""
    drain_seconds: Annotated[int, Field(strict=True, ge=0, le=_DAY_SECONDS)] | None = None
    """How long a pod that ends lets admitted requests run on, in seconds; below
    requestTimeoutSeconds, long streams may be cut. Absent: requestTimeoutSeconds."""
    args: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...],
        Field(max_length=64),
        ATOMIC,
    ] = ()
    """Further flags of the server; none that a field of the resource stands for."""
    env: Annotated[tuple[Variable, ...], Field(max_length=64), list_map("name")] = ()
    """Environment of the server, e.g. HF_ENDPOINT, HTTPS_PROXY, NO_PROXY, or SSL_CERT_FILE with
    the path of a CA bundle that a volume brings."""
    api_keys_secret_ref: LocalReference | None = None
    """Secret of which every value is a valid bearer key on /v1; a changed Secret is read again
    without a restart. Absent: no key is needed."""
