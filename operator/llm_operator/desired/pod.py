"""The pod template of a revision, by renderer version.

A renderer's output is part of a revision: changing what ``_render_v1`` returns would restart every
fleet at the next upgrade, so a change is a new version beside it, used by new revisions only
(a golden test keeps each version's bytes). Settings travel as environment variables whose names
are ``llm_server.contract``'s; a round-trip test feeds them to the server's own settings.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from llm_operator.desired.identity import Identity
from llm_operator.desired.revision import Revision
from llm_server import contract

CURRENT_RENDERER: Final = 1
CONTAINER_NAME: Final = "server"
HTTP_PORT_NAME: Final = "http"
PROBE_PORT_NAME: Final = "probes"

_DEFAULT_REQUESTS: Final = {"cpu": "100m", "memory": "256Mi"}
_STARTUP_PERIOD_SECONDS: Final = 2
_STARTUP_FAILURES: Final = 43200  # a day: the operator judges slow loads, the kubelet never kills
_VOLUME_CACHE: Final = "llm-cache"
_VOLUME_TEMP: Final = "llm-tmp"
_VOLUME_KEYS: Final = "llm-api-keys"
_VOLUME_CLAIM: Final = "llm-model"

_MOUNTS: Final[Mapping[str, Mapping[str, Any]]] = {
    _VOLUME_CACHE: {"mountPath": contract.MODEL_CACHE_PATH},
    _VOLUME_TEMP: {"mountPath": contract.TEMP_PATH},
    _VOLUME_KEYS: {"mountPath": contract.API_KEYS_PATH, "readOnly": True},
    _VOLUME_CLAIM: {"mountPath": contract.MODEL_CLAIM_PATH, "readOnly": True},
}
"""Where each rendered volume is mounted."""

RENDERED_VOLUMES: Final = frozenset(_MOUNTS)
RENDERED_MOUNT_PATHS: Final = frozenset(str(mount["mountPath"]) for mount in _MOUNTS.values())


@dataclass(frozen=True, slots=True)
class _Defaults:
    """The renderer's defaults for absent revisioned fields; part of renderer version 1."""

    dtype: str = contract.Dtype.AUTO
    image_pull_policy: str = "IfNotPresent"
    max_batch_size: int = 32
    max_queued_requests: int = 256
    request_timeout_seconds: int = 300


_DEFAULTS: Final = _Defaults()


def render_pod_template(identity: Identity, revision: Revision) -> dict[str, Any]:
    """Render the pod template as the revision's own renderer version does."""
    return _RENDERERS[revision.renderer](identity, revision)


def knows_renderer(version: int) -> bool:
    """Whether this operator can render revisions of ``version``."""
    return version in _RENDERERS


def named_account(revision: Revision) -> str | None:
    """Return the ServiceAccount that the spec names for its pods."""
    extra = revision.spec.get("podTemplate", {}).get("spec", {})
    name: str | None = extra.get("serviceAccountName")
    return name


def drain_seconds(spec: Mapping[str, Any]) -> int:
    """Return how long an admitted request may run on after SIGTERM."""
    return int(spec.get("server", {}).get("drainSeconds", request_timeout_seconds(spec)))


def request_timeout_seconds(spec: Mapping[str, Any]) -> int:
    """Return how long a request may take in all."""
    timeout = _DEFAULTS.request_timeout_seconds
    return int(spec.get("server", {}).get("requestTimeoutSeconds", timeout))


