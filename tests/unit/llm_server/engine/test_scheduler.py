import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from llm_server.engine.batch import Batch
from llm_server.engine.request import Sequence
from llm_server.engine.scheduler import Scheduler, SchedulerLimits, WaitingFull
from tests.server_builders import a_request, limits


def a_sequence(request_id: str, prompt_tokens: int = 4, max_tokens: int = 8) -> Sequence:
    """Return a waiting sequence."""
    return Sequence(a_request(request_id, prompt=[1] * prompt_tokens, max_tokens=max_tokens))


def sample_all(scheduler: Scheduler, batch: Batch) -> None:
    """Give every row with a draw the token 7."""
    for row in batch.rows:
        if row.draw is not None:
            scheduler.append(row.request_id, 7)


def test_sequences_start_in_the_order_of_arrival() -> None:
    """First come, first served: no later sequence starts before an earlier one."""
    scheduler = Scheduler(limits(batch=2))
    for name in ("a", "b", "c"):
        scheduler.add(a_sequence(name))

    first = scheduler.schedule(0.0)

    assert [row.request_id for row in first.rows] == ["a", "b"]


def test_a_large_head_is_not_overtaken_by_a_small_one() -> None:
    """A sequence that does not fit yet keeps its place: small ones behind it wait too."""
    scheduler = Scheduler(limits(kv_tokens=20, batch=4))
    scheduler.add(a_sequence("a", 10))
    scheduler.schedule(0.0)
    scheduler.add(a_sequence("large", 12))
    scheduler.add(a_sequence("small", 1))

    batch = scheduler.schedule(0.0)

    assert "small" not in [row.request_id for row in batch.rows]


def test_a_long_prompt_is_computed_in_chunks_beside_decodes() -> None:
    """No step computes more prompt tokens than its bound, and decodes go on in each."""
    scheduler = Scheduler(limits(prefill=16))
    scheduler.add(a_sequence("decoding", 2))
    sample_all(scheduler, scheduler.schedule(0.0))
    scheduler.add(a_sequence("long", 40))

    sizes = []
    for _ in range(3):
        batch = scheduler.schedule(0.0)
        rows = {row.request_id: len(row.token_ids) for row in batch.rows}
        sizes.append((rows["decoding"], rows["long"]))
        sample_all(scheduler, batch)

    assert sizes == [(1, 16), (1, 16), (1, 8)]


def test_the_youngest_gives_way_when_the_cache_is_full() -> None:
    """A decode without room preempts the youngest sequence, which waits again at the head."""
    scheduler = Scheduler(limits(kv_tokens=12))
    scheduler.add(a_sequence("old", 4))
    scheduler.add(a_sequence("young", 4))
    preempted: tuple[str, ...] = ()
    while not preempted:
        batch = scheduler.schedule(0.0)
        preempted = batch.preempted
        sample_all(scheduler, batch)

    assert preempted == ("young",)
    assert (scheduler.num_running, scheduler.num_waiting) == (1, 1)


def test_a_preempted_sequence_computes_prompt_and_output_again() -> None:
    """What was sampled before a preemption is kept and computed as part of the prompt."""
    scheduler = Scheduler(limits(kv_tokens=12))
    scheduler.add(a_sequence("old", 4))
    scheduler.add(a_sequence("young", 4))
    while not (batch := scheduler.schedule(0.0)).preempted:
        sample_all(scheduler, batch)
    sample_all(scheduler, batch)
    scheduler.remove("old")

    again = scheduler.schedule(0.0).rows[0]

    assert again.start == 0
    assert again.token_ids[:4] == (1, 1, 1, 1)
    assert set(again.token_ids[4:]) == {7}


def test_a_full_queue_refuses() -> None:
    """The queue never holds more than its bound."""
    scheduler = Scheduler(limits(waiting=1))
    scheduler.add(a_sequence("a"))

    with pytest.raises(WaitingFull):
        scheduler.add(a_sequence("b"))


class SchedulerMachine(RuleBasedStateMachine):
    """Random arrivals, steps and departures against the scheduler's invariants."""

    CAPACITY = 40

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(SchedulerLimits(3, 6, self.CAPACITY, 8))
        self.inside: dict[str, Sequence] = {}
        self.computed: dict[str, int] = {}
        self.count = 0

    @rule(prompt=st.integers(1, 20), answer=st.integers(1, 20))
    def arrive(self, prompt: int, answer: int) -> None:
        self.count += 1
        sequence = a_sequence(f"r{self.count}", prompt, answer)
        try:
            self.scheduler.add(sequence)
        except WaitingFull:
            assert self.scheduler.num_waiting >= 6
        else:
            self.inside[sequence.request_id] = sequence

    @rule(data=st.data())
    def depart(self, data: st.DataObject) -> None:
        if self.inside:
            request_id = data.draw(st.sampled_from(sorted(self.inside)))
            assert self.scheduler.remove(request_id) is self.inside.pop(request_id)
            self.computed.pop(request_id, None)

    @rule()
    def step(self) -> None:
        had_work = self.scheduler.has_work
        batch = self.scheduler.schedule(0.0)
        assert bool(batch.rows) == had_work
        for request_id in batch.preempted:
            self.computed[request_id] = 0
        for row in batch.rows:
            assert row.start == self.computed.get(row.request_id, 0)
            self.computed[row.request_id] = row.start + len(row.token_ids)
            if row.draw is not None:
                self.sample(row.request_id, row.draw.position)
        ids = [row.request_id for row in batch.rows]
        assert len(set(ids)) == len(ids)

    def sample(self, request_id: str, position: int) -> None:
        sequence = self.scheduler.append(request_id, 9)
        assert position == len(sequence.output_token_ids) - 1
        if len(sequence.output_token_ids) == sequence.request.max_tokens:
            self.scheduler.remove(request_id)
            del self.inside[request_id]
            self.computed.pop(request_id, None)

    @invariant()
    def holds(self) -> None:
        self.scheduler.check_integrity()
        assert set(self.inside) == {s.request_id for s in self.scheduler.sequences()}

    def teardown(self) -> None:
        """Whatever happened, everything left finishes within a bounded number of steps."""
        for _ in range(2000):
            if not self.scheduler.has_work:
                break
            self.step()
            self.scheduler.check_integrity()
        assert not self.scheduler.has_work
        assert self.scheduler.kv_usage == 0


SchedulerMachine.TestCase.settings = settings(max_examples=150, deadline=None)
TestSchedulerMachine = SchedulerMachine.TestCase
