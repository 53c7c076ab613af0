"""What holds for every story of pods that come, go, restart and do not answer."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from llm_operator.judgement.counters import Counters
from llm_operator.judgement.difference import settle
from llm_operator.judgement.evidence import PodSample
from llm_operator.rollout.state import Judgement, VerdictOutcome
from tests.judgement_builders import (
    CANARY,
    CASE,
    LIMITS,
    SHAPE,
    STABLE,
    START,
    Pod,
    Story,
    canary,
    counted,
    stable,
)

REVISIONS: Final = st.sampled_from([CANARY, STABLE])
FEW: Final = st.integers(0, 40)


@dataclass(slots=True)
class RealPod:
    """A pod as it really is, whatever anyone sees of it."""

    name: str
    revision: str
    boot: int
    ready_at: float
    counters: Counters = field(default_factory=counted)
    answers: bool = True

    def seen(self, second: float) -> Pod:
        """Return what a round finds."""
        return Pod(
            self.name,
            self.revision,
            self.counters,
            boot=f"{self.boot:08x}",
            ready_seconds=second - self.ready_at,
            cause="" if self.answers else "no connection",
        )


class Pods(RuleBasedStateMachine):
    """Pods serve, restart, come, go and hide, and the operator restarts, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.story = Story()
        self.pods: list[RealPod] = []
        self.boots = 0
        self.second = 0.0
        self.truth = {CANARY: counted(), STABLE: counted()}

    @initialize(history=st.lists(st.tuples(REVISIONS, FEW, FEW), min_size=1, max_size=4))
    def begin(self, history: list[tuple[str, int, int]]) -> None:
        """Pods that served before the window began."""
        for revision, completed, failed in history:
            pod = self._new_pod(revision, ready_at=-1000.0)
            pod.counters = counted(completed, failed)

    def _new_pod(self, revision: str, ready_at: float) -> RealPod:
        self.boots += 1
        pod = RealPod(f"pod-{self.boots}", revision, self.boots, ready_at)
        self.pods.append(pod)
        return pod

    @rule(data=st.data(), completed=FEW, failed=FEW)
    @precondition(lambda self: self.pods)
    def serve(self, data: st.DataObject, completed: int, failed: int) -> None:
        """A pod answers some requests and fails others."""
        pod = data.draw(st.sampled_from(self.pods))
        served = counted(completed, failed)
        pod.counters = pod.counters.plus(served)
        self.truth[pod.revision] = self.truth[pod.revision].plus(served)

    @rule(data=st.data())
    @precondition(lambda self: self.pods)
    def restart_pod(self, data: st.DataObject) -> None:
        """A server ends; the next one counts from 0."""
        pod = data.draw(st.sampled_from(self.pods))
        self.boots += 1
        pod.boot, pod.counters, pod.ready_at = self.boots, counted(), self.second

    @rule(revision=REVISIONS)
    def come(self, revision: str) -> None:
        """One more pod becomes ready."""
        if len(self.pods) < 6:
            self._new_pod(revision, ready_at=self.second)

    @rule(data=st.data())
    @precondition(lambda self: self.pods)
    def go(self, data: st.DataObject) -> None:
        """A pod is removed."""
        self.pods.remove(data.draw(st.sampled_from(self.pods)))

    @rule(data=st.data())
    @precondition(lambda self: self.pods)
    def hide(self, data: st.DataObject) -> None:
        """A pod stops answering scrapes, or does so again."""
        pod = data.draw(st.sampled_from(self.pods))
        pod.answers = not pod.answers

    @rule()
    @precondition(lambda self: self.story.window is not None)
    def restart_operator(self) -> None:
        """Everything but the status is lost."""
        self.story.restart_operator()

    @rule(seconds=st.floats(10, 40))
    def scrape(self, seconds: float) -> None:
        """The operator reads all pods, judges, and writes the status."""
        self.second += seconds
        self.story.round(self.second, *(pod.seen(self.second) for pod in self.pods))
        evidence = self.story.evidence
        self.story.restart_operator()
        self.story.evidence = evidence

    @invariant()
    def nothing_is_invented(self) -> None:
        """No side has done more than it really did, nor less than nothing."""
        if self.story.window is None or self.story.evidence is None:
            return
        _, difference = settle(self.story.window, self.story.evidence, CASE, LIMITS)
        if difference is None:
            return
        for revision, side in ((CANARY, difference.canary), (STABLE, difference.stable)):
            seen, truth = side.counters, self.truth[revision]
            assert 0 <= seen.received <= truth.received
            assert 0 <= seen.completed <= truth.completed
            assert 0 <= seen.failed <= truth.failed
            for name in ("first_token", "inter_token"):
                pairs = zip(getattr(seen, name), getattr(truth, name), strict=False)
                assert all(0 <= one <= other for one, other in pairs)


Pods.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestPods = Pods.TestCase

ROUNDS = st.lists(st.tuples(FEW, FEW, FEW, FEW), min_size=1, max_size=8)


@given(ROUNDS, st.sets(st.integers(0, 8)))
def test_a_restart_of_the_operator_changes_no_verdict(
    rounds: list[tuple[int, int, int, int]], restarts: set[int]
) -> None:
    """Judging on from the status gives what judging on from memory gives, round by round."""

    def live(restarts: set[int]) -> list[Judgement | None]:
        story, verdicts = Story(), []
        one, other = counted(), counted()
        for number, (c_done, c_failed, s_done, s_failed) in enumerate(rounds):
            one, other = one.plus(counted(c_done, c_failed)), other.plus(counted(s_done, s_failed))
            verdicts.append(story.round(10 * number, canary(one), stable(other)))
            if number in restarts:
                story.restart_operator()
        return verdicts

    assert live(restarts) == live(set())


