"""Resources of every kind in one namespace: each strategy, size, state and set of hot fields.

What an upgrade of the operator must leave alone. Names that begin with ``mid-`` have a rollout that
does not end by itself; the others are at rest.
"""

from dataclasses import dataclass, field

from e2e.manifests import Manifest
from e2e.rollouts import NEW, Rolled, quick, served, step, wait_for_all
from e2e.steady import CRASHES, LOADS_FOR_EVER
from e2e.story import Namespace
from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase

MIDWAY = "mid-"
READY_SECONDS = 300
REACHED_SECONDS = 180
_DAY_SECONDS = 86_400
_TINY = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource, and what becomes of it before anybody looks."""

    name: str
    rollout: Manifest = field(default_factory=quick)
    replicas: int = 1
    flags: tuple[str, ...] = ()
    then_flags: tuple[str, ...] = ()
    """The server's flags after a change; none: no other revision."""
    ends_in: RolloutPhase = RolloutPhase.STABLE
    spec: Manifest = field(default_factory=dict)
    """Adds or replaces top-level fields."""

    @property
    def gets_ready(self) -> bool:
        """Whether its first revision ever serves."""
        return LOADS_FOR_EVER not in self.flags

    def manifest(self) -> Manifest:
        """Return the resource before its change."""
        manifest = served(self.name, self.rollout, *self.flags, replicas=self.replicas)
        manifest["spec"] |= {"resources": _TINY, **self.spec}
        return manifest


def _sized_by_hpa(replicas: int) -> Manifest:
    """Return ``spec.autoscaling`` without a choice: its choices would be changes."""
    metrics = [{"type": "CPU", "targetUtilizationPercent": 70}]
    return {"autoscaling": {"minReplicas": replicas, "maxReplicas": replicas, "metrics": metrics}}


_SCRATCH: Manifest = {
    "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}],
    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
}
_LABELS: Manifest = {"labels": {"team": "search"}, "annotations": {"example.com/cost": "4711"}}
_EXPOSED: Manifest = {"type": "NodePort", "port": 8080, "annotations": {"example.com/open": "no"}}
_IN_PLACE = quick(step(100, 1), maxExtraReplicas=0, minServingPercent=100)
_PAUSES = quick(step(50, 1, pause={}), step(100, 1))
_STAYS = quick(step(50, _DAY_SECONDS), inconclusiveSeconds=2 * _DAY_SECONDS)
_CHANGES = (NEW,)

KINDS = (
    Kind("plain"),
    Kind("two", replicas=2),
    Kind("stopped", replicas=0),
    Kind("stopped-new", replicas=0, then_flags=_CHANGES),
    Kind("autoscaled", spec=_sized_by_hpa(1)),
    Kind("pair-autoscaled", replicas=2, spec=_sized_by_hpa(2)),
    Kind("exposed", spec={"service": _EXPOSED}),
    Kind("labelled", spec={"podTemplate": {"metadata": _LABELS}}),
    Kind("scratch", spec={"podTemplate": {"spec": _SCRATCH}}),
    Kind("named", spec={"model": {"source": "builtin://simulated", "servedName": "other"}}),
    Kind("defaults", rollout={}),
    Kind("canary", quick(step(50, 1), step(100, 1)), then_flags=_CHANGES),
    Kind("canary-two", quick(step(50, 1), step(100, 1)), replicas=2, then_flags=_CHANGES),
    Kind("bluegreen", quick(strategy="BlueGreen"), then_flags=_CHANGES),
    Kind("rolling", quick(strategy="Rolling"), replicas=2, then_flags=_CHANGES),
    Kind("recreate", quick(strategy="Recreate"), then_flags=_CHANGES),
    Kind("forgetful", quick(step(100, 1), revisionHistoryLimit=0), then_flags=_CHANGES),
    Kind(
        "rejected",
        quick(step(100, 1)),
        then_flags=(CRASHES,),
        ends_in=RolloutPhase.ROLLED_BACK,
    ),
    Kind("loading", quick(progressDeadlineSeconds=_DAY_SECONDS), flags=(LOADS_FOR_EVER,)),
    Kind("no-room", _IN_PLACE, replicas=2),
    Kind("mid-paused", _PAUSES, then_flags=_CHANGES, ends_in=RolloutPhase.PAUSED),
    Kind("mid-step", _STAYS, then_flags=_CHANGES, ends_in=RolloutPhase.STEP),
    Kind(
        "mid-baking",
        quick(strategy="BlueGreen", bakeSeconds=_DAY_SECONDS),
        then_flags=_CHANGES,
        ends_in=RolloutPhase.BAKING,
    ),
)


def arrange(namespace: Namespace) -> dict[str, Rolled]:
    """Make all of them, bring each into its state, and return them by name."""
    resources = {kind.name: Rolled(namespace, kind.name) for kind in KINDS}
    for kind in KINDS:
        namespace.apply(kind.manifest())
    ready = [resources[kind.name] for kind in KINDS if kind.gets_ready]
    wait_for_all(ready, within_seconds=READY_SECONDS)
    before = {name: resource.stable for name, resource in resources.items()}
    changed = [kind for kind in KINDS if kind.then_flags]
    for kind in changed:
        resources[kind.name].edit_args(*kind.then_flags)
    resources["no-room"].edit_args(NEW)
    for kind in changed:
        _until_reached(resources[kind.name], kind, before[kind.name])
    namespace.until(
        "the change without room is refused",
        lambda: resources["no-room"].condition("Stalled").reason == Reason.NO_ROOM_FOR_ROLLOUT,
        within_seconds=REACHED_SECONDS,
    )
    return resources


def _until_reached(resource: Rolled, kind: Kind, before: str) -> None:
    if kind.ends_in is not RolloutPhase.STABLE:
        resource.until(kind.ends_in, within_seconds=REACHED_SECONDS)
        return
    resource.namespace.until(
        f"the new revision of {kind.name} is stable",
        lambda: resource.stable not in ("", before) and resource.phase == RolloutPhase.STABLE,
        within_seconds=REACHED_SECONDS,
    )
    if kind.replicas:
        resource.until_alone(resource.stable)
