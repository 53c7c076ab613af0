"""``python -m e2e.demo``: from nothing to a streamed answer, a canary, and a change that fails.

Every stage is repeatable: what is already there is kept, so a second run takes less than three
minutes and a run after Ctrl-C goes on where the first one stopped. The cluster stays up.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
import typer
import yaml
from rich.console import Console
from rich.table import Table

import e2e.cluster
from e2e import demo_changes
from e2e.access import api_client
from e2e.installation import ROOT, install_operator
from e2e.manifests import client_pod
from e2e.story import Cluster, Namespace, condition_of
from llm_operator import kinds

CLUSTER = "llm-operator"
EXAMPLE = ROOT / "examples" / "demo.yaml"
CLIENT = "llm-demo-client"
PROMPT = "What is Kubernetes? Answer in one sentence."
READY_SECONDS = 600.0
IN_CLUSTER = ".venv/bin/python -m e2e.cluster exec --"
KUBECTL = f"{IN_CLUSTER} kubectl"
PLUGIN = f"{IN_CLUSTER} .venv/bin/kubectl-llm"


class DemoFailed(RuntimeError):
    """The demo cannot go on; the message says why and what to look at."""


@dataclass(slots=True)
class Stages:
    """What ran so far, and for how many seconds."""

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)
    current: str = ""

    @contextmanager
    def run(self, name: str, told: str) -> Iterator[None]:
        """Time one stage."""
        self.current = name
        self.console.print(f"[bold]{name}[/bold]  {told}")
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started

    def table(self) -> Table:
        """Return the time of each stage and of all."""
        table = Table("stage", "seconds", box=None, pad_edge=False)
        for name, seconds in self.seconds.items():
            table.add_row(name, f"{seconds:8.1f}")
        table.add_row("all", f"{sum(self.seconds.values()):8.1f}", style="bold")
        return table


def example() -> dict[str, Any]:
    """Return the manifest of the demo."""
    manifest: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    return manifest


def _news(resource: dict[str, Any]) -> str:
    """Say in one line where a resource is."""
    status = resource.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions", [])}
    ready = conditions.get("Ready", {})
    told = f"{status.get('phase', 'not seen yet'):<12}"
    if ready:
        told += f" Ready={ready['status']} {ready['reason']}: {ready.get('message', '')}"
    return told


def wait_until_ready(console: Console, namespace: Namespace, name: str) -> None:
    """Print every change of the resource's state until it is Ready.

    Raises DemoFailed when it stalls or after ``READY_SECONDS``.
    """
    started, last = time.monotonic(), ""
    with console.status("waiting"):
        while not namespace.settled(name):
            resource = namespace.resource(name)
            elapsed, news = time.monotonic() - started, _news(resource)
            if news != last:
                console.print(f"  {elapsed:5.1f} s  {news}", highlight=False, markup=False)
            last = news
            if _is_stuck(resource) or elapsed > READY_SECONDS:
                look = f"{KUBECTL} describe llmdeployment {name}"
                raise DemoFailed(f"{name} does not get ready: {news}\nLook at: {look}")
            time.sleep(0.5)
    console.print(f"  {_news(namespace.resource(name))}", highlight=False, markup=False)


def _is_stuck(resource: dict[str, Any]) -> bool:
    """Whether it is Stalled for its spec as it is now, not for one before."""
    status = resource.get("status", {})
    seen = status.get("observedGeneration") == resource["metadata"]["generation"]
    return seen and condition_of(status, "Stalled").status == "True"


def start_client(namespace: Namespace) -> None:
    """Have a client pod running in which commands can be executed."""
    image = namespace.cluster.images.client
    found = namespace.get(kinds.POD, CLIENT)
    if found and found["spec"]["containers"][0]["image"] != image:
        namespace.kubectl("delete", "pod", CLIENT, "--now")
    namespace.apply(client_pod(CLIENT, image, ["sleep", "infinity"]))
    namespace.kubectl("wait", "--for=condition=Ready", f"pod/{CLIENT}", "--timeout=60s")


def stream_answer(namespace: Namespace, name: str, model: str) -> None:
    """Ask through the Service from inside the cluster and print the answer as it arrives.

    Raises DemoFailed when the client ends with an error.
    """
    chat = ["python3", "chat.py", f"--base-url=http://{name}/v1", f"--model={model}"]
    command = ["kubectl", "-n", namespace.name, "exec", CLIENT, "--", *chat, f"--prompt={PROMPT}"]
    process = namespace.cluster.backend.popen(*command, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    sys.stdout.write(f"\n  > {PROMPT}\n\n  ")
    try:
        while piece := process.stdout.read(1):
            sys.stdout.write(piece)
            sys.stdout.flush()
        told = process.stderr.read().strip()
    except BaseException:
        process.terminate()
        raise
    if process.wait() != 0:
        look = f"{KUBECTL} logs -l {kinds.INSTANCE_LABEL}={name}"
        raise DemoFailed(f"no whole answer: {told}\nLook at: {look}")
    figures = json.loads(told.splitlines()[-1])
    sys.stdout.write(
        f"\n  {figures['tokens']} tokens, the first after {figures['first_token_seconds']} s, "
        f"all in {figures['seconds']} s\n\n"
    )


def demonstrate(console: Console, stages: Stages) -> None:
    """Run every stage."""
    manifest = example()
    name = manifest["metadata"]["name"]
    with stages.run("cluster", f"kind, registry and metrics-server ({CLUSTER})"):
        backend = e2e.cluster.up(CLUSTER)
    with stages.run("images", "operator and server, built and pushed to the cluster's registry"):
        images = e2e.cluster.images(backend)
    with stages.run("operator", "helm upgrade --install llm-operator charts/llm-operator"):
        install_operator(backend, images)
    with api_client(backend) as api:
        namespace = Namespace(Cluster(backend, api, images), "default")
        with stages.run("model", f"kubectl apply -f {EXAMPLE.relative_to(ROOT)}"):
            namespace.kubectl("apply", "-f", str(EXAMPLE))
            wait_until_ready(console, namespace, name)
            start_client(namespace)
        with stages.run("answer", f"POST http://{name}/v1/chat/completions, streamed"):
            stream_answer(namespace, name, manifest["spec"]["model"].get("servedName", name))
        with stages.run("canary", "an edit of the spec, while clients ask"):
            demo_changes.promote(console, namespace, name)
        with stages.run("broken change", "an edit that asks for a model which does not exist"):
            demo_changes.break_it(console, namespace, name)


def epilogue(console: Console, stages: Stages) -> None:
    """Print the times and what to type next."""
    name = example()["metadata"]["name"]
    console.print(stages.table())
    console.print(
        f"""
