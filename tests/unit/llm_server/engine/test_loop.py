import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from llm_server.contract import StartupFailure
from llm_server.engine.batch import ModelRunner, RunnerLost
from llm_server.engine.events import Cancelled, Delta, Event, Failed, Finished
from llm_server.engine.loop import MAX_CONSECUTIVE_FAILURES, EngineSinks, EngineThread
from llm_server.engine.simulated_faults import FaultyRunner, SimulatedFaults
from llm_server.engine.stats import StepStats
from llm_server.errors import FailureKind
from llm_server.models.failures import classify_break
from tests.server_builders import (
    Clock,
    FailingRunner,
    a_core,
    a_request,
    a_simulated_runner,
    endings_of,
    limits,
)

ALWAYS = frozenset(range(1, 1000))


@dataclass
class Heard:
    """What the engine thread told, and a way to wait for it."""

    events: list[Event] = field(default_factory=list)
    stats: list[StepStats] = field(default_factory=list)
    failed: list[Exception] = field(default_factory=list)
    fatal: list[BaseException] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def deliver(self, events: list[Event]) -> None:
        """Take events."""
        with self.changed:
            self.events += events
            self.changed.notify_all()

    def give_up(self, error: BaseException) -> None:
        """Take the end of the engine."""
        with self.changed:
            self.fatal.append(error)
            self.changed.notify_all()

    def wait_for_end_of(self, request_id: str) -> Event:
        """Wait for the terminal event of a request."""
        with self.changed:
            assert self.changed.wait_for(lambda: endings_of(self.events, request_id), timeout=30)
        [end] = endings_of(self.events, request_id)
        return end


@dataclass
class Engine:
    """A running engine thread and what it told."""

    thread: EngineThread
    heard: Heard


@pytest.fixture
def engines() -> Iterator[list[Engine]]:
    """Collect engines and stop them at the end."""
    started: list[Engine] = []
    yield started
    for engine in started:
        assert engine.thread.stop(timeout_seconds=30)


def start(engines: list[Engine], runner: ModelRunner) -> Engine:
    """Start an engine over this runner."""
    heard, clock = Heard(), Clock()
    core = a_core(runner, limits(), clock)
    sinks = EngineSinks(heard.deliver, heard.stats.append, heard.failed.append, heard.give_up)
    engine = Engine(EngineThread(core, sinks, clock), heard)
    engine.thread.start()
    engines.append(engine)
    return engine


def test_a_submitted_request_is_answered(engines: list[Engine]) -> None:
    """Deltas first, then one terminal event, and a figure for every step."""
    engine = start(engines, a_simulated_runner())

    engine.thread.submit(a_request("a", max_tokens=4))

    assert isinstance(engine.heard.wait_for_end_of("a"), Finished)
    assert [isinstance(event, Delta) for event in engine.heard.events] == [True] * 4 + [False]
    assert sum(stats.generation_tokens for stats in engine.heard.stats) == 4


def test_a_cancelled_request_ends(engines: list[Engine]) -> None:
    """Cancel from another thread ends a long request, which would run for hours."""
    engine = start(engines, a_simulated_runner())
    engine.thread.submit(a_request("a", max_tokens=10**9))

    engine.thread.cancel("a")

    assert isinstance(engine.heard.wait_for_end_of("a"), Cancelled)


def test_every_request_can_be_ended_at_once(engines: list[Engine]) -> None:
    """The last act of a drain: whatever is left fails with the reason that is given."""
    engine = start(engines, a_simulated_runner())
    for name in ("a", "b"):
        engine.thread.submit(a_request(name, max_tokens=10**9))

    engine.thread.fail_all(FailureKind.SHUTTING_DOWN, "over")

    for name in ("a", "b"):
        end = engine.heard.wait_for_end_of(name)
        assert isinstance(end, Failed)
        assert end.kind is FailureKind.SHUTTING_DOWN


def test_one_failed_step_does_not_stop_the_engine(engines: list[Engine]) -> None:
    """The requests of the failed step end; the next request is answered."""
    engine = start(engines, FailingRunner(frozenset({1})))
    engine.thread.submit(a_request("unlucky"))
    assert isinstance(engine.heard.wait_for_end_of("unlucky"), Failed)

    engine.thread.submit(a_request("next"))

    assert isinstance(engine.heard.wait_for_end_of("next"), Finished)
    assert engine.heard.fatal == []


