"""A real ``llm-server serve`` process and the clients that talk to it."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from llm_server import contract

READY_SECONDS = 120
"""Far more than a start takes: the machines that run tests are shared."""


@dataclass
class RunningServer:
    """A process and its ports; its log lines are collected as they come."""

    process: subprocess.Popen[str]
    log: list[dict[str, Any]] = field(default_factory=list)
    http_port: int = 0
    probe_port: int = 0

    @property
    def url(self) -> str:
        """The base of the API."""
        return f"http://127.0.0.1:{self.http_port}"

    def client(self, timeout_seconds: float = 60) -> httpx.Client:
        """Return a client of the API; the caller closes it."""
        return httpx.Client(base_url=self.url, timeout=timeout_seconds)

    def probe(self, path: str) -> httpx.Response:
        """Ask the probe port."""
        return httpx.get(f"http://127.0.0.1:{self.probe_port}{path}", timeout=10)

    def wait_until_ready(self) -> None:
        """Wait for readiness; AssertionError with the log when the process ends first."""
        deadline = time.monotonic() + READY_SECONDS
        while self.probe(contract.READY_PATH).status_code != 200:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def metric(self, sample: str) -> float:
        """Return a sample of the metrics by name, or by name and one label: ``name{label="x"}``."""
        name, _, label = sample.rstrip("}").partition("{")
        pattern = re.compile(
            rf"^{re.escape(name)}\{{[^}}]*{re.escape(label)}[^}}]*\}} (\S+)$", re.MULTILINE
        )
        found = pattern.findall(self.probe(contract.METRICS_PATH).text)
        assert len(found) == 1, (sample, found)
        return float(found[0])

    def until(self, sample: str, value: float, within_seconds: float = 30) -> None:
        """Wait until a metric has this value."""
        deadline = time.monotonic() + within_seconds
        while (seen := self.metric(sample)) != value:
            assert time.monotonic() < deadline, f"{sample} is {seen}, not {value}"
            time.sleep(0.02)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self, within_seconds: float = 60) -> int:
        """Wait for the end of the process."""
        return self.process.wait(within_seconds)

    def kill(self) -> None:
        """End the process if it is still there."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def start_server(*flags: str, environment: Mapping[str, str] | None = None) -> RunningServer:
    """Start ``llm-server serve`` on free ports; by default with the simulated model as ``m``."""
    defaults = {
        "--model": "builtin://simulated",
        "--served-name": "m",
        "--simulated-load-seconds": "0",
    }
    given = dict(zip(flags[::2], flags[1::2], strict=True))
    chosen = [part for pair in (defaults | given).items() for part in pair]
    return start_plain_server(*chosen, environment=environment)


def start_plain_server(*flags: str, environment: Mapping[str, str] | None = None) -> RunningServer:
    """Start ``llm-server serve`` on free ports, with nothing else that is not given."""
    defaults = {"--host": "127.0.0.1", "--http-port": "0", "--probe-port": "0"}
    given = dict(zip(flags[::2], flags[1::2], strict=True))
    arguments = [part for pair in (defaults | given).items() for part in pair]
    process = subprocess.Popen(
        [sys.executable, "-m", "llm_server", "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**(environment or {}), "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
    )
    server = RunningServer(process)
    listening = threading.Event()
    threading.Thread(target=_read_log, args=(server, listening), daemon=True).start()
    listening.wait(READY_SECONDS)
    return server


def stream_events(response: httpx.Response) -> Iterator[dict[str, Any] | str]:
    """Yield the events of a stream as objects; the final ``[DONE]`` as a string."""
    for line in response.iter_lines():
        if line.startswith("data: "):
            content = line.removeprefix("data: ")
            yield content if content == "[DONE]" else json.loads(content)


def _read_log(server: RunningServer, listening: threading.Event) -> None:
    """Collect log lines until the process ends; what is not JSON is kept as text."""
    assert server.process.stdout is not None
    try:
        for line in server.process.stdout:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                entry = {"text": line}
            server.log.append(entry)
            if entry.get("event") == "Listening":
                server.http_port, server.probe_port = entry["http_port"], entry["probe_port"]
                listening.set()
    except ValueError:
        return  # closed by kill()
    finally:
        listening.set()
