"""``status``: what the operator says about a resource, and what it must remember of it.

Reading is tolerant: a status may be lost, edited by hand or written by another release, so what
cannot be understood is left out, piece by piece, and is computed again. Writing leaves absence out.
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, WithJsonSchema

from llm_operator.api.reasons import ConditionType, Phase, Reason
from llm_operator.api.rollout import Strategy
from llm_operator.api.schema import (
    ATOMIC,
    INT32_MAX,
    WHOLE_MAX,
    ApiModel,
    Flag,
    Hash,
    Time,
    list_map,
)
from llm_operator.api.tolerant import read_what_is_understood, without_empty
from llm_operator.api.traffic import Provider
from llm_operator.api.window import JudgementWindow, RestartedPod
from llm_server import contract

_Count = Annotated[int, Field(strict=True, ge=0, le=INT32_MAX)]
_Generation = Annotated[int, Field(strict=True, ge=0, le=WHOLE_MAX)]
_Percent = Annotated[int, Field(strict=True, ge=0, le=100)]
_Word = WithJsonSchema({"type": "string", "maxLength": 64, "pattern": "^[A-Za-z]*$"})
"""Closed lists of the operator are open in the schema: an older CRD must take a newer status."""

_Name = Annotated[str, Field(max_length=64, pattern="^[A-Za-z]*$")]

NONCE_PATTERN: Final = r"[A-Za-z0-9][-A-Za-z0-9._]{0,15}"
"""What tells two commands apart: short, as the status remembers it."""
Nonce = Annotated[str, Field(pattern=f"^{NONCE_PATTERN}$", max_length=16)]

COMMANDS_LIMIT: Final = 64
"""Nonces that the status remembers."""

REJECTED_LIMIT: Final = 5
"""Rejected hashes that the status shows."""

MODEL_REVISION_LIMIT: Final = 128
"""Characters: what a source may name, and three commits."""

MESSAGE_LIMIT: Final = 360
"""Characters of a message; with this, a status stays below 8 KiB."""


def shorten(message: str, limit: int = MESSAGE_LIMIT) -> str:
    """Cut a message to ``limit`` characters, the last of which then says so.

    Half a character, as a server may have written it in JSON, becomes ``?``: it cannot be sent.
    """
    message = message.encode(errors="replace").decode()
    return message if len(message) <= limit else f"{message[: limit - 1]}…"


def _shorten_text(value: object) -> object:
    return shorten(value) if isinstance(value, str) else value


_Message = Annotated[str, BeforeValidator(_shorten_text), Field(max_length=MESSAGE_LIMIT)]


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """One statement about the resource."""

    type: Annotated[ConditionType, _Word]
    """What the statement is about."""
    status: ConditionStatus
    """Whether it holds."""
    observed_generation: _Generation | None = None
    """The generation of the spec that it was made for."""
    last_transition_time: Time
    """When its status changed last."""
    reason: Annotated[Reason, _Word]
    """Why, in one word of a closed list (docs/reasons.md)."""
    message: _Message
    """Why, for people: object, cause, next step."""


class ReplicasFloor(ApiModel):
    """A number of pods that is kept although replicas was lowered by a manifest."""

    value: _Count
    """The number of pods."""
    since: Time
    """When it was set or fell last."""


class ModelStatus(ApiModel):
    """The model that the stable revision serves."""

    source: Annotated[str, Field(max_length=1024)] | None = None
    """Where it came from."""
    revision: Annotated[str, Field(max_length=MODEL_REVISION_LIMIT)] | None = None
    """For a model of a hub: the commit that was loaded, once known; else what the source names."""
    served_name: Annotated[str, Field(max_length=contract.SERVED_NAME_CHARS_MAX)] | None = None
    """Name that requests call it by."""
    simulated: Flag | None = None
    """True when nothing is computed: answers are made up and timing is simulated."""


class PodSummary(ApiModel):
    """Pods that are not ready for the same reason."""

    reason: Annotated[Reason, _Word]
    """Why they are not ready."""
    count: _Count
    """How many there are."""
    message: _Message
    """What is known about it."""
    pod: Annotated[str, Field(max_length=253)] | None = None
    """Name of one of them."""


class RolloutPhase(StrEnum):
    """The state of the rollout machine."""

    STABLE = "Stable"
    PREPARING = "Preparing"
    STEP = "Step"
    PAUSED = "Paused"
    HOLDING = "Holding"
    PROMOTING = "Promoting"
    BAKING = "Baking"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"


class FrozenSettings(ApiModel):
    """What a rollout keeps of the spec that it began with."""

    strategy: Annotated[Strategy, _Word]
    """The strategy."""
    max_extra_replicas: _Count
    """Pods that it may add."""
    min_serving_percent: _Percent
    """Ready pods that no step goes below, in percent of the total."""
    provider: Annotated[Provider, _Word]
    """Who splits the traffic."""
    replaces_directly: Flag | None = None
    """True where the stable revision serves nothing that could be kept: its pods go first."""


class RolloutStatus(ApiModel):
    """A change of revision: what it does, and what a restart of the operator must not lose."""

    phase: Annotated[RolloutPhase, _Word] | None = None
    """Where the change is. Absent: none is under way."""
    target: Hash | None = None
    """Hash of the revision that the change is about, or the last one was."""
    previous: Hash | None = None
    """While baking: hash of the revision to go back to."""
    step: _Count | None = None
    """Number of the step, from 1."""
    steps: _Count | None = None
    """How many steps there are."""
    weight_percent: _Percent | None = None
    """Share of the traffic that is asked for the target, in percent."""
    effective_weight_percent: _Percent | None = None
    """Share of the traffic that the target has, in percent."""
    verdict: _Name | None = None
    """What the judgement of the step came to last: Pass, Fail or Inconclusive."""
    verdict_reason: Annotated[Reason, _Word] | None = None
    """Why it came to that, in one word of a closed list (docs/reasons.md)."""
    reason: Annotated[Reason, _Word] | None = None
    """Why the rollout is where it is, in one word of a closed list (docs/reasons.md)."""
    message: _Message | None = None
    """Why it pauses, holds, goes back or went back, for people."""
    started_at: Time | None = None
    """When it began."""
    deadline_at: Time | None = None
    """When one more pod must be ready."""
    step_started_at: Time | None = None
    """When the step began."""
    applied_at: Time | None = None
    """When the share that is asked was first seen to be applied."""
    unapplied_since: Time | None = None
    """Since when the share that is asked is not, or no longer, applied."""
    pause_until: Time | None = None
    """When a pause ends by itself."""
    commands: Annotated[tuple[Nonce, ...], Field(max_length=COMMANDS_LIMIT), ATOMIC] = ()
    """Nonces of the commands that were looked at, newest last."""
    rejected: Annotated[tuple[Hash, ...], Field(max_length=REJECTED_LIMIT), ATOMIC] = ()
    """Hashes that failed or were aborted, newest last."""
    frozen: FrozenSettings | None = None
    """Settings of the spec that the rollout began with and keeps."""
    held_total: _Count | None = None
    """Pods in total that the rollout counts with; it rises and does not fall."""
    ready_peak: _Count | None = None
    """Most ready pods that were seen of the side that grows."""
    step_weight_percent: _Percent | None = None
    """Share of the step that the rollout is on the way to or at, in percent."""
    window_started_at: Time | None = None
    """Since when the step is judged."""
    clock_started_at: Time | None = None
    """Since when the step's times run."""
    elapsed_seconds: _Count | None = None
    """While paused: how long the step's times have run."""
    return_to: Annotated[RolloutPhase, _Word] | None = None
    """While holding: where it goes on."""
    paused_by: Annotated[Reason, _Word] | None = None
    """While paused: who paused it."""
    pause_done: Flag | None = None
    """Whether the step's own pause is over."""
    cause: Annotated[Reason, _Word] | None = None
    """Why it pauses, holds, goes back or went back."""
    holding_deadline_at: Time | None = None
    """How long it may hold."""
    lost_since: Time | None = None
    """Since when the target has a share of the traffic and no ready pod."""
    stable_lost_since: Time | None = None
    """Since when the stable revision has no ready pod."""
    stable_was_ready: Flag | None = None
    """Whether the stable revision ever had a ready pod."""
    promote_asked: Flag | None = None
    """Whether promote was asked for before a pod was ready."""
    pause_asked: Flag | None = None
    """Whether pause was asked for before the first step."""
    window: JudgementWindow | None = None
    """What the judge of the step must remember."""
    restarts: Annotated[tuple[RestartedPod, ...], Field(max_length=16), list_map("pod")] = ()
    """Pods of the target whose server ended since it has had a share of the traffic."""


