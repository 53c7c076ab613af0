"""The work queue: one worker per key, nothing lost, the earliest deadline counts."""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from llm_operator.queue import (
    BACKOFF_LIMIT_SECONDS,
    EDITS_IN_A_ROW,
    Lane,
    QueueClosed,
    WorkQueue,
)
from tests.models import virtual_time


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def queue_at(clock: Clock) -> WorkQueue[str]:
    """A queue on a clock."""
    return WorkQueue(clock, random.Random(0))


def drain(queue: WorkQueue[str]) -> list[str]:
    """Take and finish all that waits."""
    taken = []
    while (key := queue.take()) is not None:
        taken.append(key)
        queue.done(key)
    return taken


def test_a_key_that_waits_is_held_once() -> None:
    """Many adds of one key are one piece of work."""
    queue = queue_at(Clock())
    for _ in range(3):
        queue.add("a", Lane.EDIT)
        queue.add("a", Lane.RESYNC)
    assert queue.depth == 1
    assert drain(queue) == ["a"]


def test_a_key_in_hand_is_not_handed_out_again_until_it_is_done() -> None:
    """An add during the work leads to one more round, after it and not beside it."""
    queue = queue_at(Clock())
    queue.add("a", Lane.EDIT)
    assert queue.take() == "a"
    queue.add("a", Lane.EDIT)
    assert queue.take() is None
    queue.done("a")
    assert drain(queue) == ["a"]


def test_edits_go_before_resyncs() -> None:
    """What a user changed does not wait behind routine."""
    queue = queue_at(Clock())
    for key in "abc":
        queue.add(key, Lane.RESYNC)
    queue.add("d", Lane.EDIT)
    queue.add("c", Lane.EDIT)
    assert drain(queue) == ["d", "c", "a", "b"]


def test_resyncs_are_not_starved_by_edits() -> None:
    """After a run of edits one resync has its turn."""
    queue = queue_at(Clock())
    queue.add("resync", Lane.RESYNC)
    for n in range(2 * EDITS_IN_A_ROW):
        queue.add(f"edit {n}", Lane.EDIT)
    assert drain(queue).index("resync") == EDITS_IN_A_ROW


def test_the_earliest_of_several_delays_counts() -> None:
    """A later deadline does not push an earlier one back, and both are one round."""
    clock = Clock()
    queue = queue_at(clock)
    queue.add_after("a", 10)
    queue.add_after("a", 5)
    queue.add_after("a", 20)
    clock.now = 4.9
    assert drain(queue) == []
    clock.now = 5
    assert drain(queue) == ["a"]
    clock.now = 100
    assert drain(queue) == []


def test_a_round_ends_the_delay_of_its_key() -> None:
    """Who works on a key plans its next round anew, so an older plan is dropped."""
    clock = Clock()
    queue = queue_at(clock)
    queue.add_after("a", 5)
    queue.add("a", Lane.EDIT)
    assert queue.take() == "a"
    queue.add_after("a", 50)
    queue.done("a")
    clock.now = 10
    assert drain(queue) == []
    clock.now = 50
    assert drain(queue) == ["a"]


def test_back_off_doubles_up_to_its_limit_and_begins_anew_after_success() -> None:
    """The delay of the n-th retry is below 0.2 s times 2 to the n, and never above 5 minutes."""
    queue = queue_at(Clock())
    delays = [queue.retry("a") for _ in range(40)]
    assert all(delay <= min(300.0, 0.2 * 2**n) for n, delay in enumerate(delays))
    assert max(delays) > BACKOFF_LIMIT_SECONDS / 2
    queue.forget("a")
    assert queue.retry("a") <= 0.2


def test_a_retry_waits_at_least_as_long_as_it_is_told() -> None:
    """A Retry-After of the API server is a lower bound, with jitter on top."""
    queue = queue_at(Clock())
    assert all(queue.retry("a", at_least_seconds=7) >= 7 for _ in range(10))


