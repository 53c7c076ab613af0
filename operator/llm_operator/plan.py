"""What a reconcile pass wants done, as data: the worker performs it, tests compare it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llm_operator.api.reasons import Reason
from llm_operator.kinds import ResourceKind


@dataclass(frozen=True, slots=True)
class Apply:
    """Make one child what its manifest says."""

    kind: ResourceKind
    manifest: Mapping[str, Any]
    uid: str | None
    """UID of the live object, sent along as a precondition; None when none is known."""
    cause: str
    """``missing``, or the first path that drifted."""
    live_version: str = ""
    """resourceVersion of the live object that it was compared with; empty when none is known."""

    @property
    def name(self) -> str:
        """Name of the child."""
        return str(self.manifest["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove one child that is no longer wanted."""

    kind: ResourceKind
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event to post on the resource."""

    reason: Reason
    message: str
    action: str
    """What the operator was doing, in the words of ``events.k8s.io``: a short verb."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One pass: revisions first, then status and what follows from it."""

    status: Mapping[str, Any] | None
    """The whole next status, or None when it is as it stands."""
    decides: bool = True
    """Whether the status encodes a decision, which must be persisted before it is acted upon; a
    status that only reports is written after the children, which need not wait for it."""
    revisions: tuple[Apply, ...] = ()
    """ControllerRevisions, written before the status that names them."""
    applies: tuple[Apply, ...] = ()
    deletes: tuple[Delete, ...] = ()
    events: tuple[EventDraft, ...] = ()
    wake_at: datetime | None = None
    is_rolling: bool = False
    """Whether a rollout is under way."""
    phase: str = ""
    decided: str = ""
    """The decision's reason, for the log line."""
