"""The page's table of events: what each event leads to in each phase, asked of the next pass.

Only asked where the operator had nothing to do before the event, so that its answer is to the
event alone.
"""

from collections.abc import Callable, Mapping
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.sizes import WHOLE
from tests.models.rollouts.cluster import NOBODY
from tests.models.rollouts.events import BAD, RESTARTS, Event, crash_loop
from tests.models.rollouts.moves import finish
from tests.models.rollouts.operator import Operator, name_of
from tests.models.rollouts.situation import Situation

_STABLE, _ROLLED_BACK = RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK
_PREPARING, _STEP = RolloutPhase.PREPARING, RolloutPhase.STEP
_PAUSED, _HOLDING = RolloutPhase.PAUSED, RolloutPhase.HOLDING
_PROMOTING, _BAKING = RolloutPhase.PROMOTING, RolloutPhase.BAKING
_ROLLING_BACK = RolloutPhase.ROLLING_BACK

_UNDER_WAY: Final = frozenset({_PREPARING, _STEP, _PAUSED, _HOLDING, _PROMOTING})


_FORWARD: Final = (_PREPARING, _STEP, _PROMOTING, _BAKING, _STABLE)


def wrong_answer(operator: Operator, event: Event, before: Situation, after: Situation) -> str:
    """Return how the next pass contradicts the table; empty where it does not."""
    rule = _ROWS.get(event)
    if rule is None or before.spec.total == 0:
        return ""
    done = operator.run_pass(after)
    answer = Answer(before, finish(after, done), done.notes)
    problem = rule(answer)
    return f"{event} in {answer.was}: {problem}" if problem else ""


class Answer:
    """What a pass made of one event."""

    def __init__(self, before: Situation, after: Situation, notes: tuple[Reason, ...]) -> None:
        self.before = before
        self.after = after
        self.was = before.kept.rollout.phase
        self.now = after.kept.rollout.phase
        self.is_stale = Reason.STALE_COMMAND in notes

    @property
    def holds_on_the_way(self) -> bool:
        """Whether it went on and holds there: the route that it waits for is not applied."""
        rollout = self.after.kept.rollout
        cause, way = rollout.cause, rollout.return_to
        holds = self.now is _HOLDING and cause is Reason.TRAFFIC_NOT_APPLIED
        return holds and way is _PROMOTING

    def must(self, *phases: RolloutPhase) -> str:
        """Demand one of these phases."""
        return "" if self.now in phases else f"→ {self.now}, not {' or '.join(phases)}"

    def must_be_condemned(self) -> str:
        """Demand that only a failed verdict, or a route that is not applied, stopped it."""
        stopped = (Reason.PAUSED_BY_FAILURE, Reason.TRAFFIC_NOT_APPLIED)
        cause = self.after.kept.rollout.cause
        return "" if cause in stopped else f"stopped by {cause}"

    def must_be_stale(self) -> str:
        """Demand that nothing but the memory of the command changes, and that it is said."""
        if not self.is_stale:
            return "no StaleCommand"
        return "" if self.now is self.was else f"stale, but → {self.now}"

    def must_not_be_stale(self) -> str:
        """Demand that the command was carried out."""
        return "StaleCommand" if self.is_stale else ""


def _edit(answer: Answer) -> str:
    if name_of(answer.after.spec.target) == answer.before.kept.rollout.previous:
        return _revert(answer)
    if answer.was in _UNDER_WAY:
        return answer.must(_ROLLING_BACK, _PREPARING, _STABLE)
    if answer.was is _BAKING:
        is_kept = answer.after.stable == answer.before.stable
        return answer.must(_PREPARING, _STABLE) if is_kept else "the pointer went back"
    if answer.was is _ROLLING_BACK:
        return answer.must(_ROLLING_BACK)
    return ""


def _revert(answer: Answer) -> str:
    target = answer.after.spec.target
    previous = answer.before.kept.rollout.previous
    if target != answer.before.stable and name_of(target) != previous:
        return ""
    if answer.was in _UNDER_WAY or answer.was is _ROLLING_BACK:
        return answer.must(_ROLLING_BACK, _STABLE)
    if answer.was is _BAKING:
        back = "" if answer.after.stable == target else "the pointer stays"
        return back or answer.must(_ROLLING_BACK, _STABLE)
    return answer.must(_STABLE) if answer.was is _ROLLED_BACK else ""


