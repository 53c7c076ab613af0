"""Nothing to do: resources in every state that lasts, and what the operator writes meanwhile.

``at_rest`` brings them there, ``writes_during`` counts from the API server's audit log. Used by a
test for some seconds and by ``make steady`` for ten minutes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from e2e import audit
from e2e.cluster.audit import AuditMark
from e2e.installation import OPERATOR_USER
from e2e.manifests import Manifest
from e2e.rollouts import NEW, Rolled, quick, served, step, wait_for_all
from e2e.story import Namespace
from llm_operator import kinds
from llm_operator.api.status import RolloutPhase

CRASHES = "--simulated-load-exit-code=3"
LOADS_FOR_EVER = "--simulated-load-stops-at-percent=50"
EVENTS = "events"
QUIET_SECONDS = 12.0
"""Longer than anything that follows the last change: proxies' delay, drains, intervals."""

_PAUSES = quick(step(50, 1, pause={}), step(100, 1))


@dataclass(frozen=True, slots=True)
class Quiet:
    """What the operator wrote in a namespace while nothing was changed there."""

    writes: tuple[audit.Request, ...]
    """Without events and the Lease."""
    events: tuple[audit.Request, ...]


def at_rest(namespace: Namespace) -> int:
    """Make a resource for each state that lasts, wait until it is there, and return how many."""
    ready = (
        served("promoted", quick(step(100, 1))),
        served("rolled-back", quick(step(100, 1))),
        served("paused", _PAUSES),
        served("scaled", quick()),
        served("stopped", quick(), replicas=0),
        served("blue-green", quick(strategy="BlueGreen")),
        _autoscaled(served("autoscaled", quick())),
    )
    loading = served("loading", quick(progressDeadlineSeconds=86_400), LOADS_FOR_EVER)
    for manifest in (*ready, loading):
        namespace.apply(manifest)
    resources = [Rolled(namespace, each["metadata"]["name"]) for each in ready]
    wait_for_all(resources)
    _change({each.name: each for each in resources})
    until_nobody_writes(namespace)
    return len(ready) + 1


def _autoscaled(manifest: Manifest) -> Manifest:
    """Give it an autoscaler that has no choice: its choices would be changes."""
    metrics = [{"type": "CPU", "targetUtilizationPercent": 70}]
    bounds = {"minReplicas": 1, "maxReplicas": 1, "metrics": metrics}
    manifest["spec"]["autoscaling"] = bounds
    return manifest


def _change(resources: dict[str, Rolled]) -> None:
    before = {name: each.stable for name, each in resources.items()}
    for name in ("promoted", "paused", "blue-green"):
        resources[name].edit_args(NEW)
    resources["rolled-back"].edit_args(CRASHES)
    resources["scaled"].edit(replicas=2)
    for name in ("promoted", "blue-green"):
        resources[name].until_promoted(resources[name].until_target_is_not(before[name]))
    resources["paused"].until(RolloutPhase.PAUSED, within_seconds=90)
    resources["rolled-back"].until(RolloutPhase.ROLLED_BACK, within_seconds=150)
    resources["scaled"].namespace.until_settled("scaled")


def until_nobody_writes(namespace: Namespace) -> None:
    """Wait until no LLMDeployment here, its status included, has been written for a while."""
    seen: dict[tuple[str, ...], float] = {}

    def quiet() -> bool:
        metadata = [each["metadata"] for each in namespace.objects(kinds.LLM_DEPLOYMENT)]
        versions = tuple(str(each["resourceVersion"]) for each in metadata)
        if versions not in seen:
            seen.clear()
        return time.monotonic() - seen.setdefault(versions, time.monotonic()) > QUIET_SECONDS

    namespace.until("every resource is left alone", quiet, within_seconds=120)


def writes_during(
    namespace: Namespace, seconds: float, told: Callable[[Quiet], None] = lambda _: None
) -> Quiet:
    """Count for so long; ``told`` gets the figures so far about once in 10 s."""
    mark = namespace.cluster.backend.audit_mark()
    ends_at = time.monotonic() + seconds
    while True:
        time.sleep(max(0.0, min(10.0, ends_at - time.monotonic())))
        quiet = written_since(namespace, mark)
        told(quiet)
        if time.monotonic() >= ends_at:
            return quiet


def written_since(namespace: Namespace, mark: AuditMark) -> Quiet:
    """Return what the operator has written in the namespace since a place in the log."""
    events = namespace.cluster.backend.audit_events(mark)
    own = [
        request
        for request in audit.requests_of(events, OPERATOR_USER)
        if request.namespace == namespace.name and request.verb in audit.WRITING_VERBS
    ]
    return Quiet(
        writes=tuple(audit.writes(own)),
        events=tuple(request for request in own if request.resource == EVENTS),
    )
