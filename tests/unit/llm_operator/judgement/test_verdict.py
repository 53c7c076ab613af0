"""What the judge decides, rule by rule."""

from dataclasses import replace
from datetime import timedelta

import pytest

from llm_operator.api.reasons import Reason
from llm_operator.judgement.verdict import unless_news
from llm_operator.judgement.window import follow
from llm_operator.rollout.state import Judgement, VerdictOutcome
from tests.judgement_builders import (
    CANARY,
    CASE,
    LIMITS,
    START,
    Pod,
    Story,
    canary,
    counted,
    stable,
)

PASS, FAIL, INCONCLUSIVE = VerdictOutcome.PASS, VerdictOutcome.FAIL, VerdictOutcome.INCONCLUSIVE


def begun(story: Story) -> Story:
    """Return the story after a first round that found nothing counted."""
    story.round(0, canary(), stable())
    return story


def said(judgement: Judgement | None) -> tuple[VerdictOutcome, Reason] | None:
    """Return what a verdict comes to."""
    return None if judgement is None else (judgement.outcome, judgement.reason)


def test_a_canary_within_all_limits_passes_with_its_numbers() -> None:
    """Enough requests on both sides, few errors, as fast as stable: Pass, measured."""
    verdict = begun(Story()).round(10, canary(counted(98, 2)), stable(counted(500)))
    assert said(verdict) == (PASS, Reason.LIMITS_KEPT)
    assert verdict is not None
    assert verdict.measured
    assert verdict.message == (
        "2 of 100 requests failed (2.0 %, limit 5 %); "
        "p95 of the time to first token: 195 ms, stable 195 ms (100 %, limit 150 %); "
        "p95 of the time between tokens: 19.5 ms, stable 19.5 ms (100 %, limit 150 %)"
    )


def test_too_many_errors_fail_at_once() -> None:
    """With minRequests reached, above the limit is a Fail with the count and the percentage."""
    verdict = begun(Story()).round(10, canary(counted(188, 12)), stable())
    assert said(verdict) == (FAIL, Reason.ERRORS_TOO_HIGH)
    assert verdict is not None
    assert verdict.message == "12 of 200 requests failed (6.0 %, limit 5 %)"


def test_errors_at_the_limit_are_kept() -> None:
    """Exactly maxErrorPercent is allowed."""
    verdict = begun(Story()).round(10, canary(counted(95, 5)), stable(counted(100)))
    assert said(verdict) == (PASS, Reason.LIMITS_KEPT)


def test_few_requests_decide_nothing() -> None:
    """Below minRequests even errors alone are Inconclusive."""
    verdict = begun(Story()).round(10, canary(counted(0, 49)), stable(counted(500)))
    assert said(verdict) == (INCONCLUSIVE, Reason.TOO_FEW_REQUESTS)
    assert verdict is not None
    assert not verdict.is_missing


@pytest.mark.parametrize(
    ("slow", "reason"),
    [
        ({"first_token": 0.3}, Reason.FIRST_TOKEN_TOO_SLOW),
        ({"inter_token": 0.03}, Reason.INTER_TOKEN_TOO_SLOW),
    ],
)
def test_a_slower_canary_fails(slow: dict[str, float], reason: Reason) -> None:
    """A p95 above the limit relative to stable's over the same window fails, with both numbers."""
    story = begun(Story())
    verdict = story.round(10, canary(counted(100, **slow)), stable(counted(100)))  # type: ignore[arg-type]
    assert said(verdict) == (FAIL, reason)
    assert verdict is not None
    assert "(200 %, limit 150 %)" in verdict.message


def test_a_few_slow_requests_are_not_told_from_chance() -> None:
    """A p95 above the limit by 4 slow requests of 50 is neither a Fail nor a Pass; by 10 it is."""
    few = counted(46).plus(counted(4, first_token=0.7))
    verdict = begun(Story()).round(10, canary(few), stable(counted(100)))
    assert said(verdict) == (INCONCLUSIVE, Reason.TOO_FEW_REQUESTS)
    assert verdict is not None
    assert not verdict.measured
    many = counted(40).plus(counted(10, first_token=0.7))
    verdict = begun(Story()).round(10, canary(many), stable(counted(100)))
    assert said(verdict) == (FAIL, Reason.FIRST_TOKEN_TOO_SLOW)


def test_the_stable_revision_may_be_slow_too() -> None:
    """What slows both down is no fault of the canary."""
    both = counted(100, first_token=0.7)
    assert said(begun(Story()).round(10, canary(both), stable(both))) == (PASS, Reason.LIMITS_KEPT)