class Status(ApiModel):
    """What the operator says about the resource."""

    observed_generation: _Generation | None = None
    """The generation of the spec that the status is about."""
    phase: Annotated[Phase, _Word] | None = None
    """A summary for people; programs read conditions."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8), list_map("type")] = ()
    """Ready, Progressing, Stalled, Conflict."""
    replicas: _Count | None = None
    """Pods that take traffic, whether ready or not, without those that end."""
    desired_replicas: _Count | None = None
    """Pods asked for, as decided last from replicas, autoscaling and floor."""
    replicas_floor: ReplicasFloor | None = None
    """A number of pods that is kept although replicas was lowered by a manifest."""
    ready_replicas: _Count | None = None
    """Pods that take traffic and are ready."""
    selector: Annotated[str, Field(max_length=512)] | None = None
    """Label selector of the pods that take traffic, for the autoscaler."""
    endpoint: Annotated[str, Field(max_length=512)] | None = None
    """URL of the API inside the cluster."""
    stable_revision: Hash | None = None
    """Hash of the revision that the Service sends to."""
    model: ModelStatus | None = None
    """The model that the stable revision serves."""
    pods: Annotated[tuple[PodSummary, ...], Field(max_length=10), ATOMIC] = ()
    """Pods that are not ready, by reason."""
    rollout: RolloutStatus | None = None
    """The change of revision that is under way or ended last."""

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a stored status; what cannot be understood is taken as absent. Never raises."""
        return read_what_is_understood(cls, value)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON in camelCase without nulls and empty lists and maps."""
        content = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        plain: dict[str, Any] = without_empty(content)
        return plain

    def condition(self, type_: ConditionType) -> Condition | None:
        """Return the condition of a type, None before it was first set."""
        return next((entry for entry in self.conditions if entry.type is type_), None)
