"""One change for each field of the API: what to write into it that is allowed and different.

Made from ``examples/every-field.yaml``, which a contract test keeps complete. Most values change by
their kind (a number by one, a flag, a name by a letter); ``CHOSEN`` has the others.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.manifests import Manifest

EXAMPLE: Final = Path(__file__).parents[1] / "examples" / "every-field.yaml"

HOT: Final = frozenset({"replicas", "service", "autoscaling", "monitoring", "rollout", "traffic"})
"""Top-level fields of the spec whose change touches no pod; every other one starts a revision."""

_POD: Final = "podTemplate.spec"
_NODES: Final = f"{_POD}.affinity.nodeAffinity"
_AWAY: Final = f"{_POD}.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution.0"
_REQUIRED_NODE: Final = f"{_NODES}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
_PREFERRED_NODE: Final = f"{_NODES}.preferredDuringSchedulingIgnoredDuringExecution.0.preference"
_SPREAD: Final = f"{_POD}.topologySpreadConstraints.0"
_TOLERATION: Final = f"{_POD}.tolerations.0"
_SCALING: Final = "autoscaling.behavior"
CHOSEN: Final[Mapping[str, Any]] = {
    "model.dtype": "Float16",
    "server.imagePullPolicy": "Always",
    "accelerator.count": None,
    "resources.requests.memory": "9Gi",
    "resources.requests.ephemeral-storage": "11Gi",
    "resources.limits.cpu": "4600m",
    "resources.limits.memory": "17Gi",
    f"{_TOLERATION}.operator": "Exists",
    f"{_TOLERATION}.effect": "NoSchedule",
    f"{_REQUIRED_NODE}.0.matchExpressions.0.operator": "NotIn",
    f"{_REQUIRED_NODE}.0.matchFields.0.operator": "In",
    f"{_PREFERRED_NODE}.matchExpressions.0.operator": "Lt",
    f"{_PREFERRED_NODE}.matchExpressions.0.values.0": "41",
    f"{_AWAY}.labelSelector.matchExpressions.0.operator": "NotIn",
    f"{_SPREAD}.whenUnsatisfiable": "ScheduleAnyway",
    f"{_SPREAD}.nodeAffinityPolicy": "Ignore",
    f"{_SPREAD}.nodeTaintsPolicy": "Ignore",
    f"{_POD}.volumes.2.emptyDir.medium": None,
    f"{_POD}.volumes.2.emptyDir.sizeLimit": "2Gi",
    f"{_POD}.volumeMounts.0.name": "ca",
    f"{_POD}.volumeMounts.1.name": "scratch",
    f"{_POD}.volumeMounts.2.name": "scratch",
    "service.type": "NodePort",
    "autoscaling.metrics.0.type": "Memory",
    "autoscaling.metrics.1.type": "CPU",
    f"{_SCALING}.scaleUp.selectPolicy": "Min",
    f"{_SCALING}.scaleUp.policies.0.type": "Percent",
    f"{_SCALING}.scaleDown.selectPolicy": "Max",
    f"{_SCALING}.scaleDown.policies.0.type": "Pods",
    "rollout.strategy": "Rolling",
    "rollout.steps.2.weightPercent": 99,
    "rollout.minServingPercent": 99,
    "rollout.onFailure": "Pause",
    "rollout.analysis.guards.0.maximum": "1",
    "rollout.analysis.prometheus.address": "http://prometheus.monitoring:9091",
    "traffic.provider": "ReplicaRatio",
}
"""Values by path; None: the field is left out."""

ALONG: Final[Mapping[str, Mapping[str, Any]]] = {
    f"{_TOLERATION}.operator": {f"{_TOLERATION}.value": None},
    f"{_TOLERATION}.effect": {f"{_TOLERATION}.tolerationSeconds": None},
    f"{_SPREAD}.whenUnsatisfiable": {f"{_SPREAD}.minDomains": None},
    f"{_POD}.volumes.0.name": {f"{_POD}.volumeMounts.0.name": "settingsx"},
    f"{_POD}.volumes.1.name": {f"{_POD}.volumeMounts.2.name": "cax"},
    f"{_POD}.volumes.3.name": {f"{_POD}.volumeMounts.1.name": "adaptersx"},
    "autoscaling.metrics.0.type": {"autoscaling.metrics.1.type": "CPU"},
    "autoscaling.metrics.1.type": {"autoscaling.metrics.0.type": "Memory"},
}
"""What must change with a field, by its path, so that the whole is allowed."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field and the spec that differs in it alone."""

    path: str
    top: str
    value: Any
    """What the top-level field becomes."""

    @property
    def is_hot(self) -> bool:
        """Whether no pod may be touched."""
        return self.top in HOT


def example_spec() -> Manifest:
    """Return a spec in which every field is set."""
    spec: Manifest = yaml.safe_load(EXAMPLE.read_text())["spec"]
    return spec


def field_changes() -> Iterator[FieldChange]:
    """Yield a change for each leaf of the spec."""
    spec = example_spec()
    for path, value in _leaves(spec, ()):
        changed = copy.deepcopy(spec)
        dotted = ".".join(path)
        _set(changed, path, CHOSEN[dotted] if dotted in CHOSEN else _other(value))
        for other, companion in ALONG.get(dotted, {}).items():
            _set(changed, _split(other), companion)
        yield FieldChange(dotted, path[0], changed[path[0]])


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.split("."))


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    match value:
        case dict() if value and not any("." in key for key in value):
            parts = list(value.items())
        case list() if value:
            parts = [(str(index), item) for index, item in enumerate(value)]
        case _:
            yield path, value
            return
    for key, part in parts:
        yield from _leaves(part, (*path, key))


def _set(spec: Manifest, path: tuple[str, ...], value: Any) -> None:
    part: Any = spec
    for key in path[:-1]:
        part = part[int(key) if isinstance(part, list) else key]
    last: Any = int(path[-1]) if isinstance(part, list) else path[-1]
    if value is None:
        del part[last]
    else:
        part[last] = value


def _other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case dict():  # a map whose keys have dots, or an empty selector
            return {**value, "e2e": "x"} if value else {"matchLabels": {"e2e": "x"}}
        case _:
            return f"{value}x"
