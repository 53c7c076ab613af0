"""What a reason means, and what is wrong with a resource now. Pure.

Reasons come from the operator's closed list; one of a newer operator is repeated as it stands.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kubectl_llm.exits import ExitCode
from kubectl_llm.failures import Refusal
from llm_operator.api.reasons import ConditionType, Reason

_REASONS: Final = {reason.value: reason for reason in Reason}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One reason where it stands now, and what to do about it."""

    subject: str
    """What is explained, e.g. ``Stalled`` or ``2 pods``; empty for a reason by itself."""
    reason: str
    meaning: str
    next_step: str
    message: str = ""
    """What the operator says about this very case."""


def explain_reason(named: str) -> Explanation:
    """Explain a reason of the closed list; case does not matter.

    Raises:
        Refusal: there is no such reason; the message has the nearest ones.
    """
    by_word = {reason.value.lower(): reason for reason in Reason}
    reason = by_word.get(named.lower())
    if reason is not None:
        return Explanation("", reason.value, reason.meaning, reason.next_step)
    near = difflib.get_close_matches(named.lower(), by_word, n=3)
    hint = f" Near: {', '.join(by_word[word].value for word in near)}." if near else ""
    raise Refusal(f"No reason is called {named}.{hint}", ExitCode.NOT_FOUND)


def is_reason(named: str) -> bool:
    """Whether a word is meant as a reason: names of resources begin with a small letter."""
    return named[:1].isupper()


def explain_status(status: Mapping[str, Any]) -> tuple[Explanation, ...]:
    """Return what is not as it should be, the most pressing first; empty when all is well.

    ``status`` is the stored one: reasons of another release are told as they are.
    """
    found = [*_conditions(status), *_pods(status)]
    unique = {(one.reason, one.message): one for one in reversed(found)}
    return tuple(one for one in found if unique[one.reason, one.message] is one)


def _conditions(status: Mapping[str, Any]) -> Iterator[Explanation]:
    order = (
        (ConditionType.STALLED, "True"),
        (ConditionType.CONFLICT, "True"),
        (ConditionType.READY, "False"),
        (ConditionType.PROGRESSING, "True"),
    )
    conditions = {c.get("type"): c for c in status.get("conditions") or ()}
    for type_, wanted in order:
        condition = conditions.get(type_.value)
        if condition is None or condition.get("status") != wanted:
            continue
        subject = type_.value if wanted == "True" else f"not {type_.value}"
        yield _explained(subject, condition)


def _pods(status: Mapping[str, Any]) -> Iterator[Explanation]:
    for group in status.get("pods") or ():
        count = group.get("count", 1)
        where = f"{count} pod{'s' if count != 1 else ''}"
        named = f"{where}, e.g. {group['pod']}" if group.get("pod") else where
        yield _explained(named, group)


def _explained(subject: str, told: Mapping[str, Any]) -> Explanation:
    word, message = str(told.get("reason", "")), str(told.get("message", ""))
    reason = _REASONS.get(word)
    if reason is not None:
        return Explanation(subject, word, reason.meaning, reason.next_step, message)
    return Explanation(subject, word, "A reason of another release of the operator.", "", message)
