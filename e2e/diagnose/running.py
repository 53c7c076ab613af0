"""Runs the faults batch by batch on a cluster that has the operator, and judges what is told."""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from e2e import hub_pod
from e2e.diagnose import fake_nodes, registry, tiny_images
from e2e.diagnose.cluster_objects import cluster_objects, namespaces
from e2e.diagnose.fault import Admission, Batch, Fault
from e2e.diagnose.living import FINALIZER
from e2e.diagnose.watching import CAUSES, Told, Watching, watching
from e2e.story import Cluster, Namespace
from llm_operator import kinds

NAMED_WITHIN_SECONDS: Final = 30.0
SETTLE_SECONDS: Final = 3.0
"""Watched on after the last cause is named: it must stay."""
READY_SECONDS: Final = 90.0
LOOK_SECONDS: Final = 0.25
PODS_AT_ONCE: Final = 8
"""Of those that get a node."""

Namespaces = dict[Admission, Namespace]


class Outcome(StrEnum):
    """How a diagnosis ended."""

    CORRECT = "correct"
    UNKNOWN = "unknown"
    """The cause was not named in time, and no other either."""
    WRONG = "wrong"
    """At some time another cause was named."""


@dataclass(frozen=True, slots=True)
class Result:
    """What was told of one fault."""

    fault: Fault
    outcome: Outcome
    told: Told | None
    """The cause, the first wrong one, or the last word."""
    seconds: float | None = None
    """From the fault to its cause in the status."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """A fault that was injected."""

    fault: Fault
    namespace: Namespace
    started_at: float


def run(
    cluster: Cluster, faults: Sequence[Fault], told: Callable[[Result], None] = lambda _: None
) -> list[Result]:
    """Inject faults, in the order of their batches, and return what became of each.

    ``told`` gets the results of a batch as soon as it has ended.
    """
    results: list[Result] = []
    with _arranged(cluster, faults) as places, watching(cluster) as seen:
        for batch in _batches(faults):
            ended = _run_batch(places, batch, seen)
            for result in ended:
                told(result)
            results += ended
    return results


def _batches(faults: Sequence[Fault]) -> list[list[Fault]]:
    """Part the faults: a small node takes its time over many pods at once."""
    parts = []
    for batch in Batch:
        members = [fault for fault in faults if fault.batch is batch]
        size = len(members) if batch is Batch.REFUSED else PODS_AT_ONCE
        parts += [members[at : at + size] for at in range(0, len(members), size or 1)]
    return parts


@contextmanager
def _arranged(cluster: Cluster, faults: Sequence[Fault]) -> Iterator[Namespaces]:
    """Have what the faults need around them."""
    named = json.dumps([fault.resource for fault in faults])
    with ExitStack() as stack:
        stack.enter_context(cluster_objects(cluster))
        places = stack.enter_context(namespaces(cluster, f"diagnose-{uuid.uuid4().hex[:6]}"))
        if tiny_images.REPOSITORY in named:
            tiny_images.push_tiny_images(cluster)
        if registry.ADDRESS in named:
            stack.enter_context(registry.faulty_registry(places[Admission.OPEN]))
        if hub_pod.NAMESPACE in named:
            hub_pod.start_hub(cluster)
            stack.callback(hub_pod.stop_hub, cluster)
        if fake_nodes.POOL_LABEL in named:
            stack.enter_context(fake_nodes.fake_nodes(cluster))
        yield places


def _run_batch(places: Namespaces, faults: Sequence[Fault], seen: Watching) -> list[Result]:
    if any(fake_nodes.POOL_LABEL in json.dumps(fault.resource) for fault in faults):
        fake_nodes.renew(places[Admission.OPEN].cluster)
    for fault in faults:
        for manifest in fault.beside:
            places[fault.admission].apply(manifest)
    created = [_create(places[fault.admission], fault) for fault in faults]
    trials = [_inject(trial) for trial in created]
    results = _await_causes(trials, seen)
    for trial in trials:
        _remove(trial)
    return results


def _create(namespace: Namespace, fault: Fault) -> _Trial:
    """Create the resource by one request: its clock starts when that is answered."""
    response = namespace.cluster.api.post(
        kinds.LLM_DEPLOYMENT.path(namespace.name),
        content=json.dumps(fault.resource),
        headers={"Content-Type": "application/json"},
    )
    assert response.is_success, f"{fault.name}: {response.text[:500]}"
    return _Trial(fault, namespace, time.monotonic())


def _inject(trial: _Trial) -> _Trial:
    """Break what is to be broken once it is whole; its clock starts then."""
    fault, namespace = trial.fault, trial.namespace
    if fault.inject is None:
        return trial
    namespace.until(
        f"{fault.name} is whole", lambda: _is_whole(trial), within_seconds=READY_SECONDS
    )
    fault.inject(namespace, fault.name)
    return replace(trial, started_at=time.monotonic())


def _is_whole(trial: _Trial) -> bool:
    """Whether the resource is ready; on a node without a kubelet, whether its pod is there."""
    fault, namespace = trial.fault, trial.namespace
    if "podTemplate" in fault.resource["spec"]:
        return any(pod["spec"].get("nodeName") for pod in namespace.live_pods(fault.name))
    return namespace.settled(fault.name)


def _await_causes(trials: Sequence[_Trial], seen: Watching) -> list[Result]:
    last = max(trial.started_at for trial in trials)
    while time.monotonic() - last < NAMED_WITHIN_SECONDS:
        results = [_judge(trial, seen) for trial in trials]
        if all(result.outcome is Outcome.CORRECT for result in results):
            break
        time.sleep(LOOK_SECONDS)
    time.sleep(SETTLE_SECONDS)
    return [_judge(trial, seen) for trial in trials]


def _judge(trial: _Trial, seen: Watching) -> Result:
    """Judge all that was told since the fault was there; any other cause is wrong for good."""
    fault, since = trial.fault, trial.started_at
    told = seen.of((trial.namespace.name, fault.name), since)
    causes = [entry for entry in told if entry.reason in CAUSES]
    wrong = [entry for entry in causes if entry.reason not in (fault.expected, *fault.before)]
    if wrong:
        return Result(fault, Outcome.WRONG, wrong[0])
    named = [e for e in causes if e.reason == fault.expected and fault.word in e.message]
    in_time = [entry for entry in named if entry.at - since <= NAMED_WITHIN_SECONDS]
    if not in_time:
        return Result(fault, Outcome.UNKNOWN, told[-1] if told else None)
    return Result(fault, Outcome.CORRECT, in_time[0], in_time[0].at - since)


def _remove(trial: _Trial) -> None:
    """Delete the resource, and let go of a pod that is held."""
    namespace, name = trial.namespace, trial.fault.name
    for pod in namespace.objects(kinds.POD, f"{kinds.INSTANCE_LABEL}={name}"):
        metadata = pod["metadata"]
        if FINALIZER in metadata.get("finalizers", []):
            namespace.patch(kinds.POD, metadata["name"], {"metadata": {"finalizers": None}})
    namespace.delete(kinds.LLM_DEPLOYMENT, name)