def verdict_on(one: Counters, other: Counters) -> VerdictOutcome:
    """Return what comes of these two sides."""
    story = Story()
    story.round(0, canary(), stable())
    verdict = story.round(10, canary(one), stable(other))
    assert verdict is not None
    return verdict.outcome


@given(st.integers(1, 200), st.integers(0, 200), st.integers(1, 50))
def test_more_failures_never_help(done: int, failed: int, more: int) -> None:
    """Of the same number of requests, more failures make no Fail a Pass."""
    worse = min(failed + more, done + failed)
    other = counted(100)
    if verdict_on(counted(done, failed), other) is VerdictOutcome.FAIL:
        assert verdict_on(counted(done + failed - worse, worse), other) is VerdictOutcome.FAIL


def spread(fast: int, slow: int, slower: int) -> Counters:
    """Return 60 or more answers of three speeds."""
    parts = [counted(fast + 60, first_token=0.05), counted(slow, first_token=0.15)]
    return parts[0].plus(parts[1]).plus(counted(slower, first_token=0.3))


@given(FEW, FEW, FEW, st.integers(1, 40), st.tuples(FEW, FEW, FEW))
def test_slower_answers_never_help_the_canary(
    fast: int, slow: int, slower: int, moved: int, other: tuple[int, int, int]
) -> None:
    """Where one canary fails by comparison, one with slower answers does too; stable's help it."""
    moved = min(moved, fast)
    before, after = spread(fast, slow, slower), spread(fast - moved, slow, slower + moved)
    against = spread(*other)
    if verdict_on(before, against) is VerdictOutcome.FAIL:
        assert verdict_on(after, against) is VerdictOutcome.FAIL
    if verdict_on(against, before) is VerdictOutcome.PASS:
        assert verdict_on(against, after) is VerdictOutcome.PASS


def test_a_counter_reset_is_no_burst_of_errors() -> None:
    """A canary that fails once, is restarted and serves on has failed once."""
    story = Story()
    story.round(0, canary(counted(1000, 10)), stable())
    story.round(10, canary(counted(1060, 11)), stable(counted(100)))
    again = Pod("c", CANARY, counted(60), boot="c-2", ready_seconds=5.0)
    verdict = story.round(20, again, stable(counted(200)))
    assert verdict is not None
    assert verdict.outcome is VerdictOutcome.PASS
    assert verdict.message.startswith("1 of 121 requests failed")


def test_a_baseline_process_that_vanished_unseen_starts_the_window_over() -> None:
    """After a restart of the operator nobody knows its last counters: what is left is a new start.

    Neither its old requests nor those of the pods that stayed become news or negative.
    """
    story = Story()
    both = (canary(counted(500, 100), name="c"), canary(counted(500, 100), name="d"))
    story.round(0, *both, stable())
    story.restart_operator()
    story.round(10, canary(counted(510, 100), name="c"), stable())
    assert story.window is not None
    assert story.window.baseline is not None
    assert story.window.baseline.at == START + timedelta(seconds=10)
    verdict = story.round(20, canary(counted(610, 101), name="c"), stable(counted(100)))
    assert verdict is not None
    assert verdict.message.startswith("1 of 101 requests failed")


@pytest.mark.parametrize("ready_seconds", [11.0, 600.0, None])
def test_a_pod_that_was_there_unseen_joins_with_what_it_has_counted(
    ready_seconds: float | None,
) -> None:
    """A pod that served before it could be read brings no old errors into the window."""
    story = Story()
    story.round(0, canary(), stable())
    late = replace(canary(counted(0, 1000), name="d"), ready_seconds=ready_seconds)
    story.round(10, canary(), late, stable())
    late = replace(late, counters=counted(30, 1000))
    verdict = story.round(20, canary(counted(30)), late, stable(counted(100)))
    assert verdict is not None
    assert verdict.outcome is VerdictOutcome.PASS


def test_a_pod_that_began_in_the_window_counts_from_the_start() -> None:
    """What it failed before it was first read is the canary's."""
    story = Story()
    story.round(0, canary(), stable())
    new = replace(canary(counted(0, 60), name="d"), ready_seconds=5.0)
    verdict = story.round(10, canary(), new, stable())
    assert verdict is not None
    assert verdict.outcome is VerdictOutcome.FAIL


def test_pods_that_count_in_other_buckets_are_not_compared() -> None:
    """Two builds of a server under one tag give no latency rather than a wrong one."""
    story = Story()
    story.round(0, canary(), canary(name="d"), stable())
    story.round(10, canary(counted(60)), canary(counted(60), name="d"), stable(counted(100)))
    evidence = story.evidence
    assert evidence is not None
    others = tuple(
        _recounted(sample) if sample.pod == "d" else sample for sample in evidence.samples
    )
    story.evidence = replace(evidence, samples=others)
    verdict = story.judge(11)
    assert verdict is not None
    assert verdict.outcome is VerdictOutcome.INCONCLUSIVE
    assert not verdict.measured


def _recounted(sample: PodSample) -> PodSample:
    shape = replace(SHAPE, first_token=(1.0, 2.0, 3.0, 4.0))
    return replace(sample, reading=replace(sample.reading, shape=shape))
