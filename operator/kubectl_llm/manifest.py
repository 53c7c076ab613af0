"""A manifest from a file, and the spec that applying it would leave. Pure, given the text.

``kubectl apply`` merges in two ways. With the annotation of a former client-side apply, fields
that the last manifest had and this one lacks are removed, and what others set stays. Under
server-side apply only the API server knows the answer, and is asked for it with a dry run.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import yaml

from kubectl_llm.exits import ExitCode
from kubectl_llm.failures import Refusal
from llm_operator import kinds

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
SERVER_SIDE_MANAGER: Final = "kubectl"


class ApplyStyle(StrEnum):
    """How a manifest becomes the live object."""

    CREATE = "create"
    CLIENT_SIDE = "client-side apply"
    SERVER_SIDE = "server-side apply"


def read_manifest(text: str, name: str | None = None) -> dict[str, Any]:
    """Return the one LLMDeployment of a YAML or JSON text, or the one of this name.

    Raises:
        Refusal: the text is no YAML, or has none or several of them.
    """
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise Refusal(f"The file is not YAML: {error}.", ExitCode.INVALID) from error
    found = [d for document in documents for d in _items(document) if _is_meant(d, name)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(d["metadata"]["name"]) for d in found)
    some = f"several LLMDeployments ({names}): choose one with --name" if found else "none"
    raise Refusal(f"The file must have one LLMDeployment; it has {some}.", ExitCode.INVALID)


def _items(document: Any) -> list[dict[str, Any]]:
    if not isinstance(document, dict):
        return []
    if str(document.get("kind", "")).endswith("List"):
        return [item for item in document.get("items") or () if isinstance(item, dict)]
    return [document]


def _is_meant(document: Mapping[str, Any], name: str | None) -> bool:
    metadata = document.get("metadata")
    named = isinstance(metadata, Mapping) and isinstance(metadata.get("name"), str)
    is_kind = (
        document.get("apiVersion") == kinds.LLM_DEPLOYMENT.api_version
        and document.get("kind") == kinds.LLM_DEPLOYMENT.kind
    )
    return named and is_kind and name in (None, document["metadata"]["name"])


def apply_style(live: Mapping[str, Any] | None) -> ApplyStyle:
    """Return how ``kubectl apply`` of the object's owner goes: as it was applied before."""
    if live is None:
        return ApplyStyle.CREATE
    metadata = live["metadata"]
    if LAST_APPLIED in (metadata.get("annotations") or {}):
        return ApplyStyle.CLIENT_SIDE
    return ApplyStyle.SERVER_SIDE if manager_of(live) else ApplyStyle.CLIENT_SIDE


def manager_of(live: Mapping[str, Any]) -> str | None:
    """Return the field manager that applied the model to the object by server-side apply."""
    for entry in live["metadata"].get("managedFields") or ():
        fields = entry.get("fieldsV1", {}).get("f:spec", {})
        if entry.get("operation") == "Apply" and "f:model" in fields:
            return str(entry["manager"])
    return None


def merged_spec(live: Mapping[str, Any] | None, manifest: Mapping[str, Any]) -> Any:
    """Return the spec after ``kubectl apply`` on the client's side."""
    wanted = manifest.get("spec")
    if live is None:
        return wanted
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED, "{}")
    try:
        last = json.loads(text)
    except ValueError:
        last = {}
    return _three_way(last.get("spec"), wanted, live.get("spec"))


def _three_way(last: Any, wanted: Any, live: Any) -> Any:
    """Merge as ``kubectl`` does for custom resources: maps by key, anything else as a whole."""
    if not isinstance(wanted, Mapping) or not isinstance(live, Mapping):
        return wanted
    before = last if isinstance(last, Mapping) else {}
    kept = {key: value for key, value in live.items() if key in wanted or key not in before}
    merged = {
        key: _three_way(before.get(key), wanted[key], value) if key in wanted else value
        for key, value in kept.items()
    }
    return merged | {key: value for key, value in wanted.items() if key not in live}