def _render_v1(identity: Identity, revision: Revision) -> dict[str, Any]:
    spec = revision.spec
    template = spec.get("podTemplate", {})
    extra = template.get("spec", {})
    metadata = template.get("metadata", {})
    labels = metadata.get("labels", {}) | identity.labels(revision.hash)
    pod: dict[str, Any] = {
        "serviceAccountName": extra.get("serviceAccountName", identity.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": contract.grace_period_seconds(drain_seconds(spec)),
        "securityContext": _pod_security(),
        "containers": [_container(identity, revision)],
        "volumes": [*_volumes(spec), *extra.get("volumes", ())],
        "topologySpreadConstraints": [_spread(identity, revision)],
    }
    pod |= {key: extra[key] for key in _PASSED_THROUGH if key in extra}
    annotations = metadata.get("annotations")
    rendered = {"labels": labels} | ({"annotations": annotations} if annotations else {})
    return {"metadata": rendered, "spec": pod}


_PASSED_THROUGH: Final = (
    "nodeSelector",
    "tolerations",
    "affinity",
    "topologySpreadConstraints",
    "priorityClassName",
    "runtimeClassName",
    "schedulerName",
    "imagePullSecrets",
)

_RENDERERS: Final[Mapping[int, Callable[[Identity, Revision], dict[str, Any]]]] = {1: _render_v1}


def _pod_security() -> dict[str, Any]:
    return {
        "runAsNonRoot": True,
        "runAsUser": contract.RUN_AS_ID,
        "runAsGroup": contract.RUN_AS_ID,
        "fsGroup": contract.RUN_AS_ID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _container(identity: Identity, revision: Revision) -> dict[str, Any]:
    spec = revision.spec
    server = spec.get("server", {})
    mounts = spec.get("podTemplate", {}).get("spec", {}).get("volumeMounts", ())
    rendered_mounts = [{"name": v["name"], **_MOUNTS[v["name"]]} for v in _volumes(spec)]
    return {
        "name": CONTAINER_NAME,
        "image": revision.server_image,
        "imagePullPolicy": server.get("imagePullPolicy", _DEFAULTS.image_pull_policy),
        "args": ["serve", *server.get("args", ())],
        "env": [*_environment(identity, revision), *server.get("env", ())],
        "ports": [
            {"name": HTTP_PORT_NAME, "containerPort": contract.HTTP_PORT, "protocol": "TCP"},
            {"name": PROBE_PORT_NAME, "containerPort": contract.PROBE_PORT, "protocol": "TCP"},
        ],
        "startupProbe": _probe(
            contract.STARTUP_PATH, _STARTUP_PERIOD_SECONDS, failures=_STARTUP_FAILURES
        ),
        "readinessProbe": _probe(contract.READY_PATH, 2, failures=2),
        "livenessProbe": _probe(contract.LIVE_PATH, 10, failures=3),
        "resources": _resources(spec),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": contract.TERMINATION_LOG_PATH,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [*rendered_mounts, *mounts],
    }


def _probe(path: str, period_seconds: int, *, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": PROBE_PORT_NAME},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _environment(identity: Identity, revision: Revision) -> list[dict[str, Any]]:
    spec = revision.spec
    values = {
        setting.env: str(value)
        for setting, value in _setting_values(identity, revision).items()
        if value is not None
    }
    environment: list[dict[str, Any]] = [
        {"name": name, "value": value} for name, value in values.items()
    ]
    credentials = spec.get("model", {}).get("credentialsSecretRef")
    if credentials:
        reference = {"secretKeyRef": {"name": credentials["name"], "key": credentials["key"]}}
        environment.append({"name": contract.CREDENTIALS_ENV, "valueFrom": reference})
    return environment


def _setting_values(
    identity: Identity, revision: Revision
) -> dict[contract.Setting, str | int | None]:
    model = revision.spec.get("model", {})
    server = revision.spec.get("server", {})
    keys = contract.API_KEYS_PATH if server.get("apiKeysSecretRef") else None
    on_gpu = "accelerator" in revision.spec
    batching = server.get("batching", {})
    return {
        contract.Setting.MODEL: server_source(model.get("source", "")),
        contract.Setting.SERVED_NAME: model.get("servedName", identity.name),
        contract.Setting.DTYPE: model.get("dtype", _DEFAULTS.dtype),
        contract.Setting.MAX_MODEL_LEN: model.get("maxModelLen"),
        contract.Setting.CACHE_DIR: contract.MODEL_CACHE_PATH,
        contract.Setting.DEVICE: contract.Device.CUDA if on_gpu else contract.Device.CPU,
        contract.Setting.MAX_BATCH_SIZE: batching.get("maxBatchSize", _DEFAULTS.max_batch_size),
        contract.Setting.MAX_QUEUED_REQUESTS: server.get(
            "maxQueuedRequests", _DEFAULTS.max_queued_requests
        ),
        contract.Setting.REQUEST_TIMEOUT_SECONDS: request_timeout_seconds(revision.spec),
        contract.Setting.DRAIN_SECONDS: drain_seconds(revision.spec),
        contract.Setting.API_KEYS_DIR: keys,
        contract.Setting.REVISION: revision.hash,
        contract.Setting.HTTP_PORT: contract.HTTP_PORT,
        contract.Setting.PROBE_PORT: contract.PROBE_PORT,
    }


def server_source(source: str) -> str:
    """Translate ``pvc://claim/path`` to where the claim is mounted; other forms stay.

    >>> server_source("pvc://models/llama/8b")
    'file:///models/llama/8b'
    """
    match = contract.SOURCE_PATTERNS["pvc"].fullmatch(source)
    if match is None:
        return source
    return f"file://{contract.MODEL_CLAIM_PATH}/{match['path'].strip('/')}"


def _resources(spec: Mapping[str, Any]) -> dict[str, Any]:
    asked = spec.get("resources", {})
    requests, limits = dict(asked.get("requests", {})), dict(asked.get("limits", {}))
    for resource, quantity in _DEFAULT_REQUESTS.items():
        if resource not in requests and resource not in limits:
            requests[resource] = quantity
    accelerator = spec.get("accelerator")
    if accelerator:
        limits[accelerator["resourceName"]] = str(accelerator.get("count", 1))
    return {"requests": requests} | ({"limits": limits} if limits else {})


def _volumes(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    model = spec.get("model", {})
    volumes: list[dict[str, Any]] = [
        {"name": _VOLUME_CACHE, **model.get("cache", {"emptyDir": {}})},
        {"name": _VOLUME_TEMP, "emptyDir": {}},
    ]
    keys = spec.get("server", {}).get("apiKeysSecretRef")
    if keys:
        volumes.append({"name": _VOLUME_KEYS, "secret": {"secretName": keys["name"]}})
    claim = contract.SOURCE_PATTERNS["pvc"].fullmatch(model.get("source", ""))
    if claim:
        reference = {"claimName": claim["claim"], "readOnly": True}
        volumes.append({"name": _VOLUME_CLAIM, "persistentVolumeClaim": reference})
    return volumes


def _spread(identity: Identity, revision: Revision) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": identity.selector(revision.hash)},
    }
