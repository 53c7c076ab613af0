"""What the rollout machine reads and returns; frozen, and nothing but data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from llm_operator.api.spec import Strategy
from llm_operator.api.status import RolloutPhase


class Outcome(StrEnum):
    """What the machine is doing, for the conditions; the reason of every decision."""

    IDLE = "Idle"
    STOPPED = "Stopped"
    CLEARING = "Clearing"
    """Pods of a superseded revision must be gone before the target's start."""
    PREPARING = "Preparing"
    OVERDUE = "Overdue"
    """Past the deadline with nothing to fall back to; goes on trying."""
    MOVING = "Moving"
    DRAINING = "Draining"
    REJECTED = "Rejected"
    """The deadline passed; stable serves on until the spec's revisioned part is edited."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What ``status.rollout`` keeps, so that a restart goes on where it was."""

    phase: RolloutPhase | None = None
    target: str | None = None
    strategy: Strategy | None = None
    started_at: datetime | None = None
    deadline_at: datetime | None = None
    moved_at: datetime | None = None
    """When the EndpointSlices were first seen to hold only pods of the target."""
    rejected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """What is observed of the revisions; absent hashes count zero."""

    ready: Mapping[str, int] = field(default_factory=dict)
    """Ready pods that are not terminating, by revision hash."""
    existing: Mapping[str, int] = field(default_factory=dict)
    """Pod objects by revision hash, terminating ones included, finished ones not."""
    replicas: Mapping[str, int] = field(default_factory=dict)
    """``spec.replicas`` of the Deployments that exist, by revision hash."""
    endpoints: frozenset[str] = frozenset()
    """Revision hashes of the ready endpoints behind the Service."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What the spec asks for."""

    target: str
    """Hash of the revision that the spec's revisioned part means."""
    total: int
    strategy: Strategy
    """Taken over when a rollout starts, then frozen in ``Rollout.strategy``."""
    progress_deadline: timedelta


@dataclass(frozen=True, slots=True)
class Decision:
    """The next persisted state and what follows from it."""

    rollout: Rollout
    stable: str | None
    sizes: Mapping[str, int]
    """Replicas by revision hash; a Deployment that exists and is not named here is removed."""
    outcome: Outcome
    wake_at: datetime | None = None

    @property
    def selected(self) -> str:
        """The hash that the Service selects: stable, or the first target before there is one."""
        selected = self.stable or self.rollout.target
        if selected is None:
            msg = "a decision always names a stable revision or a target"
            raise ValueError(msg)
        return selected
