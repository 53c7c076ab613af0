"""One request to the API server and its answer; the only module that knows ``kubernetes``.

The package is used for what it does well: credentials (kubeconfig, service account with token
refresh), TLS and a connection pool. No generated model and no discovery cache is involved: paths
are explicit and bodies are plain JSON. Nothing is retried here; the callers know what is worth it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from llm_operator.cluster.errors import ClusterUnavailable, error_from_answer

JSON: Final = "application/json"
_CONNECT_SECONDS: Final = 5.0
_BEARER: Final = "BearerToken"
_OWN_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_UNUSABLE: Final = (
    config.ConfigException,
    OSError,
    yaml.YAMLError,
    TypeError,  # and the rest: how the loader fails on a file that is no kubeconfig
    KeyError,
    ValueError,
    AttributeError,
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach the cluster and as whom, for a second client of the same process."""

    server: str
    insecure: bool
    token: str | None = field(repr=False)
    ca_path: str | None
    certificate_path: str | None
    private_key_path: str | None
    proxy_url: str | None
    trust_env: bool
    """Whether the proxy variables of the environment apply."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; ``path`` starts at the root of the API server."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: its status and its decoded JSON."""

    status: int
    body: Any


class Transport:
    """A pool of connections to one API server."""

    def __init__(
        self,
        configuration: Configuration,
        request_timeout_seconds: float,
        user_agent: str = "llm-operator",
    ) -> None:
        self._api = ApiClient(configuration)
        self._api.user_agent = user_agent
        self._timeout = aiohttp.ClientTimeout(
            total=request_timeout_seconds, sock_connect=_CONNECT_SECONDS
        )

    async def send(self, request: Request) -> Answer:
        """Send one request.

        Raises:
            ApiError: the answer was not a success, or there was none in time.
        """
        try:
            status, body, retry_after = await self._exchange(request)
        except (aiohttp.ClientError, OSError) as error:  # time-outs are OSErrors
            reason = str(error) or type(error).__name__
            raise ClusterUnavailable(f"{request.method} {request.path}: {reason}") from error
        if not 200 <= status < 300:
            raise error_from_answer(status, body, retry_after)
        try:
            return Answer(status, json.loads(body) if body else None)
        except ValueError as error:
            raise ClusterUnavailable(f"{request.path}: the answer is not JSON", status) from error

    async def _exchange(self, request: Request) -> tuple[int, bytes, str | None]:
        headers = {"Accept": JSON, "Content-Type": request.content_type}
        _, url, headers, _, _ = await self._api.param_serialize(
            request.method,
            request.path,
            query_params=list(request.query.items()),
            header_params=headers,
            auth_settings=[_BEARER],
        )
        # The body is passed by: param_serialize would copy it value by value.
        response = await self._api.call_api(
            request.method, url, headers, request.body, _request_timeout=self._timeout
        )
        return response.status, await response.read(), response.getheader("Retry-After")

    async def credentials(self) -> Credentials:
        """Return the credentials as they are now; tokens of service accounts expire."""
        configuration = self._api.configuration
        bearer = await configuration.get_api_key_with_prefix(_BEARER, alias="authorization")
        return Credentials(
            server=configuration.host,
            insecure=not configuration.verify_ssl,
            token=bearer.split()[-1] if bearer else None,
            ca_path=configuration.ssl_ca_cert,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            proxy_url=configuration.proxy,
            trust_env=(configuration.client_session_kwargs or {}).get("trust_env", True),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()


@dataclass(frozen=True, slots=True)
class UserAccess:
    """Which kubeconfig and context a person means; None is what ``kubectl`` would take."""

    kubeconfig: str | None = None
    context: str | None = None
    user_agent: str = "kubectl-llm"


@dataclass(frozen=True, slots=True)
class UserConnection:
    """A transport as a person, and the namespace that their context names."""

    transport: Transport
    namespace: str


async def connect_as_user(access: UserAccess, request_timeout_seconds: float) -> UserConnection:
    """Connect as ``kubectl`` does: the given file, ``KUBECONFIG``, the user's, or the own pod.

    Raises:
        ConnectionError: none of them is there, or the one that is cannot be read.
    """
    named = access.kubeconfig or os.environ.get("KUBECONFIG")
    path = named or config.KUBE_CONFIG_DEFAULT_LOCATION
    found = _names_a_file(path)
    in_pod = not named and "KUBERNETES_SERVICE_HOST" in os.environ
    if not found and not in_pod:
        raise ConnectionError(f"there is no kubeconfig at {path}")
    configuration = Configuration()
    try:
        if found:
            namespace = await _load_context(configuration, path, access.context)
        else:
            _load_own_account(configuration)
            namespace = _own_namespace()
    except _UNUSABLE as error:
        raise ConnectionError(f"no usable cluster credentials: {error}") from error
    transport = Transport(configuration, request_timeout_seconds, access.user_agent)
    return UserConnection(transport, namespace)


def _names_a_file(path: str) -> bool:
    """Whether any part of a path in the form of ``KUBECONFIG`` is a file."""
    return any(Path(part).expanduser().is_file() for part in path.split(os.pathsep) if part)


def _own_namespace() -> str:
    return _OWN_NAMESPACE.read_text(encoding="utf-8").strip()


async def _load_context(configuration: Configuration, path: str, context: str | None) -> str:
    """Load a context, the current one by default, and return its namespace."""
    loader = await config.load_kube_config(
        path, context, client_configuration=configuration, persist_config=False
    )
    return str(loader.current_context["context"].get("namespace") or "default")


def _load_own_account(configuration: Configuration) -> None:
    config.load_incluster_config(configuration)
    # Never through a proxy: NO_PROXY lists networks, which aiohttp does not understand.
    configuration.client_session_kwargs = {"trust_env": False}


async def connect(request_timeout_seconds: float, connections: int) -> Transport:
    """Return a transport to the cluster that the environment names.

    ``KUBECONFIG`` wins; else the service account of the pod; else the user's kubeconfig.

    Raises:
        ConnectionError: none of them is there, or the one that is cannot be read.
    """
    configuration = Configuration(connection_pool_maxsize=connections)
    try:
        if "KUBECONFIG" not in os.environ and "KUBERNETES_SERVICE_HOST" in os.environ:
            _load_own_account(configuration)
        else:
            path = os.environ.get("KUBECONFIG", config.KUBE_CONFIG_DEFAULT_LOCATION)
            await config.load_kube_config(
                path, client_configuration=configuration, persist_config=False
            )
    except _UNUSABLE as error:
        raise ConnectionError(f"no usable cluster credentials: {error}") from error
    return Transport(configuration, request_timeout_seconds)
