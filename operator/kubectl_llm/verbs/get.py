"""``get``: all resources in a table, or one with its rollout, pods and causes; live if asked."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live

from kubectl_llm import drawing, terminal
from kubectl_llm.exits import ExitCode
from kubectl_llm.overview import Overview, document, look
from kubectl_llm.session import Session
from kubectl_llm.verbs.options import Interval, Output, OutputFormat
from kubectl_llm.watching import looks
from llm_operator.cluster.errors import ClusterUnavailable, Forbidden

_Name = Annotated[str | None, typer.Argument(help="Absent: all LLMDeployments.")]
_All = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of all namespaces.")]
_Watch = Annotated[bool, typer.Option("--watch", "-w", help="Look on; end with Ctrl-C.")]


async def get(
    session: Session,
    name: _Name = None,
    *,
    all_namespaces: _All = False,
    watch: _Watch = False,
    interval: Interval = 1.0,
    output: Output = OutputFormat.TEXT,
) -> ExitCode:
    """Show LLMDeployments, or one with its rollout, its pods and what is wrong."""
    if name is not None:
        fetch = _one(session, name)
    else:
        fetch = _all(session, None if all_namespaces else session.namespace)
    if output is OutputFormat.JSON:
        terminal.print_json(_documents(await fetch(), is_one=name is not None))
    elif watch:
        await _watch(session.console, fetch, interval, is_one=name is not None)
    else:
        session.console.print(_drawn(await fetch(), is_one=name is not None))
    return ExitCode.OK


_Fetch = Callable[[], Awaitable[tuple[Overview, ...]]]


def _one(session: Session, name: str) -> _Fetch:
    async def fetch() -> tuple[Overview, ...]:
        resource = await session.client.resource(session.namespace, name)
        try:
            pods = await session.client.pods(session.namespace, name)
        except Forbidden:  # the resource itself says the most
            pods = ()
        return (look(resource, pods),)

    return fetch


def _all(session: Session, namespace: str | None) -> _Fetch:
    async def fetch() -> tuple[Overview, ...]:
        return tuple(look(one) for one in await session.client.resources(namespace))

    return fetch


async def _watch(console: Console, fetch: _Fetch, interval: float, *, is_one: bool) -> None:
    """Redraw a terminal; on anything else print a line for each piece of news."""
    if not console.is_terminal:
        await _follow(console, fetch, interval)
        return
    with Live(console=console, auto_refresh=False) as live:
        shown: RenderableType = ""
        async for seen in looks(fetch, interval):
            if isinstance(seen, ClusterUnavailable):
                live.update(Group(shown, f"No answer: {seen.message}"), refresh=True)
                continue
            shown = _drawn(seen, is_one=is_one)
            live.update(shown, refresh=True)


async def _follow(console: Console, fetch: _Fetch, interval: float) -> None:
    said: set[str] = set()
    async for seen in looks(fetch, interval):
        if isinstance(seen, ClusterUnavailable):
            continue
        lines = [drawing.status_line(overview) for overview in seen]
        for line in lines:
            if line not in said:
                console.print(line)
        said = set(lines)


def _drawn(seen: tuple[Overview, ...], *, is_one: bool) -> RenderableType:
    if is_one:
        return drawing.overview_page(seen[0], datetime.now(UTC))  # noqa: TID251 - this is the edge
    return drawing.overviews_table(seen) if seen else "No LLMDeployments."


def _documents(seen: tuple[Overview, ...], *, is_one: bool) -> Any:
    return document(seen[0]) if is_one else [document(one) for one in seen]
