"""Going back: the patch that writes an old snapshot into the spec. Pure.

Only fields that start a revision are written, and of them only those that differ; hot fields such
as ``replicas`` and ``rollout`` stay as they are. What follows is an ordinary rollout.
"""

from collections.abc import Mapping
from typing import Any, Final

from llm_operator.api.revisioned import EFFECTS
from llm_operator.api.schema import Effect
from llm_operator.api.spec import Spec

_FIELDS: Final = tuple(
    Spec.model_fields[name].alias or name
    for name, effect in EFFECTS.items()
    if effect is Effect.REVISION
)


def operations(
    stored: Mapping[str, Any], asked: Mapping[str, Any] | None, snapshot: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the JSON patch operations that make the revisioned part ``snapshot``.

    ``stored`` is the spec as the API server has it; ``asked`` is its revisioned part in the plain
    form that snapshots have, None where the spec cannot be read: then every field is written.
    """
    found: list[dict[str, Any]] = []
    for field in _FIELDS:
        path = f"/spec/{field}"
        if asked is not None and asked.get(field) == snapshot.get(field):
            continue
        if field in snapshot:
            found.append({"op": "add", "path": path, "value": snapshot[field]})
        elif field in stored:
            found.append({"op": "remove", "path": path})
    return found
