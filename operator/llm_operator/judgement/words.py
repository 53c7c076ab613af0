"""What a verdict says to people: always the number and the limit."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.judgement.comparison import Pair
from llm_operator.judgement.counters import Counters

_FIGURES: Final = {
    Reason.FIRST_TOKEN_TOO_SLOW: "time to first token",
    Reason.INTER_TOKEN_TOO_SLOW: "time between tokens",
}


def restarting(pod: str, exit_code: int) -> str:
    """Say that a pod ends in the same way again and again."""
    return f"The server of pod {pod} has ended with exit code {exit_code} more than once"


def no_progress(pod: str, stall: timedelta) -> str:
    """Say that a pod hangs."""
    seconds = stall.total_seconds()
    return f"Pod {pod} had requests and computed nothing for {seconds:.0f} s"


def errors(counters: Counters, limit_percent: int) -> str:
    """Say how many requests failed."""
    percent = 100 * counters.failed / counters.judged
    return (
        f"{counters.failed} of {counters.judged} requests failed "
        f"({percent:.1f} %, limit {limit_percent} %)"
    )


def slower(pair: Pair) -> str:
    """Say how the two sides' percentiles compare."""
    return (
        f"p95 of the {_FIGURES[pair.reason]}: {_time(pair.canary)}, stable {_time(pair.stable)} "
        f"({pair.percent:.0f} %, limit {pair.limit_percent} %)"
    )


def doubtful(pair: Pair) -> str:
    """Say that what seems slower may be chance."""
    return f"{slower(pair)}; too few requests to tell it from chance"


def guard(name: str, value: float, maximum: float) -> str:
    """Say by how much a guard is exceeded."""
    return f"Guard {name} was above its maximum twice in a row: {value:g}, maximum {maximum:g}"


def unread_pod(pod: str, cause: str) -> str:
    """Say that a pod's metrics are missing."""
    return f"The metrics of pod {pod} cannot be read: {cause}"


def unread_guard(name: str, cause: str) -> str:
    """Say that a guard has no value."""
    return f"Guard {name} has no value: {cause}"


def no_traffic(span: timedelta) -> str:
    """Say that nobody asked anything."""
    return f"No request reached either revision within {span.total_seconds():.0f} s"


def too_few(canary: int, stable: int | None, needed: int) -> str:
    """Say how many requests there were; ``stable`` is None where they are not needed."""
    beside = "" if stable is None else f", {stable} on the stable one"
    return f"{canary} requests on the new revision{beside}; {needed} are needed"


def kept(counters: Counters, limit_percent: int, pairs: Iterable[Pair]) -> str:
    """Say how far below its limits the canary is."""
    return "; ".join([errors(counters, limit_percent), *map(slower, pairs)])


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
