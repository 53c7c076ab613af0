"""The rules that a wrong machine, judge, status or provider would break, one test each."""

from llm_operator.judgement.verdict import judge
from llm_operator.rollout.machine import advance
from llm_operator.traffic.asked import Asked
from tests.models.rollouts import checks
from tests.models.rollouts import checks_of_parts as parts
from tests.models.rollouts.operator import Machine, from_status


def _start() -> Machine:
    return advance


def _as_asked(asked: Asked) -> Asked:
    return asked


def test_weight_waits_for_ready_pods() -> None:
    """A weight is raised only when canary pods are ready."""
    checks.weight_waits_for_ready_pods(_start)


def test_superseded_revision_loses_its_weight() -> None:
    """After a second edit nothing but the newest revision gets a weight."""
    checks.superseded_revision_loses_its_weight(_start)


def test_scaling_after_a_roll_back_creates_no_canary_pod() -> None:
    """After RolledBack a scale event changes stable alone."""
    checks.scaling_after_a_roll_back_creates_no_canary_pod(_start)


def test_promotion_keeps_the_judged_pods() -> None:
    """Promotion moves the pointer; the pods that were judged go on serving."""
    checks.promotion_keeps_the_judged_pods(_start)


def test_stable_shrinks_after_the_weight_has_moved() -> None:
    """Stable pods go only when enough others serve in their place."""
    checks.stable_shrinks_after_the_weight_has_moved(_start)


def test_missing_metrics_hold() -> None:
    """Without metrics a step does not pass."""
    checks.missing_metrics_hold(_start)


def test_a_deadline_does_not_begin_anew_with_a_process() -> None:
    """The deadline counts from the rollout, whichever process looks at it."""
    checks.a_deadline_does_not_begin_anew_with_a_process(_start)


def test_a_rejected_revision_is_not_tried_again() -> None:
    """Applying the manifest of a rejected revision again starts nothing."""
    checks.a_rejected_revision_is_not_tried_again(_start)


def test_a_roll_back_moves_traffic_first() -> None:
    """No pod that carries traffic is touched before its traffic is moved."""
    checks.a_roll_back_moves_traffic_first(_start)


def test_a_restart_goes_on_at_the_step() -> None:
    """Another process goes on at the step and weight where the last one was."""
    checks.a_restart_goes_on_at_the_step(_start)


def test_a_revert_creates_only_missing_stable_pods() -> None:
    """A revert creates exactly the stable pods that are missing from T."""
    checks.a_revert_creates_only_missing_stable_pods(_start)


def test_terminating_pods_hold_their_room() -> None:
    """A pod that terminates counts until its object is gone."""
    checks.terminating_pods_hold_their_room(_start)


def test_a_paused_rollout_leaves_the_canary_alone() -> None:
    """While it is paused, more pods are more stable pods and no weight rises."""
    checks.a_paused_rollout_leaves_the_canary_alone(_start)


def test_a_late_verdict_counts_nothing() -> None:
    """A verdict of another window changes nothing."""
    checks.a_late_verdict_counts_nothing(_start)


def test_a_fallen_total_waits_for_the_end() -> None:
    """A total that falls during a rollout takes no stable pod away."""
    checks.a_fallen_total_waits_for_the_end(_start)


def test_the_last_stable_pod_stays_below_100() -> None:
    """While stable has a share it has a ready pod."""
    checks.the_last_stable_pod_stays_below_100(_start)


def test_traffic_stays_until_a_stable_pod_is_ready() -> None:
    """A roll-back does not move traffic to a revision without a ready pod."""
    checks.traffic_stays_until_a_stable_pod_is_ready(_start)


def test_holding_has_one_deadline() -> None:
    """Coming back to Holding in the same step does not extend its deadline."""
    checks.holding_has_one_deadline(_start)


def test_going_back_for_another_edit_rejects_nothing() -> None:
    """A revision that was only edited away is rolled out when the spec has it again."""
    checks.going_back_for_another_edit_rejects_nothing(_start)


def test_the_pointer_moves_after_the_traffic() -> None:
    """The canary becomes stable only when all traffic is applied to it."""
    checks.the_pointer_moves_after_the_traffic(_start)


def test_a_counter_reset_is_no_burst_of_errors() -> None:
    """A server that is restarted counts from 0, and what it counted before stays."""
    parts.a_counter_reset_is_no_burst_of_errors(judge)


def test_relative_limits_are_not_demanded_at_100() -> None:
    """At weight 100 nothing is compared to stable, which has no requests then."""
    parts.relative_limits_are_not_demanded_at_100(judge)


def test_nothing_decided_is_lost_on_a_restart() -> None:
    """What status says of a rollout is read back whole, wherever it is."""
    parts.nothing_decided_is_lost_on_a_restart(from_status)


def test_all_traffic_is_pinned_to_the_canary() -> None:
    """At weight 100 the Service selects the canary's hash and no other pod."""
    parts.all_traffic_is_pinned_to_the_canary(_as_asked)
