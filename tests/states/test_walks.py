"""A sample of ``make states``: every phase, every change of phase and every event is in it."""

import pytest

from tests.models.rollouts.coverage import missing_changes
from tests.models.rollouts.events import Event
from tests.models.rollouts.explorer import Report
from tests.models.rollouts.plan import Walk, sample, take


@pytest.fixture(scope="module")
def seen() -> Report:
    """Return what all walks of this module saw."""
    return Report()


@pytest.mark.parametrize("walk", sample(), ids=str)
def test_rules_hold_wherever_a_rollout_can_get_to(walk: Walk, seen: Report) -> None:
    """No action breaks a rule, nothing gets stuck or comes back, and every end is a good one."""
    report = take(walk)
    seen.add(report)
    assert not report.violations, "\n".join(map(str, report.violations[:3]))
    assert report.states > 1000


def test_the_walks_see_everything(seen: Report) -> None:
    """A walk that explores nothing proves nothing: all phases, changes and events were seen."""
    assert not missing_changes(seen)
    assert {event for event, _ in seen.rows} == set(Event)