The cluster stays up; the spec still asks for the broken change. What to type next:
  {PLUGIN} explain {name}        says what is wrong, and what to do
  {PLUGIN} undo {name}           shows the way back, asks, and writes it into the spec
  {PLUGIN} history {name}        what became of each revision
  {KUBECTL} scale llmdeployment {name} --replicas=2
  make demo            does all of it again, in under three minutes
  make cluster-down    removes all of it""",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def run(stages: Stages) -> int:
    """Run the demo; 0 when all of it came about, 1 when not, 130 after Ctrl-C."""
    console = stages.console
    try:
        demonstrate(console, stages)
    except KeyboardInterrupt:
        console.print(f"\nStopped while at '{stages.current}'. `make demo` goes on from there; ")
        console.print("`make cluster-down` removes what there is.")
        return 130
    except (RuntimeError, AssertionError, OSError, httpx.HTTPError) as error:
        told = str(error) or repr(error)  # time-outs may have no words
        console.print(f"\n'{stages.current}' failed: {told}", style="red", markup=False)
        if isinstance(error, demo_changes.ChangeFailed):
            look = f"Look at: {PLUGIN} explain {example()['metadata']['name']}"
            console.print(look, markup=False, soft_wrap=True)
        console.print("`make demo` tries again from there; `make cluster-down` removes all of it.")
        return 1
    epilogue(console, stages)
    return 0


def main(
    environment_seconds: Annotated[
        float | None, typer.Option(help="what making the environment took, for the table")
    ] = None,
) -> None:
    """From nothing to a streamed answer, a canary, and a change that fails."""
    stages = Stages(Console())
    if environment_seconds is not None:
        stages.seconds["environment"] = environment_seconds
    raise typer.Exit(run(stages))


if __name__ == "__main__":
    typer.run(main)