def test_an_engine_that_fails_again_and_again_gives_up(engines: list[Engine]) -> None:
    """After several failed steps in a row every request has ended and the process is told why."""
    engine = start(engines, FailingRunner(ALWAYS))
    for number in range(MAX_CONSECUTIVE_FAILURES):
        engine.thread.submit(a_request(f"r{number}"))
        assert isinstance(engine.heard.wait_for_end_of(f"r{number}"), Failed)

    with engine.heard.changed:
        assert engine.heard.changed.wait_for(lambda: engine.heard.fatal, timeout=30)
    assert [str(error) for error in engine.heard.fatal] == ["device lost"]
    assert [str(error) for error in engine.heard.failed] == ["device lost"] * 3


def test_what_an_error_was_raised_from_is_told_with_it(engines: list[Engine]) -> None:
    """A library may wrap what it ran out of memory by."""
    wrapped = RuntimeError("step failed")
    wrapped.__cause__ = MemoryError()
    engine = start(engines, FailingRunner(ALWAYS, error=wrapped))
    for number in range(MAX_CONSECUTIVE_FAILURES):
        engine.thread.submit(a_request(f"r{number}"))
        engine.heard.wait_for_end_of(f"r{number}")

    with engine.heard.changed:
        assert engine.heard.changed.wait_for(lambda: engine.heard.fatal, timeout=30)
    assert classify_break(engine.heard.fatal[0]).reason is StartupFailure.OUT_OF_MEMORY


def test_a_lost_device_ends_every_request_and_the_engine_at_once(engines: list[Engine]) -> None:
    """RunnerLost is not tried again: all requests end with a retryable error, and it is told."""
    faults = SimulatedFaults(crash_after_requests=1)
    engine = start(engines, FaultyRunner(a_simulated_runner(), faults))
    engine.thread.submit(a_request("long", max_tokens=10**9))
    engine.thread.submit(a_request("last"))

    for name in ("long", "last"):
        end = engine.heard.wait_for_end_of(name)
        assert isinstance(end, Failed)
        assert end.kind is FailureKind.ENGINE_FAULT
    with engine.heard.changed:
        assert engine.heard.changed.wait_for(lambda: engine.heard.fatal, timeout=30)
    assert isinstance(engine.heard.fatal[0], RunnerLost)


def test_an_idle_engine_can_be_lost(engines: list[Engine]) -> None:
    """A device may go while nothing is computed; the process is told."""
    engine = start(engines, a_simulated_runner())

    engine.thread.lose(RunnerLost("gone"))

    with engine.heard.changed:
        assert engine.heard.changed.wait_for(lambda: engine.heard.fatal, timeout=30)


def test_requests_wait_in_the_gauges_while_a_step_hangs(engines: list[Engine]) -> None:
    """What a hanging engine has not taken in is in its queue for everyone who looks."""
    hanging, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        go_on.wait(30)

    faults = SimulatedFaults(hang_after_requests=0)
    engine = start(engines, FaultyRunner(a_simulated_runner(), faults, hang))
    engine.thread.submit(a_request("a"))
    assert hanging.wait(30)

    engine.thread.submit(a_request("b"))
    engine.thread.submit(a_request("c"))

    gauges = engine.thread.gauges()
    assert (gauges.num_running, gauges.num_waiting) == (1, 2)
    assert engine.thread.pulse.busy
    go_on.set()
    for name in ("a", "b", "c"):
        assert isinstance(engine.heard.wait_for_end_of(name), Finished)
    assert engine.thread.gauges().num_waiting == 0


def test_the_pulse_tells_idle_from_busy(engines: list[Engine]) -> None:
    """With nothing to do the engine is idle; an idle engine is never taken for a stuck one."""
    engine = start(engines, a_simulated_runner())
    engine.thread.submit(a_request("a", max_tokens=3))
    engine.heard.wait_for_end_of("a")
    engine.thread.cancel("nothing")

    for _ in range(3000):
        if not engine.thread.pulse.busy:
            break
        threading.Event().wait(0.01)
    assert not engine.thread.pulse.busy
