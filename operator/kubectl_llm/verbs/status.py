"""``status``: one line about a rollout; with ``--watch`` it ends when the rollout does."""

from typing import Annotated, Any

import typer
from rich.console import Console

from kubectl_llm import drawing
from kubectl_llm.ending import Ending, ending
from kubectl_llm.exits import ExitCode
from kubectl_llm.failures import Refusal
from kubectl_llm.overview import look
from kubectl_llm.session import Session
from kubectl_llm.verbs.options import Interval, Name
from kubectl_llm.watching import looks
from llm_operator.cluster.errors import ClusterUnavailable

_Watch = Annotated[bool, typer.Option("--watch", "-w", help="Wait until the rollout has ended.")]
_Timeout = Annotated[
    float | None,
    typer.Option("--timeout", min=0, help="Wait at most so many seconds. Absent: for ever."),
]


async def status(
    session: Session,
    name: Name,
    *,
    watch: _Watch = False,
    timeout_seconds: _Timeout = None,
    interval: Interval = 2.0,
) -> ExitCode:
    """Say how a rollout stands; the exit code says how it ended (see docs/plugin.md)."""

    async def fetch() -> dict[str, Any]:
        return await session.client.resource(session.namespace, name)

    follower = _Follower(session.console)
    async for seen in looks(fetch, interval, timeout_seconds if watch else 0):
        ended = follower.tell(seen)
        if ended is not None:
            return ended.code
    raise Refusal(f"The rollout of {name} has not ended.", ExitCode.TIMED_OUT)


class _Follower:
    """Prints a line whenever there is news, and knows the end when it sees it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = ""

    def tell(self, seen: dict[str, Any] | ClusterUnavailable) -> Ending | None:
        """Print what is new; return how the rollout has ended, if it has."""
        if isinstance(seen, ClusterUnavailable):
            self._say(f"The cluster does not answer: {seen.message}")
            return None
        self._say(drawing.status_line(look(seen)))
        ended = ending(seen)
        if ended is not None:
            self._say(ended.message)
        return ended

    def _say(self, line: str) -> None:
        if line != self._said:
            self._console.print(line)
            self._said = line
