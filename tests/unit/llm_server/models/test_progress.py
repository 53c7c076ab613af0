from hypothesis import given
from hypothesis import strategies as st

from llm_server.contract import StartupPhase
from llm_server.models.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_seconds_count_from_the_start_and_from_the_phase() -> None:
    """A snapshot says how long the start and its phase have lasted."""
    clock = Clock()
    progress = Progress(clock)
    clock.now = 103.0
    progress.enter(StartupPhase.LOADING)
    clock.now = 105.0
    snapshot = progress.snapshot()
    assert (snapshot.seconds, snapshot.phase_seconds) == (5.0, 2.0)


def test_a_new_phase_counts_its_own_bytes() -> None:
    """Bytes of one phase are not shown in the next; entering the same phase changes nothing."""
    progress = Progress()
    progress.enter(StartupPhase.DOWNLOADING)
    progress.expect(10)
    progress.advance(4)
    progress.enter(StartupPhase.DOWNLOADING)
    assert progress.snapshot().bytes_done == 4
    progress.enter(StartupPhase.LOADING)
    assert (progress.snapshot().bytes_done, progress.snapshot().bytes_total) == (0, None)


@given(st.lists(st.integers(-1000, 1000)), st.integers(0, 1000))
def test_done_never_leaves_the_range_of_the_total(steps: list[int], total: int) -> None:
    """However transfers start again, a reader sees between nothing and everything."""
    progress = Progress()
    progress.expect(total)
    for step in steps:
        progress.advance(step)
        assert 0 <= progress.snapshot().bytes_done <= total


def test_a_new_attempt_starts_from_nothing() -> None:
    """Saying what to expect again forgets the bytes of the attempt that failed."""
    progress = Progress()
    progress.expect(10)
    progress.advance(7)
    progress.expect(10)
    assert progress.snapshot().bytes_done == 0
