"""Which cluster the operator connects to, and as whom."""

import asyncio
from pathlib import Path

import pytest
import yaml
from kubernetes.aio.config import incluster_config

from llm_operator.cluster import transport
from llm_operator.cluster.transport import Credentials, connect

CA = """-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUFyQ2m0K0GZ0ZC4pKqkQyQ0bEu4kwCgYIKoZIzj0EAwIw
-----END CERTIFICATE-----
"""


def kubeconfig(path: Path, server: str) -> Path:
    """Write a kubeconfig for a server, with a token."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "from-kubeconfig"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def in_pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The environment and the files of a pod with a service account; returns the token's file."""
    token, ca = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("from-service-account")
    ca.write_text(CA)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(ca))
    monkeypatch.setattr(transport, "ApiClient", OfflineClient)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return token


class OfflineClient:
    """Stands in for the package's client, which would load the certificate."""

    def __init__(self, configuration: object) -> None:
        self.configuration = configuration
        self.user_agent = ""

    async def close(self) -> None:
        """Nothing is open."""


async def credentials_of_connection() -> Credentials:
    """Connect as the environment says and return what was found."""
    connection = await connect(request_timeout_seconds=1, connections=1)
    found = await connection.credentials()
    await connection.close()
    return found


async def test_a_pod_uses_its_service_account(in_pod: Path) -> None:
    """In a cluster the API server and the token are those of the pod, and no proxy is used."""
    found = await credentials_of_connection()
    assert (found.server, found.token) == ("https://10.0.0.1:443", "from-service-account")
    assert found.ca_path == str(in_pod.parent / "ca.crt")
    assert not found.insecure
    assert not found.trust_env


async def test_a_named_kubeconfig_wins_over_the_service_account(
    in_pod: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``KUBECONFIG`` says expressly which cluster is meant."""
    path = kubeconfig(tmp_path / "config", "http://elsewhere:6443")
    monkeypatch.setenv("KUBECONFIG", str(path))
    found = await credentials_of_connection()
    assert (found.server, found.token) == ("http://elsewhere:6443", "from-kubeconfig")


async def test_without_token_the_pod_cannot_connect(in_pod: Path) -> None:
    """A pod whose token is not mounted is told so."""
    await asyncio.to_thread(in_pod.unlink)
    with pytest.raises(ConnectionError, match="token"):
        await connect(request_timeout_seconds=1, connections=1)
