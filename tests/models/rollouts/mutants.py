"""The mistakes that the rules are for, each with the test that must find it.

Those of the machine are in ``wrong_machines``; those of the judge, the status and the traffic are
here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeVar

from llm_operator.judgement.evidence import Evidence
from llm_operator.judgement.limits import Case, Limits
from llm_operator.judgement.verdict import judge
from llm_operator.judgement.window import Window
from llm_operator.rollout.state import Judgement, Rollout
from llm_operator.traffic.asked import Asked
from tests.models.rollouts import checks
from tests.models.rollouts import checks_of_parts as parts
from tests.models.rollouts import wrong_machines as wrong
from tests.models.rollouts.operator import from_status

Part = TypeVar("Part")


def processes_are_told_by_their_pod(
    window: Window, evidence: Evidence, case: Case, limits: Limits, now: datetime
) -> tuple[Judgement | None, Window]:
    """15: a pod is one process for ever, so that a reset is a difference."""
    newest = {sample.pod: sample for sample in evidence.samples}
    samples = tuple(
        replace(s, ready_since=None, reading=replace(s.reading, boot_id=s.pod))
        for s in newest.values()
    )
    return judge(window, replace(evidence, samples=samples), case, limits, now)


def everything_is_compared(
    window: Window, evidence: Evidence, case: Case, limits: Limits, now: datetime
) -> tuple[Judgement | None, Window]:
    """24: the limits relative to stable are always demanded."""
    return judge(window, evidence, replace(case, relative=True), limits, now)


def held_total_is_not_written(rollout: Rollout) -> Rollout:
    """20: the status says where a rollout is, and not why or of how many pods."""
    return replace(from_status(rollout), held_total=None, cause=None)


def nothing_is_pinned(asked: Asked) -> Asked:
    """22: the Service is open to both revisions as long as there are two."""
    return replace(asked, weight_percent=min(asked.weight_percent, 99))


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake and the rule that finds it."""

    number: int
    test: str
    """Name of the test that must fail on it."""
    check: Callable[[], None]
    """The test's check, of the mistake."""

    def is_killed(self) -> bool:
        """Whether the rule finds the mistake."""
        try:
            self.check()
        except AssertionError:
            return True
        return False


def _of_machine(number: int, spoil: wrong.Spoil, check: Callable[[checks.Start], None]) -> Mutant:
    return _of(number, lambda: wrong.machine(spoil), check)


def _of_process(
    number: int, process: Callable[[], wrong.Spoil], check: Callable[[checks.Start], None]
) -> Mutant:
    return _of(number, lambda: wrong.machine(process()), check)


def _of(number: int, part: Part, check: Callable[[Part], None]) -> Mutant:
    return Mutant(number, f"test_{check.__name__}", lambda: check(part))


MUTANTS: Final = (
    _of_machine(1, wrong.weight_before_readiness, checks.weight_waits_for_ready_pods),
    _of_machine(
        2, wrong.weight_stays_on_the_superseded, checks.superseded_revision_loses_its_weight
    ),
    _of_machine(
        3,
        wrong.scaling_revives_the_rejected,
        checks.scaling_after_a_roll_back_creates_no_canary_pod,
    ),
    _of_machine(4, wrong.promotion_copies_the_template, checks.promotion_keeps_the_judged_pods),
    _of_machine(5, wrong.stable_shrinks_first, checks.stable_shrinks_after_the_weight_has_moved),
    _of_machine(6, wrong.missing_metrics_pass, checks.missing_metrics_hold),
    _of_process(
        7, wrong.DeadlineOfTheProcess, checks.a_deadline_does_not_begin_anew_with_a_process
    ),
    _of_machine(8, wrong.rejection_is_forgotten, checks.a_rejected_revision_is_not_tried_again),
    _of_machine(9, wrong.roll_back_removes_pods_first, checks.a_roll_back_moves_traffic_first),
    _of_process(10, wrong.StepOfTheProcess, checks.a_restart_goes_on_at_the_step),
    _of_machine(
        11, wrong.revert_creates_too_many, checks.a_revert_creates_only_missing_stable_pods
    ),
    _of_machine(12, wrong.terminating_pods_are_gone, checks.terminating_pods_hold_their_room),
    _of_machine(
        13, wrong.scaling_reaches_the_paused_canary, checks.a_paused_rollout_leaves_the_canary_alone
    ),
    _of_machine(14, wrong.late_verdicts_count, checks.a_late_verdict_counts_nothing),
    _of(15, processes_are_told_by_their_pod, parts.a_counter_reset_is_no_burst_of_errors),
    _of_machine(16, wrong.a_fallen_total_counts_at_once, checks.a_fallen_total_waits_for_the_end),
    _of_machine(17, wrong.the_last_stable_pod_goes, checks.the_last_stable_pod_stays_below_100),
    _of_machine(
        18, wrong.traffic_goes_back_at_once, checks.traffic_stays_until_a_stable_pod_is_ready
    ),
    _of_machine(19, wrong.each_holding_has_its_deadline, checks.holding_has_one_deadline),
    _of(20, held_total_is_not_written, parts.nothing_decided_is_lost_on_a_restart),
    _of_machine(21, wrong.going_back_rejects, checks.going_back_for_another_edit_rejects_nothing),
    _of(22, nothing_is_pinned, parts.all_traffic_is_pinned_to_the_canary),
    _of_machine(23, wrong.pointer_moves_first, checks.the_pointer_moves_after_the_traffic),
    _of(24, everything_is_compared, parts.relative_limits_are_not_demanded_at_100),
)
