"""HTTP to the API server of a cluster that lives in a network namespace of its own.

``kubectl proxy`` listens on a unix socket, which is reachable across network namespaces, and adds
the administrator's credentials. Reads and patches of the tests go this way; commands that a user
would type go through kubectl itself.
"""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

import e2e.cluster

READY_SECONDS = 30.0


def _wait_until_it_listens(path: str, proxy: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except OSError as error:
                if proxy.poll() is not None or time.monotonic() > deadline:
                    message = f"kubectl proxy does not listen: {error!r} (exit {proxy.poll()})"
                    raise RuntimeError(message) from error
            else:
                return
        time.sleep(0.1)


@contextmanager
def api_socket(backend: e2e.cluster.Cluster) -> Iterator[str]:
    """Yield the path of a unix socket behind which the API server answers its administrator."""
    with tempfile.TemporaryDirectory(prefix="llm-operator-e2e-") as directory:
        path = str(Path(directory) / "api.sock")
        proxy = backend.popen(
            "kubectl",
            "proxy",
            f"--unix-socket={path}",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_until_it_listens(path, proxy)
            yield path
        finally:
            proxy.terminate()
            proxy.wait(timeout=10)


@contextmanager
def api_client(backend: e2e.cluster.Cluster) -> Iterator[httpx.Client]:
    """Yield a client whose base URL is the API server, as its administrator."""
    with api_socket(backend) as path:
        transport = httpx.HTTPTransport(uds=path)
        with httpx.Client(transport=transport, base_url="http://localhost", timeout=30) as client:
            yield client
