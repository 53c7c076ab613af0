"""Going back: the share first, then the pods, and stable whole at the end."""

from dataclasses import replace

import pytest

from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.retreat import with_rejected
from llm_operator.rollout.state import AppliedTraffic
from tests.builders import NOW
from tests.rollout_builders import (
    FROZEN,
    NEW,
    OLD,
    TOTAL,
    Pods,
    Scene,
    ago,
    later,
    rolling_back,
)


def carrying(weight_percent: int = 50) -> Scene:
    """Return the begin of a rollback, with the canary's share as the step had it."""
    scene = rolling_back().but(weight_percent=weight_percent, deadline_at=later(1800))
    traffic = AppliedTraffic(weight_percent)
    scene = scene.seeing(old=Pods(3), new=Pods(2))
    return replace(scene, world=replace(scene.world, traffic=traffic))


def unseen(scene: Scene, seconds: int) -> Scene:
    """Return a scene whose share of 0 has not been applied for so long."""
    traffic = AppliedTraffic(50, is_applied=False, problem="the route is not accepted")
    world = replace(scene.world, traffic=traffic)
    moved = replace(scene, world=world)
    return moved.but(weight_percent=0, applied_at=None, unapplied_since=ago(seconds))


def test_the_share_goes_back_at_once_when_a_stable_pod_is_ready() -> None:
    """And no pod that carries it is touched in the same pass."""
    decision = carrying().look()
    assert decision.rollout.weight_percent == 0
    assert dict(decision.sizes) == {OLD: 3, NEW: 2}


def test_the_share_stays_where_the_only_ready_pods_are() -> None:
    """A rollback never sends to nobody; the first stable pod that is ready gets it."""
    alone = carrying().seeing(old=Pods(starting=2), new=Pods(2))
    assert alone.look().rollout.weight_percent == 50
    first = carrying().seeing(old=Pods(1, starting=1), new=Pods(2))
    assert first.look().rollout.weight_percent == 0


@pytest.mark.parametrize(("seconds", "canary"), [(59, 2), (60, 1)])
def test_canary_pods_wait_for_the_share_for_a_minute(seconds: int, canary: int) -> None:
    """A route that is not applied must not keep stable from being whole."""
    assert unseen(carrying(), seconds).look().sizes[NEW] == canary


def test_canary_pods_go_once_the_share_is_applied_and_known() -> None:
    """Six seconds after it was seen."""
    moved = carrying().but(weight_percent=0, applied_at=NOW)
    moved = replace(moved, world=replace(moved.world, traffic=AppliedTraffic(0)))
    assert moved.after(5).look().sizes[NEW] == 2
    assert moved.after(6).look().sizes == {OLD: 3, NEW: 1}


def test_stable_grows_into_the_room_there_is() -> None:
    """T + E at most; what is missing beyond that needs a canary pod's place."""
    scene = rolling_back().seeing(old=Pods(2), new=Pods(1))
    assert scene.look().sizes == {OLD: 4, NEW: 1}
    full = rolling_back().seeing(old=Pods(1), new=Pods(4))
    assert full.look().sizes == {OLD: 1, NEW: 1}


def test_no_more_canary_pods_go_than_stable_pods_are_missing() -> None:
    """Rooms that are being freed count."""
    scene = rolling_back().seeing(old=Pods(2), new=Pods(2, ending=1))
    assert scene.look().sizes == {OLD: 2, NEW: 1}


def test_unready_canary_pods_go_first() -> None:
    """They carry nothing, whatever the share is."""
    scene = carrying().seeing(old=Pods(), new=Pods(2, starting=3))
    assert scene.look().sizes == {OLD: 0, NEW: 2}


def test_canary_pods_that_carry_all_traffic_go_one_at_a_time() -> None:
    """E 0: a ready one for each stable pod that is to come, as long as enough are left."""
    frozen = replace(FROZEN, max_extra_replicas=0, min_serving_percent=50)
    scene = carrying(100).but(frozen=frozen)
    assert scene.seeing(old=Pods(), new=Pods(4)).look().sizes == {OLD: 0, NEW: 3}
    assert scene.seeing(old=Pods(), new=Pods(3, ending=1)).look().sizes == {OLD: 0, NEW: 3}
    assert scene.seeing(old=Pods(starting=1), new=Pods(3)).look().sizes == {OLD: 1, NEW: 3}
    assert scene.seeing(old=Pods(), new=Pods(2)).look().sizes[NEW] == 2


