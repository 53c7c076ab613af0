"""The operator as a process: start, stop, leadership, restart, and starts that cannot succeed."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import yaml

from llm_operator import kinds
from tests.builders import an_llm_deployment
from tests.models.apiserver import ApiServerModel
from tests.models.http_apiserver import HttpApiServer, serving

ROOT = Path(__file__).parents[3]
START_SECONDS = 30.0
RESTART_SECONDS = 10.0


async def until(probe: Callable[[], object], within_seconds: float = START_SECONDS) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + within_seconds
    while True:
        if probe():
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@dataclass
class Process:
    """One operator process."""

    process: asyncio.subprocess.Process
    port: int
    lines: list[str] = field(default_factory=list)

    async def read(self) -> None:
        """Collect what it writes until it ends."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip())

    def said(self, text: str) -> bool:
        """Whether some line has this text."""
        return any(text in line for line in self.lines)

    async def status_of(self, path: str) -> int:
        """The status of a probe; 0 while nothing listens."""
        async with httpx.AsyncClient() as client:
            try:
                answer = await client.get(f"http://127.0.0.1:{self.port}{path}")
            except httpx.TransportError:
                return 0
        return answer.status_code

    async def end(self, number: signal.Signals) -> int:
        """Send a signal, wait for the end and return the exit code."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), RESTART_SECONDS)


@dataclass
class Site:
    """An API server with a kubeconfig for it, and the processes that were started on it."""

    server: HttpApiServer
    kubeconfig: Path
    ports: Callable[[], int]

    @property
    def model(self) -> ApiServerModel:
        return self.server.model

    @asynccontextmanager
    async def operator(self, **settings: str) -> AsyncIterator[Process]:
        """Run an operator; it is killed at the end if it still runs."""
        port = self.ports()
        variables = {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "operator"), str(ROOT / "server")]),
            "KUBECONFIG": str(self.kubeconfig),
            "LLM_OPERATOR_PROBE_PORT": str(port),
            "LLM_OPERATOR_NAMESPACE": "system",
            "LLM_OPERATOR_LOG_FORMAT": "json",
            **settings,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "llm_operator",
            env={**os.environ, **variables},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        run = Process(process, port)
        reader = asyncio.create_task(run.read())
        try:
            yield run
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reader

    def holder(self) -> str:
        """Who holds the Lease."""
        lease = self.model.find(kinds.LEASE, "system", "llm-operator")
        return str(lease["spec"]["holderIdentity"]) if lease else ""

    def phase(self) -> str:
        """The phase of the resource."""
        resource = self.model.find(kinds.LLM_DEPLOYMENT, "default", "chat")
        return str((resource or {}).get("status", {}).get("phase", ""))

    def writes(self) -> list[tuple[str, str]]:
        """All writes so far, the Lease apart."""
        reads = ("get", "list")
        return [(v, k) for v, k in self.model.requests if v not in reads and k != "Lease"]


@pytest.fixture
async def site(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> AsyncIterator[Site]:
    """A cluster with one resource that is stopped, so that no pods are needed."""
    model = ApiServerModel()
    model.unserved |= kinds.OPTIONAL_KINDS
    resource = an_llm_deployment(replicas=0)
    del resource["metadata"]["uid"], resource["metadata"]["resourceVersion"]
    model.create(kinds.LLM_DEPLOYMENT, resource, "kubectl")
    async with serving(model) as server:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(_kubeconfig(server.url))
        yield Site(server, kubeconfig, unused_tcp_port_factory)


def _kubeconfig(url: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
    )


async def test_a_process_leads_reconciles_and_ends_in_order(site: Site) -> None:
    """From start to SIGTERM: probes pass, the resource is seen to, the Lease is given back."""
    async with site.operator() as run:
        await until(lambda: site.phase() == "Stopped")
        assert await run.status_of("/livez") == 200
        assert await run.status_of("/readyz") == 200
        children = {
            kind.kind for kind, namespace, _ in site.model.objects if namespace == "default"
        }
        assert children >= {"ControllerRevision", "Deployment", "Service", "ServiceAccount"}
        assert await run.end(signal.SIGTERM) == 0
        assert site.holder() == ""


async def test_a_restart_with_nothing_to_do_writes_nothing(site: Site) -> None:
    """A second process finds all as it should be."""
    async with site.operator() as first:
        await until(lambda: site.phase() == "Stopped")
        await first.end(signal.SIGTERM)
    before = len(site.writes())
    async with site.operator() as second:
        await until(lambda: second.said("Started workers"))
        await asyncio.sleep(2)
        assert site.writes()[before:] == []


async def test_a_standby_is_ready_and_writes_nothing_until_it_leads(site: Site) -> None:
    """Two replicas: one writes, both are ready, and after SIGTERM the other goes on."""
    async with site.operator() as first:
        await until(lambda: site.phase() == "Stopped")
        leader = site.holder()
        async with site.operator() as second:
            await until(lambda: site.server.watches_begun >= 2 * len(site.server.watching))
            for _ in range(100):
                if await second.status_of("/readyz") == 200:
                    break
                await asyncio.sleep(0.1)
            assert site.holder() == leader
            assert not second.said("Started workers")
            await first.end(signal.SIGTERM)
            await until(lambda: second.said("Started workers"), within_seconds=5)
            site.model.remove(kinds.SERVICE, "default", "chat")
            await until(lambda: site.model.find(kinds.SERVICE, "default", "chat"), 5)


async def test_a_leader_whose_lease_is_taken_ends_with_1(site: Site) -> None:
    """Somebody else leads: the process must not go on, and is not asked to stop nicely."""
    async with site.operator() as run:
        await until(lambda: site.phase() == "Stopped")
        site.model.edit(
            kinds.LEASE,
            ("system", "llm-operator"),
            lambda lease: lease["spec"].update(holderIdentity="thief"),
        )
        assert await asyncio.wait_for(run.process.wait(), RESTART_SECONDS) == 1
        assert run.said("thief")
        assert site.holder() == "thief"


async def test_an_api_server_that_is_away_at_the_start_is_waited_for(site: Site) -> None:
    """The process is alive but not ready, and begins when the API server answers."""
    site.server.status = 503
    async with site.operator() as run:
        await until(lambda: run.said("Cannot list"))
        assert await run.status_of("/livez") == 200
        assert await run.status_of("/readyz") == 503
        site.server.status = 200
        await until(lambda: site.phase() == "Stopped")


@pytest.mark.parametrize("text", [None, "", "{", "just a string", "[1]"])
async def test_a_start_without_credentials_says_so(
    site: Site, tmp_path: Path, text: str | None
) -> None:
    """A kubeconfig that is missing or cannot be read ends the start with one clear line."""
    path = tmp_path / "other"
    if text is not None:
        path.write_text(text)
    async with site.operator(KUBECONFIG=str(path)) as run:
        assert await asyncio.wait_for(run.process.wait(), START_SECONDS) == 1
        await asyncio.sleep(0.1)
        assert run.said("Cannot reach a cluster")
        assert run.said("no usable cluster credentials")
        assert not run.said("Traceback")


async def test_a_port_that_is_taken_ends_the_start(site: Site) -> None:
    """Two processes on one probe port: the second says which port and ends."""
    async with site.operator() as first:
        await until(lambda: first.said("Started workers"))
        async with site.operator(LLM_OPERATOR_PROBE_PORT=str(first.port)) as second:
            assert await asyncio.wait_for(second.process.wait(), START_SECONDS) == 1
            await asyncio.sleep(0.1)
            assert second.said("Cannot listen for probes")
            assert second.said(str(first.port))
            assert not second.said("Traceback")


async def test_a_wrong_setting_ends_the_start(site: Site) -> None:
    """A value that does not parse is named before anything is connected."""
    async with site.operator(LLM_OPERATOR_WORKERS="none") as run:
        assert await asyncio.wait_for(run.process.wait(), START_SECONDS) == 1
        await asyncio.sleep(0.1)
        assert run.said("LLM_OPERATOR_WORKERS: ")
        assert not run.said("Traceback")
