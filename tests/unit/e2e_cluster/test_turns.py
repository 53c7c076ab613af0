"""How processes of one test run share the cluster, and keep another run out."""

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e import turns

SIDE_BY_SIDE = Path("e2e/test_serving.py")
ALONE = Path("e2e/test_operator_dies.py")
SOON = 0.3


@pytest.fixture(autouse=True)
def _own_locks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLM_OPERATOR_CACHE", str(tmp_path))


def has_turn(test_file: Path, leave: threading.Event) -> threading.Event:
    """Let somebody else take a turn until ``leave``; return what tells that they have it."""
    had = threading.Event()

    def take() -> None:
        with turns.turn(test_file):
            had.set()
            leave.wait()

    threading.Thread(target=take, daemon=True).start()
    return had


def test_ordinary_files_have_their_turns_together_and_one_alone_waits() -> None:
    """A file that wants the cluster for itself waits for the others, and they wait for it."""
    assert ALONE.name in turns.ALONE
    leave, leave_alone = threading.Event(), threading.Event()
    with turns.turn(SIDE_BY_SIDE):
        assert has_turn(SIDE_BY_SIDE, leave).wait(5)
        alone = has_turn(ALONE, leave_alone)
        assert not alone.wait(SOON)
        leave.set()
        assert not alone.wait(SOON)
    assert alone.wait(5)

    late = threading.Event()
    other = has_turn(SIDE_BY_SIDE, late)
    assert not other.wait(SOON)
    leave_alone.set()
    assert other.wait(5)
    late.set()


def test_files_that_want_the_cluster_alone_come_last() -> None:
    """And the one that looks back at the operator's requests is the last of them."""
    busy, last = Path("e2e/test_rollouts_good.py"), Path("e2e/test_verbs_used.py")

    ordered = sorted([last, SIDE_BY_SIDE, ALONE, busy], key=turns.place)

    assert ordered == [busy, SIDE_BY_SIDE, ALONE, last]


def test_files_that_must_not_meet_are_taken_by_one_process() -> None:
    """Two busy files never run beside each other; others are taken one by one."""
    busy = {turns.group(Path("e2e", name)) for name in turns.BUSY}

    assert len(busy) == 1
    assert turns.group(SIDE_BY_SIDE) == str(SIDE_BY_SIDE)
    assert all(Path("e2e", name).exists() for name in (*turns.BUSY, *turns.ALONE))


def test_only_the_last_process_of_a_run_is_told_that_it_is_the_last() -> None:
    """So the cluster stays for as long as anybody has it."""
    with turns.joined("c", "run") as first_is_last:
        with turns.joined("c", "run") as second_is_last:
            assert not second_is_last()
        assert first_is_last()


def test_another_run_waits_for_the_end_of_the_first() -> None:
    """Two runs on one cluster would count each other's requests."""
    had, leave = threading.Event(), threading.Event()

    def other_run() -> None:
        with turns.joined("c", "other"):
            had.set()
            leave.wait()

    with ExitStack() as stack:
        stack.enter_context(turns.joined("c", "run"))
        threading.Thread(target=other_run, daemon=True).start()
        assert not had.wait(SOON)
    assert had.wait(5)
    leave.set()
