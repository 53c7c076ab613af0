"""The changes that the demo makes to its model: a good one as a canary, and a broken one.

Each is an edit of the spec, as people make it, and is watched through the plugin: on a terminal in
its live view, elsewhere as a line per piece of news. Called by ``e2e.demo``.
"""

import functools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from rich.console import Console

from e2e.story import Manifest, Namespace
from e2e.traffic.harness import Load, Traffic, start
from kubectl_llm.exits import ExitCode

LOAD = Load(1, 1, 0, limit_seconds=240, fresh_connections=True)
"""Two clients, one of them streaming: enough for a judge on a machine of two cores."""
LOOK_SECONDS = 0.5
ENDED_SECONDS = 120
MISSING_MODEL = "file:///models/smollm2-135m-instruct-v2"
_BATCH_SIZE = 32
"""``server.batching.maxBatchSize`` where a spec does not say."""
_BATCH_SIZE_MAX = 64


class ChangeFailed(RuntimeError):
    """A change did not end as it should; the message says how it did."""


def next_batch_size(spec: Manifest) -> int:
    """Return another ``maxBatchSize`` than the spec has, so that a new revision starts."""
    batching: dict[str, Any] = spec.get("server", {}).get("batching", {})
    now = int(batching.get("maxBatchSize", _BATCH_SIZE))
    return now + 1 if now < _BATCH_SIZE_MAX else 1


def edit(console: Console, namespace: Namespace, name: str, spec: Manifest) -> ExitCode:
    """Edit the resource with kubectl, print the command, and follow what comes of it."""
    patch = ("patch", "llmdeployment", name, "--type=merge", "-p", json.dumps({"spec": spec}))
    told = f"  kubectl {' '.join(patch[:-1])} '{patch[-1]}'"
    console.print(told, highlight=False, markup=False, soft_wrap=True)
    return follow(namespace, name, functools.partial(namespace.kubectl, *patch))


@contextmanager
def requested(console: Console, namespace: Namespace, name: str) -> Iterator[None]:
    """Have clients ask through the Service for as long as the block runs; say what they got.

    Raises ChangeFailed when an answer failed or was cut.
    """
    _remove_clients(namespace, name)
    traffic = start(namespace, name, LOAD)
    try:
        traffic.until_answered(within_seconds=60)
        yield
        _print_answers(console, traffic)
    finally:
        _remove_clients(namespace, name)


def _remove_clients(namespace: Namespace, name: str) -> None:
    namespace.kubectl("delete", "pod", f"traffic-{name}", "--ignore-not-found", "--now")


def _print_answers(console: Console, traffic: Traffic) -> None:
    traffic.stop()
    report = traffic.report()
    by_revision = ", ".join(
        f"{count} by {key.removesuffix('/ok')}"
        for key, count in sorted(report.revisions.items())
        if key.endswith("/ok")
    )
    disturbed = report.disturbed()
    console.print(f"  answers: {by_revision}; {len(disturbed)} failed or cut", highlight=False)
    if disturbed:
        raise ChangeFailed(f"requests were disturbed: {json.dumps(disturbed[:3])}")


def follow(namespace: Namespace, name: str, change: Callable[[], object]) -> ExitCode:
    """Make a change, show the rollout in the plugin until it has ended, and return how.

    Raises ChangeFailed when it has not ended after ``ENDED_SECONDS``.
    """
    shows = ("get", name, "--watch", f"--interval={LOOK_SECONDS}")
    waits = ("status", name, "--watch", f"--interval={LOOK_SECONDS}", f"--timeout={ENDED_SECONDS}")
    with _plugin(namespace, *shows, stdout=sys.stdout):
        with _plugin(namespace, "status", name, stdout=subprocess.DEVNULL) as looks_once:
            looks_once.wait()  # and when it has looked, so has the view: both began together
        change()
        with _plugin(namespace, *waits, stdout=subprocess.DEVNULL) as waiter:
            code = ExitCode(waiter.wait())
        time.sleep(2 * LOOK_SECONDS)  # the view has seen the end by then
    if code is ExitCode.TIMED_OUT:
        raise ChangeFailed(f"the rollout has not ended within {ENDED_SECONDS} s")
    return code


@contextmanager
def _plugin(
    namespace: Namespace, *words: str, stdout: int | IO[str]
) -> Iterator["subprocess.Popen[str]"]:
    """Run the plugin, its complaints with those of this program; it is ended with the block."""
    command = (sys.executable, "-m", "kubectl_llm", *words, "-n", namespace.name)
    process = namespace.cluster.backend.popen(*command, stdout=stdout, stderr=sys.stderr)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # a live view leaves the terminal in order
            _reap(process)


def _reap(process: "subprocess.Popen[str]") -> None:
    """Wait for an end that was asked for; where SIGINT is ignored, it is made."""
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def promote(console: Console, namespace: Namespace, name: str) -> None:
    """Edit the spec, and see the new revision take the traffic step by step.

    Raises ChangeFailed when it is not promoted, or a request was disturbed.
    """
    size = next_batch_size(namespace.resource(name)["spec"])
    with requested(console, namespace, name):
        spec = {"server": {"batching": {"maxBatchSize": size}}}
        code = edit(console, namespace, name, spec)
        if code is not ExitCode.OK:
            told = namespace.condition(name, "Stalled")
            why = f"{code.name}, {told.reason}: {told.message}"
            raise ChangeFailed(f"the new revision was not promoted: {why}")
    stable = namespace.status(name)["stableRevision"]
    console.print(f"  revision {stable} serves", highlight=False)


def break_it(console: Console, namespace: Namespace, name: str) -> None:
    """Ask for a model that does not exist, and see that the old revision goes on serving.

    Raises ChangeFailed when the revision is not rolled back with its reason.
    """
    before = namespace.status(name)["stableRevision"]
    code = edit(console, namespace, name, {"model": {"source": MISSING_MODEL}})
    status, stalled = namespace.status(name), namespace.condition(name, "Stalled")
    serves = status["stableRevision"] == before and status.get("readyReplicas", 0) > 0
    if code is not ExitCode.ROLLED_BACK or not serves:
        raise ChangeFailed(f"it was not rolled back: {code.name}, {json.dumps(status)[:1000]}")
    told = f"  Stalled={stalled.status} {stalled.reason}: {stalled.message}"
    console.print(told, highlight=False, markup=False, soft_wrap=True)
    console.print(f"  revision {before} serves as before", highlight=False)
