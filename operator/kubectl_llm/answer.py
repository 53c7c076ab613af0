"""What a command is about, and what became of it. Pure.

The operator looks at each nonce once, notes it in ``status.rollout.commands``, and says in an
event that names the nonce whether it executed the command or found it stale.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from llm_operator.api.command import Command
from llm_operator.api.reasons import Reason
from llm_operator.api.status import Status

_ANSWERS: Final = (Reason.COMMAND_EXECUTED, Reason.STALE_COMMAND, Reason.COMMAND_INVALID)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the operator said to a command."""

    was_executed: bool
    message: str


def revision_meant(status: Status) -> str | None:
    """Return the hash that a command is about: the rollout's revision, else the one that serves."""
    target = status.rollout.target if status.rollout else None
    return target or status.stable_revision


def was_seen(command: Command, status: Status) -> bool:
    """Whether the operator has looked at the command."""
    return status.rollout is not None and command.nonce in status.rollout.commands


def answer_to(command: Command, events: Iterable[Mapping[str, Any]]) -> Answer | None:
    """Return what the event that names the command's nonce says; None while there is none."""
    word = re.compile(rf"(?<![-\w]){re.escape(command.nonce)}(?![-\w])")
    for event in events:
        note = str(event.get("message", ""))
        if event.get("reason") in _ANSWERS and word.search(note):
            return Answer(event["reason"] == Reason.COMMAND_EXECUTED, note)
    return None
