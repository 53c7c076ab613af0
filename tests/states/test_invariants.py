"""Every rule bites: on a machine that breaks it, a walk tells so."""

import pytest

from llm_operator.api.rollout import Strategy
from llm_operator.api.traffic import Provider
from tests.models.rollouts import wrong_machines as wrong
from tests.models.rollouts.explorer import Explorer
from tests.models.rollouts.invariants import OF_ACTIONS
from tests.models.rollouts.moves import Pace
from tests.models.rollouts.settings import SHORT_STEPS
from tests.models.rollouts.situation import Setting

_SETTING = Setting(2, 1, 100, Strategy.CANARY, SHORT_STEPS, Provider.GATEWAY_API)

_BREAKERS = {
    "I1": wrong.weight_before_readiness,
    "I2": wrong.stable_shrinks_first,
    "I3": wrong.the_way_back_is_deleted,
    "I4": wrong.the_next_revision_starts_at_once,
    "I5": wrong.roll_back_removes_pods_first,
    "I6": wrong.terminating_pods_are_gone,
    "I7": wrong.rejection_is_forgotten,
    "I8": wrong.waiting_has_no_reason,
    "I10": wrong.going_back_goes_on,
    "I11": wrong.missing_metrics_pass,
    "I12": wrong.promotion_copies_the_template,
    "I13": wrong.weight_before_readiness,
    "I14": wrong.scaling_reaches_the_paused_canary,
    "POINTER": wrong.pointer_moves_first,
    "HELD": wrong.a_fallen_total_counts_at_once,
    "DEADLINE": wrong.each_holding_has_its_deadline,
    "Events": wrong.late_verdicts_count,
    "every end": wrong.stable_shrinks_first,
    "no cycle": wrong.rejection_is_forgotten,
}


@pytest.mark.parametrize("rule", [*OF_ACTIONS, "Events", "every end", "no cycle"])
def test_a_walk_finds_the_machine_that_breaks_the_rule(rule: str) -> None:
    """A walk of one or two events over one canary finds a machine that breaks the rule."""
    machine = wrong.machine(_BREAKERS[rule])
    for events in (1, 2):
        report = Explorer(_SETTING, machine, Pace.READY_FIRST).explore(events, until=rule)
        if report.broken[rule]:
            return
    pytest.fail(f"{rule} was never told: {dict(report.broken)}")
