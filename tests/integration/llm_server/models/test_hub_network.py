"""Certificates and proxies of a Hub come from the environment, by the names that are documented."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from e2e.hub.server import HubServer
from llm_server.contract import StartupFailure
from llm_server.models import download
from llm_server.models.download import fetch
from llm_server.models.failures import StartupError
from llm_server.models.progress import Progress
from llm_server.models.source import HubSource

TINY = HubSource("demo/tiny")
CA_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's network settings, and no patience with a hub."""
    for name in (*CA_VARIABLES, *PROXY_VARIABLES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(download, "RETRY_SECONDS", 0.0)


def issue(directory: Path, name: str, *options: str) -> None:
    """Write ``name``.key and ``name``.crt, valid for a day."""
    request = [
        *("openssl", "req", "-x509", "-noenc", "-newkey", "ec", "-days", "1"),
        *("-pkeyopt", "ec_paramgen_curve:P-256", "-subj", f"/CN={name}"),
        *("-keyout", f"{name}.key", "-out", f"{name}.crt", *options),
    ]
    subprocess.run(request, check=True, capture_output=True, cwd=directory)


@pytest.fixture
def private_ca(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the Hub speak TLS with a certificate of a CA that nobody knows; return the CA's."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    issue(tmp_path, "ca")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE")
    issue(tmp_path, "hub", *signed, "-addext", "subjectAltName=IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "hub.crt", tmp_path / "hub.key")
    hub.socket = context.wrap_socket(hub.socket, server_side=True)
    monkeypatch.setenv("HF_ENDPOINT", hub.url.replace("http:", "https:"))
    return tmp_path / "ca.crt"


def test_ssl_cert_file_names_the_ca_of_a_hub(
    hub: HubServer, private_ca: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Hub behind a private CA is downloaded from with its certificate in SSL_CERT_FILE."""
    monkeypatch.setenv("SSL_CERT_FILE", str(private_ca))

    snapshot = fetch(TINY, tmp_path / "cache", Progress())

    assert (snapshot.directory / "model.safetensors").is_file()


def test_an_unknown_ca_is_a_source_that_is_unavailable(
    hub: HubServer, private_ca: Path, tmp_path: Path
) -> None:
    """Without SSL_CERT_FILE nothing is asked of such a Hub; the failure names the certificate."""
    with pytest.raises(StartupError, match=r"(?i)certificate") as refused:
        fetch(TINY, tmp_path / "cache", Progress())

    assert refused.value.reason is StartupFailure.MODEL_SOURCE_UNAVAILABLE
    assert not hub.seen


def test_http_proxy_is_asked_for_the_hub(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With HTTP_PROXY every request for an http:// Hub goes to the proxy, with its whole URL."""
    monkeypatch.setenv("HTTP_PROXY", hub.url)  # a Hub that takes whole URLs stands for the proxy
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")

    snapshot = fetch(TINY, tmp_path / "cache", Progress())

    assert (snapshot.directory / "model.safetensors").is_file()
    assert hub.seen
    assert all(seen.path.startswith("http://hub.invalid/") for seen in hub.seen)