def test_the_oldest_key_in_hand_tells_a_stuck_worker() -> None:
    """How long the longest round has been running can be asked."""
    clock = Clock()
    queue = queue_at(clock)
    assert queue.longest_in_hand_seconds == 0
    queue.add("a", Lane.EDIT)
    queue.take()
    clock.now = 30
    assert queue.longest_in_hand_seconds == 30
    queue.done("a")
    assert queue.longest_in_hand_seconds == 0


def test_waiting_workers_get_what_is_added_and_what_falls_due() -> None:
    """``get`` waits for adds and for deadlines alike, and no key goes to two of them."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        queue = WorkQueue[str](loop.time, random.Random(0))
        taken: list[tuple[float, str]] = []

        async def work() -> None:
            while True:
                key = await queue.get()
                taken.append((loop.time(), key))
                await asyncio.sleep(1)
                queue.done(key)

        workers = [asyncio.create_task(work()) for _ in range(3)]
        queue.add_after("late", 5)
        await asyncio.sleep(2)
        queue.add("now", Lane.EDIT)
        await asyncio.sleep(10)
        assert taken == [(2, "now"), (5, "late")]
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    virtual_time.run(story())


def test_closing_wakes_everybody_who_waits() -> None:
    """A closed queue hands nothing out, not even what waits."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        queue = WorkQueue[str](loop.time, random.Random(0))
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(1)
        queue.close()
        with pytest.raises(QueueClosed):
            await waiting
        queue.add("a", Lane.EDIT)
        with pytest.raises(QueueClosed):
            await queue.get()

    virtual_time.run(story())


class QueueMachine(RuleBasedStateMachine):
    """Any order of calls, against what each key is owed."""

    keys = st.sampled_from(["a", "b", "c", "d"])

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue = queue_at(self.clock)
        self.owed: set[str] = set()
        """Keys with an add that no later hand-out has answered."""
        self.due: dict[str, float] = {}
        self.in_hand: set[str] = set()

    @rule(key=keys, lane=st.sampled_from(Lane))
    def add(self, key: str, lane: Lane) -> None:
        self.queue.add(key, lane)
        self.owed.add(key)

    @rule(key=keys, delay=st.integers(0, 10))
    def add_after(self, key: str, delay: int) -> None:
        self.queue.add_after(key, delay)
        self.due[key] = min(self.due.get(key, float("inf")), self.clock.now + delay)

    @rule(key=keys)
    def retry(self, key: str) -> None:
        delay = self.queue.retry(key)
        self.due[key] = min(self.due.get(key, float("inf")), self.clock.now + delay)

    @rule(seconds=st.integers(1, 5))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule()
    def take(self) -> None:
        fallen_due = {key for key, due in self.due.items() if due <= self.clock.now}
        available = (self.owed | fallen_due) - self.in_hand
        key = self.queue.take()
        self.owed |= fallen_due
        for gone in fallen_due:
            del self.due[gone]
        if key is None:
            assert not available
            return
        assert key in available
        self.owed.discard(key)
        self.due.pop(key, None)
        self.in_hand.add(key)

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data())
    def finish(self, data: Any) -> None:
        key = data.draw(st.sampled_from(sorted(self.in_hand)))
        self.queue.done(key)
        self.in_hand.discard(key)

    @invariant()
    def depth_is_what_is_owed(self) -> None:
        assert self.queue.depth == len(self.owed)

    def teardown(self) -> None:
        """Every key that is owed comes, once, when all work is finished."""
        for key in self.in_hand:
            self.queue.done(key)
        owed = self.owed | {key for key, due in self.due.items() if due <= self.clock.now}
        taken = drain(self.queue)
        assert sorted(taken) == sorted(owed)


def test_nothing_is_lost_and_nothing_runs_twice() -> None:
    """Whatever the order of calls: what is owed is handed out, and never beside itself."""
    run_state_machine_as_test(
        QueueMachine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )
