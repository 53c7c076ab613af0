"""The shape of one explanation."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NOTHING_TO_DO: Final = "Nothing to do."


class EventType(StrEnum):
    """The two types of an event."""

    NORMAL = "Normal"
    WARNING = "Warning"


class Finality(StrEnum):
    """Whether a rollout ends by what keeps its pods from being ready, or waits for the cure."""

    WAITS = ""
    AT_ONCE = "at once"
    REPEATED = "when it repeats"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a reason means and what to do about it, in whole sentences."""

    event_type: EventType
    meaning: str
    next_step: str = NOTHING_TO_DO
    finality: Finality = Finality.WAITS


def normal(meaning: str, next_step: str = NOTHING_TO_DO) -> Explanation:
    """Explain a reason of the expected course."""
    return Explanation(EventType.NORMAL, meaning, next_step)


def warning(meaning: str, next_step: str) -> Explanation:
    """Explain a reason that someone should look at."""
    return Explanation(EventType.WARNING, meaning, next_step)


def final(meaning: str, next_step: str) -> Explanation:
    """Explain a cause that stays until someone changes the resource."""
    return Explanation(EventType.WARNING, meaning, next_step, Finality.AT_ONCE)


def final_when_repeated(meaning: str, next_step: str) -> Explanation:
    """Explain a cause that may be an accident the first time."""
    return Explanation(EventType.WARNING, meaning, next_step, Finality.REPEATED)
