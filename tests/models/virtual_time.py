"""An event loop whose clock jumps to the next timer instead of waiting for it.

Everything written against the loop's own time (``asyncio.sleep``, ``asyncio.timeout``,
``loop.time``) runs in it unchanged, hours in milliseconds and always in the same order.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

DELIVERY_SECONDS = 60.0
"""Real time within which this machine carries bytes from one of its sockets to another."""


def nothing() -> bool:
    """Say that nothing is on its way: all that happens, happens in the loop."""
    return False


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, is_awaited: Callable[[], bool]) -> None:
        super().__init__()
        self.now = 0.0
        self._is_awaited = is_awaited

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self._is_awaited():
            ready = super().select(DELIVERY_SECONDS)
            assert ready, "something on its way did not arrive"
            return ready
        if timeout:
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop for one test; its time stands while ``is_awaited`` says so."""

    def __init__(self, is_awaited: Callable[[], bool] = nothing) -> None:
        self._jumping = _JumpingSelector(is_awaited)
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since the loop was made, as far as its timers are concerned."""
        return self._jumping.now


def run(main: Coroutine[Any, Any, T], is_awaited: Callable[[], bool] = nothing) -> T:
    """Run a coroutine to its end in virtual time.

    ``is_awaited`` tells whether bytes are on their way between sockets of this process; they are
    waited for in real time.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(is_awaited)) as runner:
        return runner.run(main)
