"""The exit codes: what a pipeline may rely on. ``docs/plugin.md`` has the same table."""

from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """How a command ended; 2 is the command line's own, for a wrong flag or argument."""

    meaning: str

    def __new__(cls, value: int, meaning: str = "") -> Self:
        """Attach the meaning to the number that the process ends with."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "Done; of `status`: what was asked for is promoted and ready."
    FAILED = 1, "The API server or the plugin refused; the sentence says why."
    NOT_FOUND = 3, "No such resource, revision, reason or file."
    FORBIDDEN = 4, "The user may not do that."
    UNREACHABLE = 5, "No usable kubeconfig, no answer, or the cluster has no LLMDeployments."
    STALE_COMMAND = 6, "The operator did not execute the command: it did not fit the state."
    NOT_EXECUTED = 7, "The operator did not answer to the command in time."
    INVALID = 8, "The manifest is not a valid LLMDeployment."
    ROLLED_BACK = 10, "The rollout was rolled back; the old revision serves."
    STALLED = 11, "The rollout gets no further without a change by someone."
    TIMED_OUT = 12, "The rollout had not ended within --timeout; it goes on."
    PAUSED_BY_FAILURE = 13, "Judgement failed and rollout.onFailure is Pause; somebody must decide."
