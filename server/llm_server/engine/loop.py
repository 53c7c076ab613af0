"""The engine thread: takes commands from any thread, steps while there is work, hands events out.

The one place where the engine meets the rest of the process. Nothing is shared but a queue of
commands, the delivered events and a pulse that the probes read.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from llm_server.engine.batch import RunnerLost
from llm_server.engine.core import Clock, EngineCore, StepFailed
from llm_server.engine.events import Event
from llm_server.engine.request import GenerationRequest
from llm_server.engine.stats import EngineGauges, StepStats
from llm_server.errors import FailureKind

MAX_CONSECUTIVE_FAILURES = 3
"""After so many failed steps in a row the device is taken for broken and the engine gives up."""


@dataclass(frozen=True, slots=True)
class EnginePulse:
    """Whether the engine works, and when (on its clock) it last got further."""

    busy: bool
    progressed_at: float

    def silence_seconds(self, now: float) -> float:
        """Return how long the engine has had work and got no further; 0 for an idle one."""
        return now - self.progressed_at if self.busy else 0.0


@dataclass(frozen=True, slots=True)
class EngineSinks:
    """Who is told what; all are called on the engine thread and must not block.

    ``failed`` is told of each step that the runner failed, ``fatal`` at most once what ended the
    engine, after every request has been ended.
    """

    deliver: Callable[[list[Event]], None]
    observe: Callable[[StepStats], None]
    failed: Callable[[Exception], None]
    fatal: Callable[[BaseException], None]


class EngineThread:
    """Owns an ``EngineCore`` from ``start`` to ``stop``."""

    def __init__(self, core: EngineCore, sinks: EngineSinks, clock: Clock) -> None:
        self._core = core
        self._sinks = sinks
        self._clock = clock
        self._commands: deque[Callable[[], list[Event]]] = deque()
        self._num_arriving = 0
        self._wake = threading.Condition()
        self._stopping = False
        self._failures = 0
        self._pulse = EnginePulse(busy=False, progressed_at=clock())
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def pulse(self) -> EnginePulse:
        """The latest sign of life; any thread may read it."""
        return self._pulse

    @property
    def has_ended(self) -> bool:
        """Whether the engine gave up, or was stopped."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def gauges(self) -> EngineGauges:
        """Return the engine's present state; any thread may ask.

        Requests that wait for the engine to take them in wait too: an engine that hangs has a queue
        that grows.
        """
        gauges = self._core.gauges()
        return replace(gauges, num_waiting=gauges.num_waiting + self._num_arriving)

    def start(self) -> None:
        """Begin to step."""
        self._thread.start()

    def submit(self, request: GenerationRequest) -> None:
        """Queue a request; its events go to the sink, the last one is terminal."""
        with self._wake:
            self._num_arriving += 1
        self._send(partial(self._add, request))

    def cancel(self, request_id: str) -> None:
        """End a request before the next step; it frees what it held."""
        self._send(partial(self._core.cancel, request_id))

    def fail_all(self, kind: FailureKind, message: str) -> None:
        """End every request that was submitted so far."""
        self._send(partial(self._core.fail_all, kind, message))

    def lose(self, error: RunnerLost) -> None:
        """Give up after the current step, as if the runner had raised ``error`` in the next."""
        self._send(partial(_raise, error))

    def stop(self, timeout_seconds: float) -> bool:
        """Stop after the current step; return whether the thread ended in time."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _add(self, request: GenerationRequest) -> list[Event]:
        self._core.add(request)
        with self._wake:
            self._num_arriving -= 1
        return []

    def _send(self, command: Callable[[], list[Event]]) -> None:
        with self._wake:
            self._commands.append(command)
            self._wake.notify()

    def _run(self) -> None:
        try:
            while commands := self._next_commands():
                self._turn(commands)
        # The one engine thread: whatever reaches this point ends the process, said aloud.
        except Exception as error:  # noqa: BLE001
            message = "The engine stopped working"
            self._sinks.deliver(self._core.fail_all(FailureKind.ENGINE_FAULT, message))
            self._sinks.fatal(error)

    def _next_commands(self) -> list[Callable[[], list[Event]]]:
        """Wait until there is something to do; an empty list means stop."""
        with self._wake:
            if not self._core.has_work:
                self._pulse = EnginePulse(busy=False, progressed_at=self._clock())
            while not (self._commands or self._core.has_work or self._stopping):
                self._wake.wait()
            if self._stopping:
                return []
            commands = [*self._commands, list]  # `list` does nothing: a turn of stepping alone
            self._commands.clear()
            return commands

    def _turn(self, commands: list[Callable[[], list[Event]]]) -> None:
        if not self._pulse.busy:
            self._pulse = EnginePulse(busy=True, progressed_at=self._clock())
        events = [event for command in commands for event in command()]
        if self._core.has_work:
            events += self._step()
        self._pulse = EnginePulse(busy=True, progressed_at=self._clock())
        if events:
            self._sinks.deliver(events)

    def _step(self) -> list[Event]:
        try:
            result = self._core.step()
        except StepFailed as failure:
            self._failures += 1
            self._sinks.failed(failure.cause)
            if self._failures >= MAX_CONSECUTIVE_FAILURES:
                self._sinks.deliver(failure.events)
                raise failure.cause  # noqa: B904 - its own causes say why; the step's failure adds nothing
            return failure.events
        self._failures = 0
        self._sinks.observe(result.stats)
        return result.events


def _raise(error: RunnerLost) -> list[Event]:
    raise error
