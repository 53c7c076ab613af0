"""HTTP to the API server of a cluster that lives in a network namespace of its own.

``kubectl proxy`` listens on a unix socket, which is reachable across network namespaces, and adds
the administrator's credentials. Reads and patches of the tests go this way; commands that a user
would type go through kubectl itself.
"""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

import e2e.cluster

READY_SECONDS = 15.0


def _wait_until_it_answers(client: httpx.Client, proxy: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            client.get("/readyz").raise_for_status()
        except httpx.HTTPError as error:
            if proxy.poll() is not None or time.monotonic() > deadline:
                message = f"kubectl proxy does not answer: {error!r} (exit {proxy.poll()})"
                raise RuntimeError(message) from error
            time.sleep(0.1)
        else:
            return


@contextmanager
def api_client(backend: e2e.cluster.Cluster) -> Iterator[httpx.Client]:
    """Yield a client whose base URL is the API server, as its administrator."""
    with tempfile.TemporaryDirectory(prefix="llm-operator-e2e-") as directory:
        socket = str(Path(directory) / "api.sock")
        proxy = backend.popen(
            "kubectl",
            "proxy",
            f"--unix-socket={socket}",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        transport = httpx.HTTPTransport(uds=socket, retries=0)
        try:
            with httpx.Client(
                transport=transport, base_url="http://localhost", timeout=30
            ) as client:
                _wait_until_it_answers(client, proxy)
                yield client
        finally:
            proxy.terminate()
            proxy.wait(timeout=10)
