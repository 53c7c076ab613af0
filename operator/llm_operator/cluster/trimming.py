"""What of an object is kept in the cache, and which differences are worth a reconcile; pure.

LLMDeployments are kept whole: their managedFields tell who holds ``spec.replicas``. Children keep
their managedFields in compact form (drift is found by them). Pods and EndpointSlices are many and
change often; of them only what a reconcile reads is kept, so that only that can be news.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from llm_operator import kinds
from llm_operator.ownership import compact

Object = Mapping[str, Any]

_POD_METADATA: Final = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "labels",
    "ownerReferences",
    "creationTimestamp",
    "deletionTimestamp",
    "finalizers",
)
_CONTAINER: Final = ("name", "image", "resources")
_POD_STATUS: Final = (
    "phase",
    "reason",
    "message",
    "conditions",
    "initContainerStatuses",
    "containerStatuses",
    "startTime",
    "podIP",
)
_BOOKKEEPING: Final = frozenset({"resourceVersion", "managedFields"})
_NOISY_STATUS: Final = frozenset(
    {
        kinds.AUTOSCALER,  # current metrics, every 15 s
        kinds.DISRUPTION_BUDGET,
        kinds.SERVICE_MONITOR,
    }
)
"""Kinds whose status nobody here reads."""


def trim(kind: kinds.ResourceKind, obj: Object) -> Object:
    """Return what is kept of an object; the object itself is left alone."""
    if kind == kinds.LLM_DEPLOYMENT:
        return obj
    if kind == kinds.POD:
        return _trim_pod(obj)
    if kind == kinds.ENDPOINT_SLICE:
        return {**_pick(obj, "endpoints"), "metadata": _pick(obj["metadata"], *_POD_METADATA)}
    entries = [compact(entry) for entry in obj["metadata"].get("managedFields") or ()]
    return {**obj, "metadata": {**obj["metadata"], "managedFields": entries}}


def tells_news(kind: kinds.ResourceKind, before: Object, after: Object) -> bool:
    """Whether two trimmed versions of an object differ in anything that a reconcile may read."""
    view = _without_status if kind in _NOISY_STATUS else _whole
    return _comparable(before, view) != _comparable(after, view)


def _trim_pod(pod: Object) -> Object:
    spec = pod.get("spec", {})
    containers = [_pick(container, *_CONTAINER) for container in spec.get("containers") or ()]
    return {
        "metadata": _pick(pod["metadata"], *_POD_METADATA),
        "spec": {**_pick(spec, "nodeName"), "containers": containers},
        "status": _pick(pod.get("status", {}), *_POD_STATUS),
    }


def _pick(mapping: Object, *names: str) -> dict[str, Any]:
    return {name: mapping[name] for name in names if name in mapping}


def _comparable(obj: Object, view: Callable[[Object], Object]) -> Object:
    metadata = obj["metadata"]
    told = {name: value for name, value in metadata.items() if name not in _BOOKKEEPING}
    return {**view(obj), "metadata": told}


def _whole(obj: Object) -> Object:
    return obj


def _without_status(obj: Object) -> Object:
    return {name: value for name, value in obj.items() if name != "status"}