def test_a_relative_limit_needs_enough_of_both_sides() -> None:
    """Without minRequests on stable nothing is compared: Inconclusive, not measured."""
    verdict = begun(Story()).round(10, canary(counted(100, first_token=0.7)), stable(counted(49)))
    assert said(verdict) == (INCONCLUSIVE, Reason.TOO_FEW_REQUESTS)
    assert verdict is not None
    assert not verdict.measured


def test_relative_limits_are_not_demanded_where_they_do_not_apply() -> None:
    """At weight 100 the absolute limits decide alone, and the relative ones count as measured."""
    story = begun(Story(case=replace(CASE, relative=False)))
    verdict = story.round(10, canary(counted(100, first_token=0.7)), stable())
    assert said(verdict) == (PASS, Reason.LIMITS_KEPT)
    assert verdict is not None
    assert verdict.measured


def test_a_failing_stable_revision_sets_no_example() -> None:
    """The cure of a broken stable revision is not held up by what that one cannot show."""
    verdict = begun(Story()).round(10, canary(counted(100)), stable(counted(0, 100)))
    assert said(verdict) == (PASS, Reason.LIMITS_KEPT)


def test_answers_of_one_token_have_no_time_between_tokens() -> None:
    """Where nothing is to be measured, a limit is not waited for."""
    single = replace(counted(100), inter_token=())
    verdict = begun(Story()).round(10, canary(single), stable(single))
    assert said(verdict) == (PASS, Reason.LIMITS_KEPT)


def test_wrong_requests_and_clients_that_leave_are_no_errors() -> None:
    """They neither fail the canary nor count as requests that it answered."""
    story = begun(Story())
    verdict = story.round(10, canary(counted(10, refused=500, other=500)), stable(counted(500)))
    assert said(verdict) == (INCONCLUSIVE, Reason.TOO_FEW_REQUESTS)


def test_what_was_counted_before_the_window_is_no_news() -> None:
    """Failures before the share was applied do not count against it."""
    story = Story()
    story.round(0, canary(counted(0, 1000)), stable(counted(1000)))
    verdict = story.round(10, canary(counted(100, 1000)), stable(counted(1100)))
    assert said(verdict) == (PASS, Reason.LIMITS_KEPT)


def test_no_request_for_min_seconds_passes() -> None:
    """Zero requests on both sides, seen by readings over minSeconds: Pass, NoTraffic."""
    story = Story()
    verdicts = [said(story.round(second, canary(), stable())) for second in range(0, 61, 10)]
    assert verdicts[4] == (INCONCLUSIVE, Reason.TOO_FEW_REQUESTS)
    assert verdicts[6] == (PASS, Reason.NO_TRAFFIC)


@pytest.mark.parametrize("pods", [(), (stable(),), (canary(),)])
def test_silence_is_not_concluded_where_nothing_could_be_read(pods: tuple[Pod, ...]) -> None:
    """Without one reading of each side, no request is not known to be none."""
    story = Story()
    verdicts = [said(story.round(second, *pods)) for second in range(0, 200, 10)]
    assert (PASS, Reason.NO_TRAFFIC) not in verdicts


def test_without_min_seconds_no_traffic_takes_two_intervals() -> None:
    """The first reading of a busy server is never taken for silence."""
    story = begun(Story(case=replace(CASE, min_time=timedelta(0))))
    assert said(story.last) == (INCONCLUSIVE, Reason.TOO_FEW_REQUESTS)
    assert said(story.round(10, canary(), stable())) == (INCONCLUSIVE, Reason.TOO_FEW_REQUESTS)
    assert said(story.round(20, canary(), stable())) == (PASS, Reason.NO_TRAFFIC)


@pytest.mark.parametrize("side", ["canary", "stable"])
def test_a_request_that_hangs_is_traffic(side: str) -> None:
    """A request that came and has no answer yet is not silence."""
    hangs = counted(other=1)
    story = Story()
    for second in range(0, 100, 10):
        now = hangs if second else counted()
        pods = (
            canary(now if side == "canary" else None),
            stable(now if side == "stable" else None),
        )
        story.round(second, *pods)
    assert said(story.last) == (INCONCLUSIVE, Reason.TOO_FEW_REQUESTS)


@pytest.mark.parametrize("side", ["canary", "stable"])
def test_a_request_that_hung_before_the_window_is_traffic(side: str) -> None:
    """A canary that hangs with all clients in it before it is judged does not pass by silence."""
    story = Story()
    busy = {"canary": canary(), "stable": stable()}
    busy[side] = replace(busy[side], waiting=1)
    verdicts = [said(story.round(second, *busy.values())) for second in range(0, 60, 10)]
    assert set(verdicts) == {(INCONCLUSIVE, Reason.TOO_FEW_REQUESTS)}


