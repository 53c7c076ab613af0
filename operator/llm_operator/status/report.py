"""Writing a status: the parts of it as JSON, and its size. Pure."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from llm_operator.api.status import (
    COMMANDS_LIMIT,
    REJECTED_LIMIT,
    FrozenSettings,
    RolloutPhase,
    RolloutStatus,
)
from llm_operator.api.tolerant import without_empty
from llm_operator.api.traffic import Provider
from llm_operator.conditions import format_time
from llm_operator.diagnosis import Finding, summarise
from llm_operator.judgement.restarts import PodRestarts, restarts_json
from llm_operator.judgement.window import Window
from llm_operator.rollout.state import Decision, Frozen, Judgement, Rollout, World
from llm_operator.rollout.total import ReplicasFloor
from llm_operator.status.memory import ALIKE

SIZE_LIMIT: Final = 8 * 1024
"""Bytes of a status as compact JSON."""

_SHORT_MESSAGE_BYTES: Final = 80
_CUT: Final = "…"
_FEW_ENTRIES: Final = 2

_RESTING: Final = Rollout()

_Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """What ``status.rollout`` shows beside the state of the machine."""

    steps: int | None = None
    """How many steps there are; None outside of a rollout."""
    effective_weight_percent: int | None = None
    judgement: Judgement | None = None
    """The newest verdict about the step that runs."""
    window: Window | None = None
    restarts: tuple[PodRestarts, ...] = ()
    """Of the target's pods, as the judge counts them."""


_NOTHING: Final = Progress()


def floor_json(floor: ReplicasFloor | None) -> _Json:
    """Return ``status.replicasFloor``; empty when nothing is held."""
    return {"value": floor.value, "since": format_time(floor.since)} if floor else {}


def pods_json(findings: Iterable[Finding]) -> list[_Json]:
    """Return ``status.pods``."""
    return [
        summary.model_dump(mode="json", by_alias=True, exclude_none=True)
        for summary in summarise(findings)
    ]


def rollout_json(rollout: Rollout, progress: Progress = _NOTHING) -> _Json:
    """Return ``status.rollout`` without what is absent; ``recall`` reads the machine's part back.

    Times are in whole seconds.
    """
    fields = _alike(rollout)
    if rollout.phase is not RolloutPhase.STABLE:
        fields |= {"phase": rollout.phase, **_shown(rollout, progress)}
    if rollout.step is not None:
        fields["step"] = rollout.step + 1
    if rollout.frozen is not None:
        fields["frozen"] = _frozen(rollout.frozen)
    content = RolloutStatus(**fields)
    plain = content.model_dump(mode="json", by_alias=True, exclude_none=True)
    if progress.window is not None:
        plain["window"] = progress.window.to_json()
    plain["restarts"] = restarts_json(progress.restarts)
    written: _Json = without_empty(plain)
    return written


def _alike(rollout: Rollout) -> _Json:
    """Return what differs from a rollout at rest, with lists and times as the status has them."""
    values = {name: getattr(rollout, name) for name in ALIKE}
    values["commands"] = rollout.commands[-COMMANDS_LIMIT:]
    values["rejected"] = rollout.rejected[-REJECTED_LIMIT:]
    return {
        name: value.replace(microsecond=0) if isinstance(value, datetime) else value
        for name, value in values.items()
        if value != getattr(_RESTING, name)
    }


def _frozen(frozen: Frozen) -> FrozenSettings:
    return FrozenSettings(
        strategy=frozen.strategy,
        max_extra_replicas=frozen.max_extra_replicas,
        min_serving_percent=frozen.min_serving_percent,
        provider=frozen.provider,
        replaces_directly=frozen.replaces_directly or None,
    )


def _shown(rollout: Rollout, progress: Progress) -> _Json:
    judgement = progress.judgement
    return {
        "weight_percent": rollout.weight_percent,
        "steps": progress.steps,
        "effective_weight_percent": progress.effective_weight_percent,
        "verdict": judgement.outcome.value if judgement else None,
        "verdict_reason": judgement.reason if judgement else None,
        "reason": rollout.cause or rollout.paused_by or (judgement.reason if judgement else None),
    }


def effective_weight_percent(decision: Decision, world: World) -> int | None:
    """Return the share of the traffic that the rollout's target has; None when it is not known.

    ReplicaRatio splits by ready pods, whatever was asked for between 0 and 100.
    """
    rollout, applied = decision.rollout, world.traffic.weight_percent
    by_pods = rollout.frozen is None or rollout.frozen.provider is Provider.REPLICA_RATIO
    if applied in (None, 0, 100) or not by_pods:
        return applied
    canary = world.ready.get(rollout.target or "", 0)
    stable = world.ready.get(decision.stable or "", 0)
    return round(100 * canary / (canary + stable)) if canary + stable else None


def fit(status: Mapping[str, Any]) -> _Json:
    """Return the status within ``SIZE_LIMIT``: what is only for people gives way, in order.

    First the messages of pods, then all but a few of them, then messages of conditions and of the
    rollout, and last the pods whose restarts the judge remembers, of which one is enough.
    """
    fitting = dict(status)
    for shrink in _SHRINKS:
        if size(fitting) < SIZE_LIMIT:
            break
        fitting = shrink(fitting)
    return fitting


def size(content: Mapping[str, Any]) -> int:
    """Return the bytes of compact JSON, as the API server stores it."""
    return len(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())


def _with_short_pods(status: _Json) -> _Json:
    return status | {"pods": [_with_short_message(pod) for pod in status.get("pods", ())]}


def _with_few_pods(status: _Json) -> _Json:
    return status | {"pods": status["pods"][:_FEW_ENTRIES]}


def _with_short_messages(status: _Json) -> _Json:
    conditions = [_with_short_message(condition) for condition in status.get("conditions", ())]
    rollout = _with_short_message(status.get("rollout", {}))
    return status | {"conditions": conditions, "rollout": rollout}


def _with_few_restarts(status: _Json) -> _Json:
    few = status["rollout"].get("restarts", [])[:_FEW_ENTRIES]
    return status | {"rollout": status["rollout"] | {"restarts": few}}


def _with_short_message(entry: _Json) -> _Json:
    message = entry.get("message", "").encode()
    if len(message) <= _SHORT_MESSAGE_BYTES:
        return entry
    start = message[: _SHORT_MESSAGE_BYTES - len(_CUT.encode())].decode(errors="ignore")
    return entry | {"message": start + _CUT}


_SHRINKS: Final[tuple[Callable[[_Json], _Json], ...]] = (
    _with_short_pods,
    _with_few_pods,
    _with_short_messages,
    _with_few_restarts,
)
