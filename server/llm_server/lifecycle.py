"""The life of a server: loading, ready, draining, stopped, or failed; one place that knows.

    Loading ──▶ Ready ──▶ Accepting (SIGTERM: closing, still admitting) ──▶ Refusing ──▶ Stopped
       │          │
       └──────────┴─────▶ Failed

Written by the process (``process``), read by every request and by the probe thread: a state is
one attribute that is replaced whole.
"""

from enum import StrEnum

from llm_server.contract import StartupPhase
from llm_server.errors import Unavailable
from llm_server.models.progress import Progress, ProgressSnapshot


class State(StrEnum):
    """Where in its life the server is."""

    LOADING = "loading"
    READY = "ready"
    ACCEPTING = "draining, still accepting"
    REFUSING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


_NEXT: dict[State, frozenset[State]] = {
    State.LOADING: frozenset({State.READY, State.STOPPED, State.FAILED}),
    State.READY: frozenset({State.ACCEPTING, State.REFUSING, State.FAILED}),
    State.ACCEPTING: frozenset({State.REFUSING, State.FAILED}),
    State.REFUSING: frozenset({State.STOPPED, State.FAILED}),
    State.STOPPED: frozenset(),
    State.FAILED: frozenset(),
}

_PHASES = {
    State.READY: StartupPhase.READY,
    State.ACCEPTING: StartupPhase.DRAINING,
    State.REFUSING: StartupPhase.DRAINING,
    State.FAILED: StartupPhase.FAILED,
}


class Lifecycle:
    """The present state; ``progress`` tells how far a load has come."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._state = State.LOADING
        self._started_once = False

    @property
    def state(self) -> State:
        """The present state."""
        return self._state

    @property
    def is_ready(self) -> bool:
        """Whether new traffic should be sent here."""
        return self._state is State.READY

    @property
    def has_started(self) -> bool:
        """Whether the model has been ready once."""
        return self._started_once

    @property
    def is_closing(self) -> bool:
        """Whether each answer should ask the client to leave this connection."""
        return self._state not in (State.LOADING, State.READY)

    def enter(self, state: State) -> None:
        """Go to ``state``. Raises ValueError for a transition that the diagram does not have."""
        if state not in _NEXT[self._state]:
            raise ValueError(f"a server that is {self._state} cannot become {state}")
        self._state = state
        self._started_once = self._started_once or state is State.READY
        if state in _PHASES:
            self.progress.enter(_PHASES[state])

    def snapshot(self) -> ProgressSnapshot:
        """Return phase, bytes and seconds of the start."""
        return self.progress.snapshot()

    def check_admitting(self) -> None:
        """Raise ``Unavailable`` unless new requests are admitted now."""
        if self._state in (State.READY, State.ACCEPTING):
            return
        if self._state is State.LOADING:
            phase = self.progress.snapshot().phase
            raise Unavailable(
                f"The model is not ready yet (phase {phase})",
                code="model_loading",
                retry_after_seconds=2,
            )
        raise Unavailable(
            f"The server admits no new requests ({self._state})",
            code="server_shutting_down",
            retry_after_seconds=1,
        )