def test_a_long_stream_from_before_the_window_is_silence() -> None:
    """A stream that gets further says nothing, and keeps nobody from going on."""
    story = Story()
    for second in range(0, 70, 10):
        story.round(second, replace(canary(), waiting=1, steps=second), stable())
    assert said(story.last) == (PASS, Reason.NO_TRAFFIC)


def test_only_wrong_requests_are_no_traffic() -> None:
    """A scanner that is refused does not keep a rollout from going on."""
    story = Story()
    for second in range(0, 70, 10):
        story.round(second, canary(counted(refused=second)), stable())
    assert said(story.last) == (PASS, Reason.NO_TRAFFIC)


def test_silence_is_not_concluded_from_a_missed_scrape() -> None:
    """While a pod may still answer, the verdict before stands."""
    story = Story()
    for second in range(0, 60, 10):
        story.round(second, canary(), stable())
    assert story.round(60, canary(cause="no connection"), stable()) is None
    assert said(story.round(70, canary(), stable())) == (PASS, Reason.NO_TRAFFIC)


def test_one_missed_scrape_is_nothing() -> None:
    """The counters that were read last stand in for it."""
    story = begun(Story())
    before = story.round(10, canary(counted(100)), stable(counted(100)))
    after = story.round(20, canary(cause="no connection"), stable(counted(100)))
    assert said(after) == said(before) == (PASS, Reason.LIMITS_KEPT)


def test_a_canary_pod_unread_for_three_intervals_is_missing() -> None:
    """What it does would be seen nowhere else; the other pods' numbers do not make up for it."""
    story = Story()
    for second in range(0, 30, 10):
        lost = canary(name="d", cause="no connection")
        assert story.round(second, canary(counted(100)), lost, stable(counted(100))) is None
    verdict = story.round(30, canary(counted(200)), lost, stable(counted(200)))
    assert said(verdict) == (INCONCLUSIVE, Reason.METRICS_MISSING)
    assert verdict is not None
    assert verdict.is_missing
    assert verdict.message == "The metrics of pod d cannot be read: no connection"


def test_one_readable_stable_pod_suffices() -> None:
    """A stable pod without metrics does not hold a canary up, all of them do."""
    story = Story()
    pods = (stable(name="s"), stable(name="t", cause="no connection"))
    for second in range(0, 50, 10):
        story.round(second, canary(counted(second)), *pods)
    assert said(story.last) == (INCONCLUSIVE, Reason.TOO_FEW_REQUESTS)
    for second in range(50, 100, 10):
        story.round(second, canary(counted(second)), *(replace(p, cause="x") for p in pods))
    assert said(story.last) == (INCONCLUSIVE, Reason.METRICS_MISSING)


def test_stable_metrics_are_not_needed_at_full_weight() -> None:
    """Where relative limits do not apply, a stable pod that cannot be read holds nothing up."""
    story = Story(case=replace(CASE, relative=False))
    for second in range(0, 50, 10):
        story.round(second, canary(counted(10 * second)), stable(cause="no connection"))
    assert said(story.last) == (PASS, Reason.LIMITS_KEPT)


def test_missing_stays_missing_until_it_is_read() -> None:
    """A restart of the operator does not turn missing metrics into ones that are waited for."""
    story = begun(Story())
    for second in range(10, 50, 10):
        story.round(second, canary(cause="no connection"), stable())
    story.restart_operator()
    verdict = story.round(60, canary(cause="no connection"), stable())
    assert said(verdict) == (INCONCLUSIVE, Reason.METRICS_MISSING)
    back = story.round(70, canary(counted(10)), stable())
    assert said(back) == (INCONCLUSIVE, Reason.TOO_FEW_REQUESTS)


def test_errors_of_pods_that_answered_fail_although_another_is_missing() -> None:
    """What is known to be bad does not wait for what is not known."""
    story = Story()
    lost = canary(name="d", cause="no connection")
    for second in range(0, 40, 10):
        story.round(second, canary(counted(0, second * 10)), lost, stable())
    story.round(40, canary(counted(0, 1000)), lost, stable())
    assert said(story.last) == (FAIL, Reason.ERRORS_TOO_HIGH)


def test_work_without_progress_for_a_minute_fails() -> None:
    """Requests in the queue and not one step of the engine for 60 s is a Fail; less is not."""
    hangs = Pod("c", CANARY, counted(other=5), waiting=5, steps=7)
    story = Story()
    for second in range(0, 60, 10):
        assert said(story.round(second, hangs, stable())) != (FAIL, Reason.NO_PROGRESS)
    verdict = story.round(60, hangs, stable())
    assert said(verdict) == (FAIL, Reason.NO_PROGRESS)
    assert verdict is not None
    assert verdict.message == "Pod c had requests and computed nothing for 60 s"


