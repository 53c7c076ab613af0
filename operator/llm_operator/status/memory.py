"""Reading a status back: the decisions that are carried from pass to pass. Pure.

Of ``status.rollout`` only what the machine and the judge decided is read; what is beside it is for
display.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from llm_operator.api.reasons import Reason
from llm_operator.api.status import FrozenSettings, RolloutPhase, RolloutStatus, Status
from llm_operator.judgement.restarts import PodRestarts, read_restarts
from llm_operator.judgement.window import Window
from llm_operator.rollout.state import Frozen, Judgement, Rollout, VerdictOutcome
from llm_operator.rollout.total import ReplicasFloor

RENAMED: Final = frozenset({"phase", "step", "frozen"})
"""Fields of ``Rollout`` that the status has in another form; the others have the same name."""

ALIKE: Final = tuple(part.name for part in fields(Rollout) if part.name not in RENAMED)


@dataclass(frozen=True, slots=True)
class Memory:
    """The decisions that the status carries from pass to pass."""

    stable: str | None = None
    rollout: Rollout = field(default_factory=Rollout)
    window: Window | None = None
    """What the judge of the running step must remember."""
    verdict: Judgement | None = None
    """What the judge said last in that window, without its words."""
    restarts: tuple[PodRestarts, ...] = ()
    """Of the canary's pods, since it got its first share."""
    desired_replicas: int | None = None
    floor: ReplicasFloor | None = None
    is_lost: bool = False
    """Whether there is no status: a new resource, or one restored without it."""


def recall(json: Mapping[str, Any]) -> Memory:
    """Read the status; what does not parse counts as absent."""
    status = Status.from_json(json)
    floor, rollout = status.replicas_floor, status.rollout or RolloutStatus()
    window = _recall_window(json.get("rollout"))
    return Memory(
        stable=status.stable_revision,
        rollout=_recall_rollout(rollout),
        window=window,
        verdict=_recall_verdict(rollout, window),
        restarts=_recall_restarts(json.get("rollout")),
        desired_replicas=status.desired_replicas,
        floor=ReplicasFloor(floor.value, floor.since) if floor else None,
        is_lost=status.observed_generation is None,
    )


def _recall_rollout(stored: RolloutStatus) -> Rollout:
    alike = {name: getattr(stored, name) for name in ALIKE}
    known: dict[str, Any] = {name: value for name, value in alike.items() if value is not None}
    return Rollout(
        phase=stored.phase or RolloutPhase.STABLE,
        step=stored.step - 1 if stored.step else None,
        frozen=_recall_frozen(stored.frozen) if stored.frozen else None,
        **known,
    )


def _recall_frozen(stored: FrozenSettings) -> Frozen:
    return Frozen(
        strategy=stored.strategy,
        max_extra_replicas=stored.max_extra_replicas,
        min_serving_percent=stored.min_serving_percent,
        provider=stored.provider,
        replaces_directly=bool(stored.replaces_directly),
    )


def _recall_window(rollout: object) -> Window | None:
    """Read the judge's part as it stands: half a sum would be worse than none."""
    return Window.from_json(rollout.get("window")) if isinstance(rollout, Mapping) else None


def _recall_restarts(rollout: object) -> tuple[PodRestarts, ...]:
    return read_restarts(rollout.get("restarts")) if isinstance(rollout, Mapping) else ()


def _recall_verdict(stored: RolloutStatus, window: Window | None) -> Judgement | None:
    """Return the verdict that is shown, so that it stands until there is another one."""
    outcome = next((known for known in VerdictOutcome if known == stored.verdict), None)
    if window is None or outcome is None:
        return None
    reason = stored.verdict_reason or Reason.UNKNOWN
    is_missing = reason is Reason.METRICS_MISSING
    return Judgement(window.started_at, outcome, reason, "", is_missing=is_missing)