def test_recreate_goes_back_through_its_own_pods() -> None:
    """E 0: one of the new pods makes room, and the others serve until a stable pod is ready."""
    frozen = replace(FROZEN, strategy=Strategy.RECREATE, max_extra_replicas=0)
    scene = carrying(100).but(frozen=frozen).seeing(new=Pods(TOTAL))
    assert scene.look().sizes == {OLD: 0, NEW: 3}
    back = scene.seeing(old=Pods(1), new=Pods(3)).passed()
    assert back.rollout.weight_percent == 0
    assert back.look().sizes[NEW] == 3


def test_a_rollback_ends_when_stable_is_whole() -> None:
    """The canary goes, the hash stays rejected, and the cause stays to be read."""
    decision = rolling_back().seeing(old=Pods(TOTAL), new=Pods(1)).look()
    rollout = decision.rollout
    assert (rollout.phase, rollout.cause) == (RolloutPhase.ROLLED_BACK, Reason.ABORTED)
    assert rollout.rejected == (NEW,)
    assert dict(decision.sizes) == {OLD: TOTAL, NEW: 0}
    assert (rollout.frozen, rollout.held_total, rollout.deadline_at) == (None, None, None)


def test_a_whole_stable_waits_for_the_share_and_not_for_the_deadline() -> None:
    """A deadline shorter than a minute neither takes pods that carry it nor blames stable."""
    scene = unseen(rolling_back(), 10).seeing(old=Pods(TOTAL), new=Pods(1))
    waits = scene.but(deadline_at=ago(1), unapplied_since=ago(10))
    traffic = AppliedTraffic(50, is_applied=False)
    waits = replace(waits, world=replace(waits.world, traffic=traffic))
    decision = waits.look()
    assert decision.rollout.phase is RolloutPhase.ROLLING_BACK
    assert decision.sizes[NEW] == 1
    assert decision.wake_at is not None
    ended = waits.after(50).look().rollout
    assert ended.cause is Reason.ABORTED


def test_a_rollback_without_a_canary_pod_waits_for_no_share() -> None:
    """Nobody can be sent to a pod that is gone."""
    decision = unseen(rolling_back(), 0).seeing(old=Pods(TOTAL)).look()
    assert decision.rollout.phase is RolloutPhase.ROLLED_BACK


def test_stable_that_does_not_get_ready_ends_the_rollback_with_a_reason_of_its_own() -> None:
    """After the deadline; every pod of the canary goes all the same."""
    scene = rolling_back()
    assert scene.after(599).look().rollout.phase is RolloutPhase.ROLLING_BACK
    decision = scene.after(600).look()
    assert decision.rollout.phase is RolloutPhase.ROLLED_BACK
    assert decision.rollout.cause is Reason.STABLE_NOT_READY
    assert dict(decision.sizes) == {OLD: TOTAL, NEW: 0}


def test_the_deadline_of_a_rollback_runs_anew_with_each_stable_pod() -> None:
    """As on the way forward."""
    scene = rolling_back().seeing(old=Pods(3, starting=1), new=Pods(1)).but(ready_peak=2)
    assert scene.look().rollout.deadline_at == later(1800)


def test_a_canary_that_alone_serves_is_not_given_up_at_the_deadline() -> None:
    """Answers of a bad revision are better than none."""
    scene = carrying(100).seeing(old=Pods(starting=1), new=Pods(4)).but(deadline_at=ago(1))
    decision = scene.look()
    assert decision.rollout.phase is RolloutPhase.ROLLING_BACK
    assert decision.sizes[NEW] == 4


@pytest.mark.parametrize("cause", [Reason.SUPERSEDED, Reason.REVERTED])
def test_an_edit_that_went_back_ends_in_stable(cause: Reason) -> None:
    """No hash is rejected by it."""
    rollout = rolling_back(cause).asking(OLD).seeing(old=Pods(TOTAL)).look().rollout
    assert (rollout.phase, rollout.cause) == (RolloutPhase.STABLE, None)
    assert rollout.rejected == ()


def test_a_rollback_rejects_its_hash_once_and_five_are_kept() -> None:
    """The newest is last."""
    known = tuple(f"{letter}bbbbbbb" for letter in "cdfgh")
    assert with_rejected(known, NEW) == (*known[1:], NEW)
    assert with_rejected((NEW, OLD), NEW) == (OLD, NEW)
    assert with_rejected((OLD,), None) == (OLD,)


def test_a_lasting_cause_does_not_end_a_rollback_early() -> None:
    """Stable's pods are waited for until the deadline, whatever keeps them."""
    scene = rolling_back().with_cause(OLD, Reason.CRASH_LOOPING, final=True)
    assert scene.look().rollout.phase is RolloutPhase.ROLLING_BACK