def test_a_step_of_the_engine_is_progress() -> None:
    """A long prompt is slow, not stuck."""
    story = Story()
    for second in range(0, 200, 10):
        story.round(second, Pod("c", CANARY, waiting=5, steps=second // 50), stable())
    assert said(story.last) != (FAIL, Reason.NO_PROGRESS)


def test_an_idle_server_needs_no_progress() -> None:
    """Without requests there is nothing to compute."""
    story = Story()
    for second in range(0, 200, 10):
        story.round(second, Pod("c", CANARY, steps=7), stable())
    assert said(story.last) == (PASS, Reason.NO_TRAFFIC)


def test_a_stable_pod_that_hangs_is_no_fault_of_the_canary() -> None:
    """Only canary pods are judged by their progress."""
    hangs = replace(stable(), waiting=5, steps=7)
    story = Story()
    for second in range(0, 200, 10):
        story.round(second, canary(), hangs)
    assert said(story.last) != (FAIL, Reason.NO_PROGRESS)


GUARDED = replace(LIMITS, guards={"gpu": 0.0})


def test_a_guard_fails_at_its_second_breach_in_a_row() -> None:
    """One reading above the maximum is waited out, two are a Fail with value and maximum."""
    story = Story(limits=GUARDED)
    story.round(0, canary(), stable(), guards={"gpu": 0})
    assert said(story.round(10, canary(), stable(), guards={"gpu": 3})) != (
        FAIL,
        Reason.GUARD_EXCEEDED,
    )
    verdict = story.round(20, canary(), stable(), guards={"gpu": 4})
    assert said(verdict) == (FAIL, Reason.GUARD_EXCEEDED)
    assert verdict is not None
    assert verdict.message == "Guard gpu was above its maximum twice in a row: 4, maximum 0"


def test_judging_one_reading_twice_is_one_breach() -> None:
    """A pass between two rounds counts nothing again."""
    story = Story(limits=GUARDED)
    story.round(10, canary(), stable(), guards={"gpu": 3})
    assert said(story.judge(11)) != (FAIL, Reason.GUARD_EXCEEDED)
    assert said(story.judge(19)) != (FAIL, Reason.GUARD_EXCEEDED)


def test_breaches_with_a_kept_reading_between_are_not_in_a_row() -> None:
    """A guard that comes back below its maximum starts over."""
    story = Story(limits=GUARDED)
    for second, value in enumerate((3, 0, 3, 0, 3)):
        story.round(10 * second, canary(), stable(), guards={"gpu": value})
        assert said(story.last) != (FAIL, Reason.GUARD_EXCEEDED)


def test_nothing_passes_before_its_guards_were_read() -> None:
    """A guard that has not answered yet, or is above its maximum now, holds the Pass back."""
    story = Story(limits=GUARDED)
    story.round(0, canary(), stable(), guards={"gpu": "no connection"})
    good = (canary(counted(100)), stable(counted(100)))
    assert story.round(10, *good, guards={"gpu": "no connection"}) is None
    assert story.round(20, *good, guards={"gpu": 5}) is None
    assert said(story.round(30, *good, guards={"gpu": 0})) == (PASS, Reason.LIMITS_KEPT)


def test_a_guard_without_a_value_for_three_intervals_is_missing() -> None:
    """A guard that cannot be read protects nothing."""
    story = Story(limits=GUARDED)
    for second in range(0, 40, 10):
        story.round(second, canary(), stable(), guards={"gpu": "no connection"})
    assert said(story.last) == (INCONCLUSIVE, Reason.METRICS_MISSING)


def test_a_round_from_before_the_window_is_no_baseline() -> None:
    """A verdict on a step is never made from what was read before it."""
    story = begun(Story())
    story.window = follow(None, START + timedelta(seconds=5))
    assert story.judge(6) is None


def test_the_verdict_that_is_shown_changes_with_news_only() -> None:
    """New numbers of the same verdict are no reason to write the status again."""
    story = begun(Story())
    first = story.round(10, canary(counted(100)), stable(counted(100)))
    second = story.round(20, canary(counted(120)), stable(counted(130)))
    assert first != second
    assert unless_news(first, second) is first
    failed = story.round(30, canary(counted(120, 80)), stable(counted(130)))
    assert unless_news(first, failed) is failed
    assert unless_news(first, None) is first
