"""The command annotation: what people tell a rollout to do; written by the plugin, read once here.

``serving.llm-operator.io/command: "<verb> <revision> <nonce>"``. Pure. Whether a command is carried
out, and that it is carried out once, is the rollout machine's to decide.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from llm_operator.api.schema import HASH_PATTERN
from llm_operator.api.status import NONCE_PATTERN, shorten

_SHOWN_CHARACTERS: Final = 40


class CommandVerb(StrEnum):
    """What a rollout can be told."""

    PROMOTE = "promote"
    """Give the new revision all traffic and make it stable, past steps and judgement."""
    PROMOTE_STEP = "promote-step"
    """Go on to the next step."""
    ABORT = "abort"
    """Go back to the stable revision and reject the new one."""
    RETRY = "retry"
    """Try a rejected revision again."""
    PAUSE = "pause"
    """Stay at this step."""
    RESUME = "resume"
    """End a pause."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command, for one revision."""

    verb: CommandVerb
    revision: str
    """Hash of the revision that it is meant for; another one's rollout ignores it."""
    nonce: str
    """What tells it from the same command given again."""

    def __str__(self) -> str:
        """Return the value of the annotation."""
        return f"{self.verb} {self.revision} {self.nonce}"


class CommandInvalid(ValueError):
    """The annotation is no command; the message says which part is wrong and what is allowed."""


def parse_command(text: str) -> Command:
    """Read the annotation's value; white space around and between the parts does not matter.

    >>> parse_command("promote-step bcdfghjk 1").verb
    <CommandVerb.PROMOTE_STEP: 'promote-step'>

    Raises:
        CommandInvalid: it is not three parts, or one of them is not what it must be.
    """
    parts = text.split(maxsplit=3)
    if len(parts) != 3:
        raise CommandInvalid(f"{_shown(text)}: write '<verb> <revision> <nonce>'")
    verb, revision, nonce = parts
    if verb not in set(CommandVerb):
        raise CommandInvalid(f"{_shown(verb)}: the verb is one of {', '.join(CommandVerb)}")
    if not re.fullmatch(HASH_PATTERN, revision):
        raise CommandInvalid(
            f"{_shown(revision)}: the revision is a hash of 8 characters, as status.rollout.target"
        )
    if not re.fullmatch(NONCE_PATTERN, nonce):
        raise CommandInvalid(
            f"{_shown(nonce)}: the nonce is at most 16 letters, digits, - . _, new for each command"
        )
    return Command(CommandVerb(verb), revision, nonce)


def _shown(part: str) -> str:
    """Quote what was written; it may be of any length."""
    return repr(shorten(part, _SHOWN_CHARACTERS))
