"""What a cluster comes to, without what is new each time: UIDs, versions, times, figures."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from llm_operator import kinds
from tests.models.apiserver import ApiServerModel
from tests.models.pods import is_ready, owner_of

EndState = dict[str, Any]

_LEFT_OUT: Final = frozenset(
    {"uid", "resourceVersion", "creationTimestamp", "lastTransitionTime", "time", "generation"}
)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)")
_POD: Final = re.compile(r"(chat-[0-9a-f]+)-\d+")
_FIGURE: Final = re.compile(r"\d+(\.\d+)?")


def end_state(api: ApiServerModel) -> EndState:
    """Return all objects, by kind and name, as far as two runs must agree; pods are counted."""
    pods = Counter(
        f"{owner_of(obj)}: {'ready' if is_ready(obj) else 'not ready'}"
        for (kind, _, _), obj in api.objects.items()
        if kind == kinds.POD
    )
    objects = {
        f"{kind.kind}/{name}": _normal(obj)
        for (kind, _, name), obj in api.objects.items()
        if kind not in (kinds.POD, kinds.NODE)
    }
    return {"Pods": dict(pods), **objects}


def difference(expected: Any, found: Any, path: str = "") -> list[str]:
    """Return where two end states differ, the value that was found after the one expected."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return [
            line
            for name in sorted({*expected, *found})
            for line in difference(expected.get(name), found.get(name), f"{path}.{name}")
        ]
    return [] if expected == found else [f"{path}: {expected!r} → {found!r}"]


def _normal(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {k: _normal(v, k) for k, v in value.items() if k not in _LEFT_OUT}
    if isinstance(value, list):
        return sorted((_normal(item, name) for item in value), key=repr)
    if not isinstance(value, str):
        return value
    text = _POD.sub(r"\1-…", _TIME.sub("(time)", value))
    return _FIGURE.sub("#", text) if name == "message" else text
