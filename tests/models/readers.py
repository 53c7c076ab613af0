"""How three tools read the status of a resource: kubectl wait, kstatus and Argo CD.

kubectl and kstatus by the rules that they publish, for a kind that they know nothing else about;
Argo CD by running the health script that is shipped, in the Lua that Argo CD runs it in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lupa.lua51 import LuaRuntime

Json = Mapping[str, Any]

HEALTH_SCRIPT: Final = Path(__file__).parents[2] / "docs/argocd/health.lua"


def kubectl_waits(obj: Json, type_: str, status: str = "True") -> bool:
    """Whether `kubectl wait --for=condition=TYPE=STATUS` goes on waiting.

    A condition of an older generation does not count.
    """
    condition = _conditions(obj).get(type_, {})
    generation = obj["metadata"].get("generation", 0)
    is_old = "observedGeneration" in condition and condition["observedGeneration"] < generation
    return is_old or condition.get("status") != status


def kstatus(obj: Json) -> str:
    """Return what kstatus of kubernetes-sigs/cli-utils computes for a custom resource.

    In this order: deletion, an older ``observedGeneration``, then Reconciling and Stalled in the
    order in which the status lists them, then Ready; without any of them it is Current.
    """
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    observed = obj.get("status", {}).get("observedGeneration")
    if observed is not None and observed != obj["metadata"].get("generation", observed):
        return "InProgress"
    conditions = _conditions(obj)
    for type_, condition in conditions.items():
        if condition["status"] == "True" and type_ in ("Reconciling", "Stalled"):
            return {"Reconciling": "InProgress", "Stalled": "Failed"}[type_]
    ready = conditions.get("Ready", {"status": "True"})
    return "Current" if ready["status"] == "True" else "InProgress"


@dataclass(frozen=True, slots=True)
class Health:
    """What Argo CD shows."""

    status: str
    message: str


def argo_cd(obj: Json) -> Health:
    """Run the health script on an object, as Argo CD does: ``obj`` is given, a table returned."""
    lua = LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    lua.globals().obj = lua.table_from(dict(obj), recursive=True)
    health = lua.execute(HEALTH_SCRIPT.read_text())
    return Health(str(health.status), str(health.message))


def _conditions(obj: Json) -> dict[str, Json]:
    return {c["type"]: c for c in obj.get("status", {}).get("conditions", ())}
