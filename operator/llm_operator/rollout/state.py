"""What the rollout machine reads and returns; frozen, and nothing but data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from llm_operator.api.command import Command
from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import OnFailure, Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.api.traffic import Provider


@dataclass(frozen=True, slots=True)
class Pause:
    """A stop after a step; without ``seconds`` it lasts until a command."""

    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One share of the traffic, and how long it is kept at least."""

    weight_percent: int
    min_seconds: int = 60
    pause: Pause | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What the spec says about rollouts now."""

    strategy: Strategy
    steps: tuple[Step, ...]
    """The steps of a canary; the other strategies have their own."""
    max_extra_replicas: int
    min_serving_percent: int
    provider: Provider
    """Never ``Auto``."""
    on_failure: OnFailure
    bake: timedelta
    inconclusive: timedelta
    progress_deadline: timedelta
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a rollout keeps of the policy that it began with."""

    strategy: Strategy
    max_extra_replicas: int
    min_serving_percent: int
    provider: Provider
    replaces_directly: bool = False
    """The stable revision serves nothing that could be kept: its pods go first."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What the spec asks for."""

    target: str
    """Hash of the revision that the spec's revisioned part means."""
    total: int
    policy: Policy
    command: Command | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why pods of a revision do not get ready."""

    reason: Reason
    message: str
    is_final: bool
    """Whether waiting cannot help: only another spec can."""


@dataclass(frozen=True, slots=True)
class AppliedTraffic:
    """What the cluster does with the traffic now."""

    weight_percent: int | None = 0
    """The canary's share that the cluster is set to; None when it is none that is asked for."""
    is_applied: bool = True
    """Whether endpoints, or the route's status, show that proxies have it."""
    problem: str = ""
    """Why it is not applied."""


@dataclass(frozen=True, slots=True)
class World:
    """What is observed of the revisions; absent hashes count zero."""

    ready: Mapping[str, int] = field(default_factory=dict)
    """Ready pods that are not terminating, by revision hash."""
    existing: Mapping[str, int] = field(default_factory=dict)
    """Pod objects by revision hash, terminating ones included, finished ones not."""
    replicas: Mapping[str, int] = field(default_factory=dict)
    """``spec.replicas`` of the Deployments that exist, by revision hash."""
    starting: Mapping[str, int] = field(default_factory=dict)
    """Pods that are neither ready nor terminating, by revision hash."""
    causes: Mapping[str, Cause] = field(default_factory=dict)
    """Why pods of a revision do not get ready, by revision hash; the gravest one each."""
    traffic: AppliedTraffic = field(default_factory=AppliedTraffic)
    stuck: tuple[str, ...] = ()
    """What is known of pods that should have ended by now, of any revision."""


class VerdictOutcome(StrEnum):
    """What a judgement comes to."""

    PASS = "Pass"  # noqa: S105 - a word of the API, no password
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict about the canary within one window."""

    window_started_at: datetime | None
    """The window that it speaks about; a verdict of another window is late and counts nothing.

    None where it is about the pods themselves, whatever was measured.
    """
    outcome: VerdictOutcome
    reason: Reason
    message: str
    is_missing: bool = False
    """Metrics that are needed have not been read for three intervals."""
    measured: bool = False
    """Whether every limit that applies has been measured."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What ``status.rollout`` keeps, so that a restart goes on where it was; whole seconds."""

    phase: RolloutPhase = RolloutPhase.STABLE
    target: str | None = None
    """The revision that the rollout is about, or the last one was."""
    previous: str | None = None
    """While baking: the old stable revision, the way back."""
    started_at: datetime | None = None
    deadline_at: datetime | None = None
    """When scaling must have got further: set anew each time that one more pod is ready."""
    ready_peak: int = 0
    """Most ready pods seen of the side that is being scaled, for the deadline."""
    frozen: Frozen | None = None
    held_total: int | None = None
    """Pods that the rollout counts with: rises with the spec's total, never falls."""
    step: int | None = None
    """Index of the step, from 0."""
    step_weight_percent: int = 0
    """The share that the step is about."""
    weight_percent: int = 0
    """The share that is asked of the traffic now; on the way to the step's."""
    step_started_at: datetime | None = None
    applied_at: datetime | None = None
    """When the share that is asked was first seen applied."""
    unapplied_since: datetime | None = None
    """Since when the share that is asked is not, or no longer, applied."""
    window_started_at: datetime | None = None
    """Since when the step is judged: sizes reached, share applied, proxies have learnt it."""
    clock_started_at: datetime | None = None
    """Since when minSeconds and inconclusiveSeconds run; a pause moves it."""
    elapsed_seconds: int | None = None
    """While paused: how far that clock was."""
    return_to: RolloutPhase | None = None
    """While holding: where to go on."""
    paused_by: Reason | None = None
    """While paused, or holding on the way back to a pause: who paused."""
    pause_until: datetime | None = None
    """While paused for a time: its end."""
    pause_done: bool = False
    """The step's own pause is over."""
    cause: Reason | None = None
    """Why it pauses, holds, goes back or went back."""
    message: str = ""
    holding_deadline_at: datetime | None = None
    """Set at the first holding of a step and never extended."""
    lost_since: datetime | None = None
    """Since when the canary has a share and no ready pod."""
    stable_lost_since: datetime | None = None
    """Since when the stable revision, at rest, has no ready pod."""
    stable_was_ready: bool = False
    """Whether the stable revision ever had a ready pod."""
    promote_asked: bool = False
    """A command asked for the promotion: it waits for a ready pod, not for metrics."""
    pause_asked: bool = False
    """``pause`` came before the first step."""
    commands: tuple[str, ...] = ()
    """Nonces of the commands that were looked at, newest last."""
    rejected: tuple[str, ...] = ()
    """Hashes that failed or were aborted, newest last, at most five."""


@dataclass(frozen=True, slots=True)
class Note:
    """A transition that is worth an event."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The next persisted state and what follows from it."""

    rollout: Rollout
    stable: str | None
    sizes: Mapping[str, int]
    """Replicas by revision hash; a Deployment that exists and is not named here is removed."""
    notes: tuple[Note, ...] = ()
    refusal: Note | None = None
    """Why the spec's revision is not rolled out although nothing was tried."""
    wake_at: datetime | None = None
    is_judged: bool = False
    """Whether a window is open, so that the pods' counters are wanted."""
