import pytest

from llm_server.contract import StartupPhase
from llm_server.errors import Unavailable
from llm_server.lifecycle import Lifecycle, State
from llm_server.models.progress import Progress


def a_lifecycle(*states: State) -> Lifecycle:
    """Return a life that went through these states."""
    lifecycle = Lifecycle(Progress())
    for state in states:
        lifecycle.enter(state)
    return lifecycle


@pytest.mark.parametrize("states", [(State.READY,), (State.READY, State.ACCEPTING)])
def test_a_server_admits_when_ready_and_right_after_sigterm(states: tuple[State, ...]) -> None:
    """Proxies learn late: the first seconds of a drain still admit."""
    a_lifecycle(*states).check_admitting()


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((), "model_loading"),
        ((State.READY, State.REFUSING), "server_shutting_down"),
        ((State.READY, State.FAILED), "server_shutting_down"),
    ],
)
def test_otherwise_it_says_when_to_come_back(states: tuple[State, ...], code: str) -> None:
    """While loading and at the end requests are refused with a reason and a time."""
    with pytest.raises(Unavailable) as refusal:
        a_lifecycle(*states).check_admitting()

    assert refusal.value.code == code
    assert refusal.value.retry_after_seconds > 0


def test_readiness_ends_at_once_with_a_drain() -> None:
    """The first state after SIGTERM is not ready, though it admits; it closes connections."""
    draining = a_lifecycle(State.READY, State.ACCEPTING)

    assert not draining.is_ready
    assert draining.is_closing
    assert draining.has_started
    assert draining.snapshot().phase is StartupPhase.DRAINING


def test_no_way_leads_back() -> None:
    """A draining server never becomes ready again."""
    with pytest.raises(ValueError, match="cannot become ready"):
        a_lifecycle(State.READY, State.ACCEPTING).enter(State.READY)