def _abort(answer: Answer) -> str:
    if answer.before.stable == NOBODY:
        return answer.must_be_stale()
    if answer.was in _UNDER_WAY:
        return answer.must_not_be_stale() or answer.must(_ROLLING_BACK, _ROLLED_BACK)
    if answer.was is _BAKING:
        if answer.after.stable == answer.before.stable:
            return "the pointer stays"
        return answer.must_not_be_stale() or answer.must(_ROLLING_BACK, _ROLLED_BACK)
    return answer.must_be_stale()


def _promote(answer: Answer) -> str:
    if answer.before.stable == NOBODY:
        return answer.must(answer.was)
    match answer.was:
        case RolloutPhase.STEP | RolloutPhase.PAUSED | RolloutPhase.HOLDING:
            return _promoted(answer)
        case RolloutPhase.PREPARING:
            return answer.must_not_be_stale()
        case RolloutPhase.BAKING:
            return answer.must_not_be_stale() or answer.must(_STABLE)
        case RolloutPhase.PROMOTING:
            return ""
        case _:
            return answer.must_be_stale()


def _promoted(answer: Answer) -> str:
    if not answer.before.cluster.revisions[answer.before.spec.target].ready:
        return ""
    if answer.now is _ROLLING_BACK and answer.before.faults & {BAD, RESTARTS}:
        return answer.must_not_be_stale()
    stopped = answer.holds_on_the_way or answer.now is _PAUSED
    went_on = answer.must_be_condemned() if stopped else answer.must(_PROMOTING, _BAKING, _STABLE)
    return answer.must_not_be_stale() or went_on


def _promote_step(answer: Answer) -> str:
    if answer.was not in (_STEP, _PAUSED, _HOLDING) or answer.before.spec.paused:
        return answer.must_be_stale()
    before, after = answer.before.kept.rollout, answer.after.kept.rollout
    went_on = after.step != before.step or answer.now in (_PROMOTING, _BAKING, _STABLE)
    went_on |= answer.holds_on_the_way or _stopped_behind_the_last_step(answer)
    return answer.must_not_be_stale() or ("" if went_on else "the step is the same")


def _stopped_behind_the_last_step(answer: Answer) -> bool:
    """Whether it went on to promote and was condemned again at once: the last step stays."""
    is_last = answer.after.kept.rollout.step_weight_percent == WHOLE
    return is_last and answer.now is _PAUSED and not answer.must_be_condemned()


def _pause(answer: Answer) -> str:
    holds_paused = answer.now is _HOLDING and answer.after.kept.rollout.paused_by is not None
    if holds_paused and answer.was in (_STEP, _HOLDING, _PAUSED):
        return ""
    if answer.was in (_STEP, _HOLDING):
        return answer.must_not_be_stale() or answer.must(_PAUSED)
    if answer.was in (_PREPARING, _PAUSED):
        return answer.must(answer.was)
    return answer.must_be_stale()


def _resume(answer: Answer) -> str:
    if answer.was is not _PAUSED:
        return "" if answer.was in (_PREPARING, _STEP, _HOLDING) else answer.must_be_stale()
    if answer.before.spec.paused:
        return answer.must(_PAUSED)
    if answer.now is _PAUSED:
        return answer.must_not_be_stale() or answer.must_be_condemned()
    return answer.must_not_be_stale() or answer.must(*_FORWARD, _HOLDING)


def _retry(answer: Answer) -> str:
    if answer.was is not _ROLLED_BACK or answer.before.rejected != answer.before.spec.target:
        return answer.must_be_stale()
    if answer.before.spec.paused or _still_crashes(answer.before):
        return ""
    return answer.must_not_be_stale() or answer.must(_PREPARING, _STEP)


def _still_crashes(situation: Situation) -> bool:
    """Whether a pod of the last attempt is still there with its final cause."""
    target = situation.spec.target
    is_there = situation.cluster.revisions[target].starting > 0
    return is_there and crash_loop(target) in situation.faults


def _late_verdict(answer: Answer) -> str:
    same = answer.before.kept is answer.after.kept and answer.before.stable == answer.after.stable
    return "" if same else "a verdict of another window counted"


_ROWS: Final[Mapping[Event, Callable[[Answer], str]]] = {
    Event.EDIT: _edit,
    Event.REVERT: _revert,
    Event.ABORT: _abort,
    Event.PROMOTE: _promote,
    Event.PROMOTE_STEP: _promote_step,
    Event.PAUSE: _pause,
    Event.RESUME: _resume,
    Event.RETRY: _retry,
    Event.LATE_VERDICT: _late_verdict,
}
