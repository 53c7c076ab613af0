"""Show that a long step is alive: what it does, how far it is, how long it has taken.

Not a log: one line per step on standard error. On a terminal the line is rewritten every second,
elsewhere a new line appears every half minute, so that a silent build can be told from a dead one.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten

from rich.console import Console

_TERMINAL_TICK_SECONDS = 1.0
_LOG_TICK_SECONDS = 30.0
_DETAIL_CHARACTERS = 100


class Step:
    """A running step. Its owner says how far it is; a thread shows it."""

    def __init__(self, title: str, console: Console) -> None:
        self._title = title
        self._console = console
        self._detail = ""
        self._started = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._thread.start()

    def say(self, detail: str) -> None:
        """Replace what is shown beside the title."""
        self._detail = shorten(detail, _DETAIL_CHARACTERS, placeholder=" …")

    def end(self, mark: str) -> None:
        """Stop the display and leave one line with the elapsed time."""
        self._ended.set()
        self._thread.join()
        self._erase()
        line = f"{mark} {self._title}  [dim]{self._elapsed()}[/dim]"
        self._console.print(line, highlight=False, soft_wrap=True, emoji=False)

    def _elapsed(self) -> str:
        seconds = time.monotonic() - self._started
        if seconds < 60:
            return f"{seconds:.1f} s"
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"

    def _erase(self) -> None:
        if self._console.is_terminal:
            self._console.file.write("\r\x1b[2K")

    def _tick(self) -> None:
        terminal = self._console.is_terminal
        period = _TERMINAL_TICK_SECONDS if terminal else _LOG_TICK_SECONDS
        while not self._ended.wait(period):
            self._erase()
            line = f"  {self._title}  {self._elapsed()}  {self._detail}"
            self._console.print(
                line[: self._console.width - 1] if terminal else line,
                end="" if terminal else "\n",
                highlight=False,
                markup=False,
                emoji=False,
                soft_wrap=True,
            )


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Show `title` with the time it takes; a cross instead of a tick if it raises."""
    running = Step(title, Console(stderr=True))
    try:
        yield running
    except BaseException:
        running.end("[red]✗[/red]")
        raise
    running.end("[green]✓[/green]")
