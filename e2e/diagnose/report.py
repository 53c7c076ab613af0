"""The results as a table for people and as one line for programs."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from e2e.diagnose.running import Outcome, Result

_MESSAGE_WIDTH: Final = 96


def table(results: Sequence[Result]) -> str:
    """Return one line for each fault."""
    lines = [f"{'fault':<20} {'outcome':<8} {'seconds':>7}  {'told':<24} message"]
    for result in results:
        seconds = "" if result.seconds is None else f"{result.seconds:.1f}"
        reason = result.told.reason if result.told else ""
        message = result.told.message[:_MESSAGE_WIDTH] if result.told else ""
        fault = result.fault
        lines.append(f"{fault.name:<20} {result.outcome:<8} {seconds:>7}  {reason:<24} {message}")
        if result.outcome is not Outcome.CORRECT:
            lines.append(f"{'':<37}  expected {fault.expected}, with {fault.word!r}")
    return "\n".join(lines)


def summary(results: Sequence[Result]) -> str:
    """Return the figures as JSON."""
    outcomes = Counter(result.outcome for result in results)
    seconds = sorted(result.seconds for result in results if result.seconds is not None)
    at = math.ceil(0.95 * len(seconds)) - 1
    return json.dumps(
        {
            "faults": len(results),
            **{outcome.value: outcomes[outcome] for outcome in Outcome},
            "p95_seconds": round(seconds[at], 1) if seconds else None,
        }
    )


def holds(results: Sequence[Result]) -> bool:
    """Whether at least 95 % are correct and none is wrong."""
    outcomes = Counter(result.outcome for result in results)
    return not outcomes[Outcome.WRONG] and outcomes[Outcome.CORRECT] >= 0.95 * len(results)
