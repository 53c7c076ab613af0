"""Events of a resource in the shape of ``events.k8s.io/v1``; pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from llm_operator import kinds
from llm_operator.plan import EventDraft

NOTE_LIMIT: Final = 1024
"""Bytes; the API server refuses a longer note."""


def render_event(
    resource: Mapping[str, Any], draft: EventDraft, reporter: str, now: datetime
) -> dict[str, Any]:
    """Render an event about ``resource``; its name is unique by reason and microsecond."""
    metadata = resource["metadata"]
    moment = now.astimezone(UTC)
    suffix = f"{int(moment.timestamp() * 1_000_000):x}-{draft.reason.value.lower()}"
    return {
        "apiVersion": kinds.EVENT.api_version,
        "kind": kinds.EVENT.kind,
        "metadata": {"name": f"{metadata['name']}.{suffix}", "namespace": metadata["namespace"]},
        "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": f"{kinds.GROUP}/{kinds.FIELD_MANAGER}",
        "reportingInstance": reporter[:128],
        "action": draft.action,
        "reason": draft.reason.value,
        "type": draft.reason.event_type.value,
        "note": draft.message.encode(errors="replace")[:NOTE_LIMIT].decode(errors="ignore"),
        "regarding": {
            "apiVersion": kinds.LLM_DEPLOYMENT.api_version,
            "kind": kinds.LLM_DEPLOYMENT.kind,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
    }
