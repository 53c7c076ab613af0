"""Making other programs' messages fit for a status: one line, no secret, nothing that ticks.

A message that changes while nothing else does would be a write of the status and an event at every
attempt, so times, durations, random identifiers and addresses of single pods are taken out.
"""

import json
import re
from collections.abc import Mapping
from typing import Final

from llm_operator.api.status import shorten

MESSAGE_LIMIT: Final = 250
"""Below the limit of a condition, which adds the pod's name and the next step."""

_INPUT_LIMIT: Final = 8192
_MASK: Final = "***"
_TOLD_KEYS: Final = ("error", "exception", "message", "msg", "event")
"""Where log lines in JSON have what happened, the most telling first."""

_KEYED_SECRET: Final = re.compile(
    r"([\w-]{0,32}(?:token|password|passwd|secret|api[_-]?key|signature|credential|authorization)"
    r"[\w-]{0,32}(?:[\"']\s?[=:]\s?[\"']|\s?[=:]\s?[\"']?)(?:(?:Bearer|Basic)\s)?)"
    r"[^\s&,;\"']{4,}",
    re.IGNORECASE,
)
_SECRETS: Final = (
    re.compile(r"(?<=://)[^/\s:@]{1,128}:[^/\s@]{1,512}(?=@)"),
    re.compile(r"\b(?:hf_|sk-|gh[pousr]_|glpat-|xox[abp]-)[A-Za-z0-9_-]{6,}"),
    re.compile(r"\bAKIA[0-9A-Z]{12,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){1,2}"),
    re.compile(r"(?<=\bBearer )[^\s\"']{4,}|(?<=\bBasic )[^\s\"']{8,}"),
)

_TICKING: Final = (
    (re.compile(r"\(?Request ID: [^)\s]+(?:; ?[^)\s]+)?\)?"), ""),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"), ""),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b"), ""),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "…"),
    (re.compile(r"\b0x[0-9a-f]{6,}\b"), "…"),
    (re.compile(r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{12,64}\b"), "…"),
    (re.compile(r"\"?[\w.-]{1,253}_[\w.-]{1,63}\(…\)\"?"), "this pod"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}:\d{1,5}->"), ""),
    (re.compile(r"\b(?:\d+h)?(?:\d+m)?\d+\.\d+(?:µs|ms|s)\b"), "…"),
    (re.compile(r"\bpid[= ]\d+"), "pid …"),
)


def mask(message: str) -> str:
    """Put ``***`` in place of what looks like a credential."""
    message = _KEYED_SECRET.sub(rf"\g<1>{_MASK}", message[:_INPUT_LIMIT])
    for pattern in _SECRETS:
        message = pattern.sub(_MASK, message)
    return message


def steady(message: str) -> str:
    """Return a message as one line of at most ``MESSAGE_LIMIT`` that stays the same.

    >>> steady("failed at 2026-01-01T00:00:00Z with token=abcdef")
    'failed at with token=***'
    """
    message = mask(message)
    for pattern, replacement in _TICKING:
        message = pattern.sub(replacement, message)
    return shorten(" ".join(message.split()), MESSAGE_LIMIT)


def last_line(log: str) -> str:
    """Return what the last line of a log says; of a line in JSON its message."""
    lines = [line.strip() for line in log[-_INPUT_LIMIT:].splitlines() if line.strip()]
    return _told(lines[-1]) if lines else ""


def _told(line: str) -> str:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return line
    if not isinstance(content, Mapping):
        return line
    told = (content.get(key) for key in _TOLD_KEYS)
    return next((value for value in told if isinstance(value, str) and value), line)
