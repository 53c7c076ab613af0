from hypothesis import given, settings
from hypothesis import strategies as st

from llm_server.engine.batch import Batch, RowOutcome
from llm_server.engine.core import EngineCore, StepFailed
from llm_server.engine.events import Cancelled, Delta, Event, Failed, Finished
from llm_server.engine.request import FinishReason
from llm_server.errors import FailureKind
from llm_server.models.simulated_tokenizer import SimulatedTokenizer
from tests.server_builders import (
    Clock,
    FailingRunner,
    a_core,
    a_request,
    a_simulated_runner,
    endings_of,
    limits,
    run_to_end,
    text_of,
    tokens_of,
)


def test_an_answer_ends_at_its_token_bound() -> None:
    """After max_tokens tokens the request finishes with reason length."""
    core = a_core()
    core.add(a_request(max_tokens=5))

    events = run_to_end(core)

    assert len(tokens_of(events, "a")) == 5
    [end] = endings_of(events, "a")
    assert isinstance(end, Finished)
    assert end.reason is FinishReason.LENGTH
    assert end.usage.completion_tokens == 5


def test_an_answer_ends_at_the_end_of_sequence_token() -> None:
    """The end-of-sequence token finishes with reason stop and shows no text."""
    core = a_core(a_simulated_runner(answer_tokens=3))
    core.add(a_request(max_tokens=50))

    events = run_to_end(core)

    [end] = endings_of(events, "a")
    assert isinstance(end, Finished)
    assert end.reason is FinishReason.STOP
    assert end.usage.completion_tokens == 3
    assert text_of(events, "a") == SimulatedTokenizer().decode(tokens_of(events, "a"))


def test_an_answer_ends_before_a_stop_string() -> None:
    """A stop string inside the answer ends it; the text before it is all that is shown."""
    core = a_core()
    core.add(a_request("free", max_tokens=12))
    text = text_of(run_to_end(core), "free")
    stop = text[10:16]

    core.add(a_request("stopped", max_tokens=12, stop=(stop,)))
    events = run_to_end(core)

    assert text_of(events, "stopped") == text[: text.index(stop)]
    [end] = endings_of(events, "stopped")
    assert isinstance(end, Finished)
    assert end.reason is FinishReason.STOP


def test_batch_mates_and_preemption_change_no_token() -> None:
    """Tokens are the same alone, in company, and when the cache forces sequences to start over."""
    alone = {}
    for number in range(6):
        core = a_core()
        core.add(a_request(f"r{number}", prompt=[number + 1] * 9, max_tokens=15))
        alone[f"r{number}"] = tokens_of(run_to_end(core), f"r{number}")

    crowded = a_core(bounds=limits(batch=4, kv_tokens=30, prefill=4))
    for number in range(6):
        crowded.add(a_request(f"r{number}", prompt=[number + 1] * 9, max_tokens=15))
    events = run_to_end(crowded)

    assert {name: tokens_of(events, name) for name in alone} == alone


def test_a_seed_decides_the_draw() -> None:
    """Above temperature 0 the seed chooses: the same one repeats, another one differs."""
    answers = []
    for seed in (1, 1, 2):
        core = a_core()
        core.add(a_request(temperature=1.0, seed=seed, max_tokens=20))
        answers.append(tokens_of(run_to_end(core), "a"))

    assert answers[0] == answers[1] != answers[2]


def test_cancel_frees_the_place_and_the_cache() -> None:
    """A cancelled request ends at once, and the next one takes its place."""
    core = a_core(bounds=limits(batch=1))
    core.add(a_request("a", max_tokens=500))
    core.add(a_request("b", max_tokens=2))
    core.step()

    [end] = core.cancel("a")

    assert isinstance(end, Cancelled)
    assert core.gauges().kv_usage == 0
    assert isinstance(endings_of(run_to_end(core), "b")[0], Finished)
    assert core.cancel("a") == []


def test_a_request_past_its_deadline_fails_running_or_waiting() -> None:
    """At the deadline a request ends with deadline_exceeded wherever it is."""
    clock = Clock()
    core = a_core(bounds=limits(batch=1), clock=clock)
    core.add(a_request("running", max_tokens=500, deadline=10))
    core.add(a_request("waiting", deadline=10))
    core.step()
    clock.now = 10

    events = core.step().events

    ends = [*endings_of(events, "running"), *endings_of(events, "waiting")]
    assert [end.kind for end in ends if isinstance(end, Failed)] == [
        FailureKind.DEADLINE_EXCEEDED
    ] * 2
    assert not core.has_work


def test_a_failed_step_ends_its_requests_and_no_other() -> None:
    """When the runner raises, the requests of that batch fail retryably; the queue goes on."""
    core = a_core(FailingRunner(frozenset({2})), limits(batch=1))
    core.add(a_request("unlucky", max_tokens=5))
    core.add(a_request("next", max_tokens=5))
    core.step()

    events: list[Event] = []
    try:
        core.step()
    except StepFailed as failure:
        events += failure.events
    events += run_to_end(core)

    [failed] = endings_of(events, "unlucky")
    assert isinstance(failed, Failed)
    assert failed.kind is FailureKind.ENGINE_FAULT
    assert failed.kind.retryable
    assert isinstance(endings_of(events, "next")[0], Finished)


class ForgetfulRunner(FailingRunner):
    """Computes and returns nothing."""

    def execute(self, batch: Batch) -> list[RowOutcome]:
        """Forget every outcome."""
        super().execute(batch)
        return []


def test_a_row_without_an_outcome_is_a_failure() -> None:
    """A runner that loses a row fails the request; it does not leave it waiting for ever."""
    core = a_core(ForgetfulRunner(frozenset()))
    core.add(a_request())

    assert [isinstance(event, Failed) for event in step(core)] == [True]


def step(core: EngineCore) -> list[Event]:
    """Step, taking the events of a failed step for those of a good one."""
    try:
        return core.step().events
    except StepFailed as failure:
        return failure.events


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_request_ends_exactly_once(data: st.DataObject) -> None:
    """Whatever is added, cancelled, expired or broken: one terminal event each, and it is last."""
    clock = Clock()
    broken = data.draw(st.frozensets(st.integers(1, 12), max_size=3))
    core = a_core(FailingRunner(broken), limits(batch=3, kv_tokens=60, prefill=8), clock)
    events: list[Event] = []
    added = 0
    for _ in range(data.draw(st.integers(1, 25))):
        action = data.draw(st.sampled_from(["add", "add", "cancel", "step", "wait"]))
        if action == "add":
            prompt = [1] * data.draw(st.integers(1, 20))
            tokens = data.draw(st.integers(1, 20))
            deadline = data.draw(st.sampled_from([3.0, 1e9]))
            core.add(a_request(f"r{added}", prompt=prompt, max_tokens=tokens, deadline=deadline))
            added += 1
        elif action == "cancel":
            events += core.cancel(f"r{data.draw(st.integers(0, 9))}")
        elif action == "wait":
            clock.now += 1
        else:
            events += step(core)
        core.check_integrity()
    while core.has_work:
        events += step(core)

    for number in range(added):
        own = [event for event in events if event.request_id == f"r{number}"]
        assert [isinstance(event, Delta) for event in own].count(False) == 1
        assert not isinstance(own[-1], Delta)
