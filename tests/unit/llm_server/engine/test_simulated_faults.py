import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_server.engine.batch import RunnerLost
from llm_server.engine.core import StepFailed
from llm_server.engine.events import Failed, Finished
from llm_server.engine.simulated_faults import FaultyRunner, SimulatedFaults
from llm_server.errors import FailureKind
from tests.server_builders import (
    a_core,
    a_request,
    a_simulated_runner,
    endings_of,
    limits,
    run_to_end,
    tokens_of,
)


class Hung(Exception):
    """What a step that never ends does here instead."""


def hang() -> None:
    """Stand for a step that never ends."""
    raise Hung


def a_faulty_runner(**faults: int) -> FaultyRunner:
    """Return the simulated runner with faults."""
    return FaultyRunner(a_simulated_runner(), SimulatedFaults(**faults), hang)


@given(percent=st.integers(0, 100), first=st.integers(0, 10_000))
def test_the_share_of_failing_requests_is_exact(percent: int, first: int) -> None:
    """Of any hundred requests in a row exactly the asked percentage fails."""
    faults = SimulatedFaults(error_percent=percent)

    assert sum(faults.fails(number) for number in range(first, first + 100)) == percent


@given(percent=st.integers(1, 50), number=st.integers(0, 10_000))
def test_failing_requests_are_spread(percent: int, number: int) -> None:
    """Up to one half, no two requests in a row fail."""
    faults = SimulatedFaults(error_percent=percent)

    assert not (faults.fails(number) and faults.fails(number + 1))


@pytest.mark.parametrize("after_tokens", [0, 3])
def test_a_failing_request_ends_with_a_retryable_error_after_its_tokens(after_tokens: int) -> None:
    """Each second request fails where it was told to, and the others are answered whole."""
    core = a_core(a_faulty_runner(error_percent=50, error_after_tokens=after_tokens))
    for number in range(4):
        core.add(a_request(f"r{number}", max_tokens=6))

    events = run_to_end(core)

    for name in ("r1", "r3"):
        [end] = endings_of(events, name)
        assert isinstance(end, Failed)
        assert end.kind is FailureKind.ENGINE_FAULT
        assert end.kind.retryable
        assert len(tokens_of(events, name)) == after_tokens
    for name in ("r0", "r2"):
        assert isinstance(endings_of(events, name)[0], Finished)
        assert len(tokens_of(events, name)) == 6


def test_an_answer_shorter_than_the_fault_ends_well() -> None:
    """A request that is done before its fault is due does not fail."""
    core = a_core(a_faulty_runner(error_percent=100, error_after_tokens=5))
    core.add(a_request("a", max_tokens=5))

    [end] = endings_of(run_to_end(core), "a")

    assert isinstance(end, Finished)


def test_preemption_does_not_count_a_request_twice() -> None:
    """With a cache too small for all, still exactly every second request fails."""
    core = a_core(a_faulty_runner(error_percent=50), limits(batch=8, kv_tokens=30))
    for number in range(8):
        core.add(a_request(f"r{number}", max_tokens=12))

    events = run_to_end(core)

    failed = [n for n in range(8) if isinstance(endings_of(events, f"r{n}")[0], Failed)]
    assert len(failed) == 4


def test_the_device_is_lost_at_the_request_after_so_many() -> None:
    """Two requests are answered; the third one ends the runner."""
    core = a_core(a_faulty_runner(crash_after_requests=2))
    for name in ("a", "b"):
        core.add(a_request(name))
    events = run_to_end(core)
    assert all(isinstance(endings_of(events, name)[0], Finished) for name in ("a", "b"))

    core.add(a_request("c"))

    with pytest.raises(RunnerLost, match="--simulated-crash-after-requests"):
        core.step()


def test_no_step_ends_from_the_request_after_so_many() -> None:
    """One request is answered; the step of the second one hangs."""
    core = a_core(a_faulty_runner(hang_after_requests=1))
    core.add(a_request("a"))
    assert isinstance(endings_of(run_to_end(core), "a")[0], Finished)

    core.add(a_request("b"))

    with pytest.raises(StepFailed) as hung:
        core.step()
    assert isinstance(hung.value.__cause__, Hung)
