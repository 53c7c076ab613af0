"""Rules of a rollout that its parts keep: the judge, the status and the traffic.

Like ``checks``, with the part instead of the machine as the argument.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final
from unittest.mock import patch

from llm_operator.api.reasons import Reason
from llm_operator.api.traffic import Provider
from llm_operator.judgement.evidence import Evidence
from llm_operator.judgement.limits import Case, Limits
from llm_operator.judgement.window import Window
from llm_operator.rollout.machine import advance
from llm_operator.rollout.state import Judgement, Rollout, VerdictOutcome
from llm_operator.traffic.asked import Asked
from tests import judgement_builders
from tests.judgement_builders import CANARY, Pod, Story, canary, counted, stable
from tests.models.rollouts.checks import THREE
from tests.models.rollouts.cluster import NAMES, NEW, OLD
from tests.models.rollouts.events import Event
from tests.models.rollouts.run import Run
from tests.models.traffic import TrafficModel

Judge = Callable[[Window, Evidence, Case, Limits, datetime], tuple[Judgement | None, Window]]
Recall = Callable[[Rollout], Rollout]
Render = Callable[[Asked], Asked]

_BEGINNING: Final = 1000
"""Requests that a server has answered before its rollout's window begins."""


def a_counter_reset_is_no_burst_of_errors(judge: Judge) -> None:
    """Mutant 15: a server that is restarted counts from 0, and what it counted before stays."""
    with patch.object(judgement_builders, "judge", judge):
        story = Story()
        story.round(0, canary(counted(_BEGINNING, 1)), stable())
        again = Pod("c", CANARY, counted(100, 4), boot="c-2", ready_seconds=5.0)
        verdict = story.round(20, again, stable(counted(100)))
    assert verdict is not None
    assert (verdict.outcome, verdict.reason) == (VerdictOutcome.PASS, Reason.LIMITS_KEPT)


def relative_limits_are_not_demanded_at_100(judge: Judge) -> None:
    """Mutant 24: at weight 100 nothing is compared to stable, which has no requests then."""
    with patch.object(judgement_builders, "judge", judge):
        story = Story(case=replace(judgement_builders.CASE, relative=False))
        story.round(0, canary(), stable())
        verdict = story.round(10, canary(counted(100, first_token=0.7)), stable())
    assert verdict is not None
    assert (verdict.outcome, verdict.measured) == (VerdictOutcome.PASS, True)


def nothing_decided_is_lost_on_a_restart(recalled: Recall) -> None:
    """Mutant 20: what status says of a rollout is read back whole, wherever it is."""
    for event in (Event.METRICS_LOST, Event.JUDGED_BAD, Event.PAUSE, Event.SCALE_DOWN):
        run = Run(THREE, advance).edit()
        while options := run.options():
            if run.rollout.window_started_at is not None:
                run.happen(event)
            run.take(options[0])
            assert recalled(run.rollout) == run.rollout


def all_traffic_is_pinned_to_the_canary(as_rendered: Render) -> None:
    """Mutant 22: at weight 100 the Service selects the canary's hash and no other pod."""
    old, new = NAMES[OLD], NAMES[NEW]
    model = TrafficModel(Provider.REPLICA_RATIO)
    model.run_pods(old, 1)
    model.run_pods(new, 3)
    model.settle(as_rendered(model.asked(old, new, 100)))
    assert model.shares() == {new: 1.0}
