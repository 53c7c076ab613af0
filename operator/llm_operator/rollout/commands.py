"""Commands: each nonce once, only for the revision that it names. Pure.

What a command may do depends on the phase; anything else is stale and says so once, so that a copy
that lies in Git is harmless.
"""

from collections.abc import Callable, Mapping
from typing import Final

from llm_operator.api.command import Command, CommandVerb
from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.entering import next_step, paused, promoting
from llm_operator.rollout.position import AT_REST, Case, Position
from llm_operator.rollout.promotion import pointer_back
from llm_operator.rollout.rest import begun, refusal, settled
from llm_operator.rollout.retreat import COMMANDS_KEPT, roll_back

NONCES_MAX: Final = 64
"""Nonces remembered while a rollout runs; the status stays bounded."""

_Effect = Callable[[Position, Case], Position | str]
"""Returns where the command leads, or why it does nothing."""


def obeyed(position: Position, case: Case) -> Position:
    """Carry out the command that the resource carries, if it is new and fits."""
    command = case.intent.command
    if command is None or command.nonce in position.rollout.commands:
        return position
    limit = COMMANDS_KEPT if position.rollout.phase in AT_REST else NONCES_MAX
    commands = (*position.rollout.commands, command.nonce)[-limit:]
    position = position.but(commands=commands)
    result = _result(command, position, case)
    if isinstance(result, str):
        return position.noted(Reason.STALE_COMMAND, f"{_named(command)}: {result}")
    return result.noted(Reason.COMMAND_EXECUTED, _named(command))


def _named(command: Command) -> str:
    return f"{command.verb} of revision {command.revision} ( {command.nonce} )"


def _result(command: Command, position: Position, case: Case) -> Position | str:
    phase, target = position.rollout.phase, position.rollout.target
    if command.revision != target:
        return f"the rollout is about revision {target}"
    effect = _EFFECTS.get(command.verb, {}).get(phase)
    if effect is None:
        return f"it has no meaning while the rollout is {phase}"
    return effect(position, case)


def _abort(position: Position, case: Case) -> Position | str:
    if position.stable is None:
        return "there is no revision to go back to"
    return roll_back(position, case, Reason.ABORTED, "it was aborted")


def _abort_bake(position: Position, case: Case) -> Position | str:
    return pointer_back(position, case, Reason.ABORTED, "it was aborted while baking")


def _promote(position: Position, case: Case) -> Position | str:
    if position.stable is None:
        return "there is no revision to replace, it serves as soon as it is ready"
    position = _overruled(position).but(promote_asked=True)
    return promoting(position, case) if case.canary(position).ready >= 1 else position


def _overruled(position: Position) -> Position:
    """Drop the window whose failure paused the rollout: a person has seen its verdict."""
    if position.rollout.paused_by is not Reason.PAUSED_BY_FAILURE:
        return position
    return position.but(window_started_at=None)


def _vouch(position: Position, _case: Case) -> Position | str:
    return position.but(promote_asked=True)


def _end_bake(position: Position, _case: Case) -> Position | str:
    return settled(position, position.rollout.target or "")


def _promote_step(position: Position, case: Case) -> Position | str:
    if case.policy.paused:
        return "spec.rollout.paused is true"
    is_last = _is_last(position, case)
    return next_step(_overruled(position).but(promote_asked=is_last), case)


def _is_last(position: Position, case: Case) -> bool:
    """Whether the command leads to the promotion, which it then vouches for."""
    step = position.rollout.step
    return step is not None and step + 1 >= len(case.steps(position))


def _pause(position: Position, case: Case) -> Position | str:
    return paused(position, case, Reason.PAUSED_BY_COMMAND, "It was paused by command")


def _pause_later(position: Position, _case: Case) -> Position | str:
    return position.but(pause_asked=True)


def _resume(position: Position, case: Case) -> Position | str:
    if case.policy.paused:
        return "spec.rollout.paused is true"
    return next_step(_overruled(position), case)


def _retry(position: Position, case: Case) -> Position | str:
    if case.intent.target != position.rollout.target:
        return "the spec has another revision"
    if case.policy.paused:
        return "spec.rollout.paused is true"
    rejected = tuple(hash_ for hash_ in position.rollout.rejected if hash_ != case.intent.target)
    forgotten = position.but(rejected=rejected)
    if case.intent.total == 0:
        return "replicas is 0"
    refused = refusal(forgotten, case)
    return refused.message if refused else begun(forgotten, case)


_WAITING: Final = (RolloutPhase.STEP, RolloutPhase.PAUSED, RolloutPhase.HOLDING)
_UNDER_WAY: Final = (RolloutPhase.PREPARING, *_WAITING, RolloutPhase.PROMOTING)

_EFFECTS: Final[Mapping[CommandVerb, Mapping[RolloutPhase, _Effect]]] = {
    CommandVerb.ABORT: {
        **dict.fromkeys(_UNDER_WAY, _abort),
        RolloutPhase.BAKING: _abort_bake,
    },
    CommandVerb.PROMOTE: {
        **dict.fromkeys((RolloutPhase.PREPARING, *_WAITING), _promote),
        RolloutPhase.PROMOTING: _vouch,
        RolloutPhase.BAKING: _end_bake,
    },
    CommandVerb.PROMOTE_STEP: dict.fromkeys(_WAITING, _promote_step),
    CommandVerb.PAUSE: {
        **dict.fromkeys(_WAITING, _pause),
        RolloutPhase.PREPARING: _pause_later,
    },
    CommandVerb.RESUME: {RolloutPhase.PAUSED: _resume},
    CommandVerb.RETRY: {RolloutPhase.ROLLED_BACK: _retry},
}
