"""How a serving process ends: what asks for it, and the order in which it goes.

The order is described in docs/server.md, "The end of a pod". Called by ``process`` only.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from llm_server import contract
from llm_server.errors import FailureKind
from llm_server.http.listener import ApiServer
from llm_server.lifecycle import State
from llm_server.models.failures import StartupError
from llm_server.service import GenerationService, ServiceSlot

END_SECONDS = 3
"""For each of: typed errors to go out, the same without the engine, connections to close, the
engine to stop; together less than ``DRAIN_MARGIN_SECONDS``, or the kubelet ends the process."""
_LOOK_SECONDS = 0.5

_T = TypeVar("_T")


class EngineBroke(Exception):
    """The engine gave up, and why; the process is of no use any more."""

    def __init__(self, why: StartupError) -> None:
        super().__init__(why.message)
        self.why = why


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the process ends, and how long it goes on admitting; ``error`` None: it was asked to."""

    accept_seconds: float = 0.0
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class DrainRules:
    """How long admitted requests may go on, and who tells and is told in the meantime.

    ``is_stalled``: whether the engine hangs or is gone, so that waiting for it is of no use.
    ``enter``: called with each state that the drain reaches.
    """

    drain_seconds: float
    is_stalled: Callable[[], bool]
    enter: Callable[[State], None]


def settle(future: asyncio.Future[_T], result: _T) -> None:
    """Give a future its result unless it has one."""
    if not future.done():
        future.set_result(result)


def end_on_signals(ending: asyncio.Future[Ending]) -> None:
    """SIGTERM drains as a pod must; Ctrl-C drains without going on to admit, twice it does not."""
    loop = asyncio.get_running_loop()
    accept = Ending(accept_seconds=contract.DRAIN_ACCEPT_SECONDS)

    def interrupt() -> None:
        if ending.done():
            os._exit(128 + signal.SIGINT)
        settle(ending, Ending())

    loop.add_signal_handler(signal.SIGTERM, settle, ending, accept)
    loop.add_signal_handler(signal.SIGINT, interrupt)


async def drain(
    rules: DrainRules, accept_seconds: float, slot: ServiceSlot, http: ApiServer
) -> None:
    """End in order; each step is logged by the state that it enters."""
    service = slot.get()
    # 1. Go on admitting: proxies learn late that this endpoint is gone. Answers say close.
    rules.enter(State.ACCEPTING)
    await asyncio.sleep(accept_seconds)
    # 2. Admit no more; whoever is idle on a connection has had time to leave.
    rules.enter(State.REFUSING)
    http.close_idle_connections()
    # 3. Let what was admitted finish.
    await _finish(rules, service)
    # 4. End the rest with a typed error, never with a cut stream.
    message = "The server is shutting down and the time for draining is over; retry"
    slot.close()
    service.fail_all(FailureKind.SHUTTING_DOWN, message)
    await service.until_empty(END_SECONDS)
    service.abandon_all(FailureKind.SHUTTING_DOWN, message)  # an engine that hangs ended none
    await service.until_empty(END_SECONDS)
    rules.enter(State.STOPPED)


async def break_off(slot: ServiceSlot) -> None:
    """End what has come in since the engine gave up and ended the requests that it had."""
    service = slot.get()
    slot.close()
    service.abandon_all(FailureKind.ENGINE_FAULT, "The engine stopped working; retry")
    await service.until_empty(END_SECONDS)


async def _finish(rules: DrainRules, service: GenerationService) -> None:
    """Wait until no request is inside, the time is over, or the engine hangs."""
    finishing = asyncio.create_task(service.until_empty(rules.drain_seconds))
    while not finishing.done() and not rules.is_stalled():
        await asyncio.wait({finishing}, timeout=_LOOK_SECONDS)
    finishing.cancel()
