"""``status``: what the operator says about a resource, and what it must remember of it.

Reading is tolerant: a status may be lost, edited by hand or written by another release, so what
cannot be understood is left out, piece by piece, and is computed again. Writing leaves absence out.
"""

import copy
import functools
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema

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

if TYPE_CHECKING:
    from collections.abc import Callable

_Count = Annotated[int, Field(strict=True, ge=0, le=INT32_MAX)]
_Generation = Annotated[int, Field(strict=True, ge=0, le=WHOLE_MAX)]
_Word = WithJsonSchema({"type": "string", "maxLength": 64, "pattern": "^[A-Za-z]*$"})
"""Closed lists of the operator are open in the schema: an older CRD must take a newer status."""

MESSAGE_LIMIT: Final = 360
"""Characters of a message; with this, a status stays below 8 KiB."""


def shorten(message: str, limit: int = MESSAGE_LIMIT) -> str:
    """Cut a message to ``limit`` characters, the last of which then says so."""
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
    revision: Annotated[str, Field(max_length=128)] | None = None
    """The exact revision that was loaded, where the source has revisions."""
    served_name: Annotated[str, Field(max_length=256)] | None = None
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


class RolloutStatus(ApiModel):
    """A change of revision, as far as a restart of the operator must not lose it."""

    phase: Annotated[RolloutPhase, _Word] | None = None
    """Where the change is. Absent: none is under way."""
    target: Hash | None = None
    """Hash of the revision that was started last."""
    strategy: Annotated[Strategy, _Word] | None = None
    """The strategy that the change began with."""
    started_at: Time | None = None
    """When it began."""
    deadline_at: Time | None = None
    """When its pods must be ready."""
    moved_at: Time | None = None
    """When the endpoints of the Service were first all of the target."""
    rejected: Annotated[tuple[Hash, ...], Field(max_length=5), ATOMIC] = ()
    """Hashes that were not ready in time, newest last."""


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
        rest = copy.deepcopy(value) if isinstance(value, dict) else {}
        while True:
            try:
                return cls.model_validate(rest)
            except ValidationError as error:
                _remove(rest, error.errors()[-1]["loc"])

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON in camelCase without nulls and empty lists and maps."""
        content = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        plain: dict[str, Any] = _without_empty(content)
        return plain

    def condition(self, type_: ConditionType) -> Condition | None:
        """Return the condition of a type, None before it was first set."""
        return next((entry for entry in self.conditions if entry.type is type_), None)


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        plain = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in plain.items() if item not in ([], {})}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def _remove(content: dict[str, Any], location: tuple[int | str, ...]) -> None:
    """Remove the innermost part of ``content`` that ``location`` leads to; all, if none does."""
    part: Any = content
    removals: list[Callable[[], object]] = [content.clear]
    for step in location:
        known = step in part if isinstance(part, dict) else isinstance(part, list)
        if not known:
            break
        removals.append(functools.partial(part.pop, step))
        part = part[step]
    removals[-1]()
