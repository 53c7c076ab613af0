"""At rest: whether a rollout begins and of which kind; what a total of 0 and another total do."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import OnFailure, Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.state import Rollout, VerdictOutcome
from tests import rollout_builders as builders
from tests.builders import NOW
from tests.rollout_builders import (
    DEADLINE,
    FROZEN,
    NEW,
    NEXT,
    OLD,
    TOTAL,
    Pods,
    Scene,
    at_rest,
    rolled_back,
)

RUNNING: dict[RolloutPhase, Callable[[], Scene]] = {
    RolloutPhase.PREPARING: builders.preparing,
    RolloutPhase.STEP: builders.stepping,
    RolloutPhase.PAUSED: builders.paused,
    RolloutPhase.HOLDING: builders.holding,
    RolloutPhase.PROMOTING: builders.promoting,
    RolloutPhase.BAKING: builders.baking,
    RolloutPhase.ROLLING_BACK: builders.rolling_back,
}


def test_an_edit_begins_a_rollout_with_what_it_keeps() -> None:
    """Policy and total are frozen, nothing has traffic, and the deadline runs."""
    rollout = at_rest().asking(NEW).look().rollout
    assert rollout == Rollout(
        phase=RolloutPhase.PREPARING,
        target=NEW,
        started_at=NOW,
        deadline_at=NOW + DEADLINE,
        frozen=FROZEN,
        held_total=TOTAL,
        stable_was_ready=True,
    )


def test_an_edit_of_nothing_that_is_revisioned_begins_nothing() -> None:
    """The spec means the stable revision: it is at rest."""
    decision = at_rest().look()
    assert (decision.rollout.phase, decision.wake_at) == (RolloutPhase.STABLE, None)
    assert dict(decision.sizes) == {OLD: TOTAL}


def test_a_paused_spec_waits_and_says_so() -> None:
    """Stable serves on; nothing of the new revision is made."""
    decision = at_rest().asking(NEW).with_policy(paused=True).look()
    assert decision.refusal is not None
    assert decision.refusal.reason is Reason.PAUSED_BY_SPEC
    assert (decision.rollout.phase, dict(decision.sizes)) == (RolloutPhase.STABLE, {OLD: TOTAL})


def test_a_paused_spec_does_not_keep_the_first_revision_from_serving() -> None:
    """There is nothing whose place it takes."""
    scene = Scene(Rollout(), stable=None).with_policy(paused=True)
    decision = scene.look()
    assert decision.rollout.phase is RolloutPhase.PREPARING
    assert dict(decision.sizes) == {NEW: TOTAL}


def test_no_room_is_refused_with_the_two_fields_that_make_room() -> None:
    """E = 0 and m = T."""
    decision = at_rest().asking(NEW).with_policy(max_extra_replicas=0).look()
    assert decision.refusal is not None
    assert decision.refusal.reason is Reason.NO_ROOM_FOR_ROLLOUT
    assert "spec.rollout.maxExtraReplicas" in decision.refusal.message
    assert "spec.rollout.minServingPercent" in decision.refusal.message
    assert dict(decision.sizes) == {OLD: TOTAL}


def test_one_pod_that_may_be_missing_and_has_no_room_is_recreated() -> None:
    """T 1 and E 0: no share can be split."""
    scene = at_rest(1).asking(NEW, 1).with_policy(max_extra_replicas=0, min_serving_percent=0)
    rollout = scene.look().rollout
    assert rollout.frozen is not None
    assert rollout.frozen.strategy is Strategy.RECREATE


def test_a_revision_that_was_never_ready_is_replaced_directly() -> None:
    """Its pods go, and are gone before the new ones come."""
    scene = at_rest().but(stable_was_ready=False).asking(NEW).seeing(old=Pods(starting=TOTAL))
    begun = scene.look()
    assert begun.rollout.frozen == replace(FROZEN, replaces_directly=True)
    assert dict(begun.sizes) == {OLD: 0, NEW: 0}
    cleared = scene.passed().seeing(old=Pods()).look()
    assert cleared.sizes[NEW] == TOTAL


@pytest.mark.parametrize(("missing_seconds", "direct"), [(1799, False), (1800, True)])
def test_a_revision_without_a_ready_pod_for_the_deadline_is_replaced_directly(
    missing_seconds: int, direct: bool
) -> None:
    """Until then it may come back and serve during the rollout."""
    lost = at_rest().but(stable_lost_since=builders.ago(missing_seconds))
    rollout = lost.asking(NEW).seeing(old=Pods(starting=TOTAL)).look().rollout
    assert rollout.frozen == replace(FROZEN, replaces_directly=direct)


def test_since_when_stable_serves_nothing_is_noted_and_forgotten_when_it_serves() -> None:
    """One ready pod is enough; a total of 0 is no loss."""
    lost = at_rest().seeing(old=Pods(starting=TOTAL)).passed()
    assert lost.rollout.stable_lost_since == NOW
    again = lost.seeing(old=Pods(1, starting=TOTAL - 1)).look().rollout
    assert (again.stable_lost_since, again.stable_was_ready) == (None, True)
    assert lost.asking(OLD, 0).look().rollout.stable_lost_since is None


def test_a_rejected_revision_stays_rejected_while_the_spec_has_it() -> None:
    """Whatever else is edited, and however often it is looked at."""
    for scene in (rolled_back(), rolled_back().asking(total=7), rolled_back().after(10**6)):
        decision = scene.look()
        assert decision.rollout.phase is RolloutPhase.ROLLED_BACK
        assert decision.sizes.get(NEW, 0) == 0


def test_a_revision_rejected_before_another_is_tried_again() -> None:
    """The spec has had something else in between."""
    decision = at_rest().but(rejected=(NEW, NEXT)).asking(NEW).look()
    assert decision.rollout.phase is RolloutPhase.PREPARING
    assert decision.rollout.rejected == (NEXT,)


@pytest.mark.parametrize(("total", "size"), [(7, 7), (2, 2), (0, 0)])
def test_scaling_at_rest_is_stable_alone(total: int, size: int) -> None:
    """Also after a rejection."""
    assert dict(at_rest().asking(OLD, total).look().sizes) == {OLD: size}
    assert dict(rolled_back().asking(NEW, total).look().sizes) == {OLD: size}


def test_pods_of_an_earlier_revision_take_room_until_they_are_gone() -> None:
    """Scaling up to 6 with E 1 and three pods that still end: four for now."""
    scene = at_rest().asking(OLD, 6).seeing(old=Pods(TOTAL), new=Pods(ending=3))
    assert dict(scene.look().sizes) == {OLD: 4, NEW: 0}


def test_with_a_total_of_0_the_pointer_just_moves() -> None:
    """No rollout: no pod would show anything."""
    decision = at_rest().asking(NEW, 0).look()
    assert (decision.rollout.phase, decision.stable) == (RolloutPhase.STABLE, NEW)
    assert all(size == 0 for size in decision.sizes.values())


def test_with_a_total_of_0_a_rejected_revision_does_not_become_stable() -> None:
    """It would be served at the next scale-up."""
    decision = rolled_back().asking(NEW, 0).look()
    assert (decision.rollout.phase, decision.stable) == (RolloutPhase.ROLLED_BACK, OLD)


def test_a_revision_that_became_stable_without_pods_is_not_rejected() -> None:
    """The list is of what failed, not of what serves."""
    decision = at_rest().but(rejected=(NEW,)).asking(NEW, 0).look()
    assert (decision.stable, decision.rollout.rejected) == (NEW, ())


@pytest.mark.parametrize("phase", [*RUNNING, RolloutPhase.STABLE])
def test_with_a_total_of_0_a_paused_spec_keeps_what_is_stable(phase: RolloutPhase) -> None:
    """Nothing that has to wait serves at the next scale-up, which is told it waits."""
    scene = (RUNNING.get(phase) or at_rest)().with_policy(paused=True)
    stopped = scene.asking(NEXT, 0).passed()
    assert stopped.stable == scene.stable
    assert set(stopped.look().sizes.values()) == {0}
    assert stopped.rollout.phase is RolloutPhase.STABLE
    again = replace(stopped.asking(NEXT, TOTAL), stable=stopped.stable).look()
    assert again.refusal is not None
    assert again.refusal.reason is Reason.PAUSED_BY_SPEC
    assert again.stable == scene.stable


def test_with_a_total_of_0_what_failed_and_waits_for_a_person_is_rejected() -> None:
    """``onFailure: Pause`` leaves the choice to somebody, and scaling to 0 is none."""
    decision = builders.paused(Reason.PAUSED_BY_FAILURE).asking(NEW, 0).look()
    assert (decision.rollout.phase, decision.stable) == (RolloutPhase.ROLLED_BACK, OLD)
    assert decision.rollout.rejected == (NEW,)


def test_what_is_rejected_by_scaling_to_0_keeps_the_failure_that_it_waited_for() -> None:
    """The reason leads to a next step that is still possible."""
    scene = builders.stepping().with_policy(on_failure=OnFailure.PAUSE)
    waits = scene.hearing(VerdictOutcome.FAIL, Reason.ERRORS_TOO_HIGH).passed()
    assert waits.rollout.paused_by is Reason.PAUSED_BY_FAILURE
    decision = waits.asking(NEW, 0).look()
    assert decision.rollout.cause is Reason.ERRORS_TOO_HIGH
    assert Reason.ROLLED_BACK in builders.reasons(decision)


def test_an_edit_that_has_to_wait_ends_the_rejection_of_the_one_before() -> None:
    """What waits is said, not what failed before it."""
    decision = rolled_back().asking(NEXT).with_policy(paused=True).look()
    assert (decision.rollout.phase, decision.stable) == (RolloutPhase.STABLE, OLD)
    assert decision.rollout.cause is None
    assert decision.refusal is not None
    assert decision.refusal.reason is Reason.PAUSED_BY_SPEC


@pytest.mark.parametrize("phase", RUNNING)
def test_a_total_of_0_is_obeyed_at_once_wherever_a_rollout_is(phase: RolloutPhase) -> None:
    """It ends, and every pod goes; what failed does not become stable."""
    decision = RUNNING[phase]().asking(NEW, 0).look()
    failed = phase is RolloutPhase.ROLLING_BACK
    assert decision.rollout.phase is (RolloutPhase.ROLLED_BACK if failed else RolloutPhase.STABLE)
    assert decision.stable == (OLD if failed else NEW)
    assert set(decision.sizes.values()) == {0}


@pytest.mark.parametrize("phase", RUNNING)
def test_a_total_that_falls_waits_for_the_end_of_the_rollout(phase: RolloutPhase) -> None:
    """The sizes are those of the total that the rollout began with."""
    scene = RUNNING[phase]()
    assert scene.asking(total=1).look().sizes == scene.look().sizes
    assert scene.asking(total=1).look().rollout.held_total == TOTAL


@pytest.mark.parametrize(
    ("phase", "old", "new"),
    [
        (RolloutPhase.PREPARING, 6, 1),
        (RolloutPhase.STEP, 4, 3),
        (RolloutPhase.PAUSED, 4, 2),
        (RolloutPhase.HOLDING, 4, 2),
        (RolloutPhase.PROMOTING, 1, 6),
        (RolloutPhase.BAKING, 1, 6),
        (RolloutPhase.ROLLING_BACK, 6, 1),
    ],
)
def test_a_total_that_rises_is_followed_as_far_as_the_phase_may(
    phase: RolloutPhase, old: int, new: int
) -> None:
    """From 4 to 6 with E 1: stable first; what waits makes no canary pod, what bakes no old one."""
    decision = RUNNING[phase]().asking(total=6).look()
    assert dict(decision.sizes) == {OLD: old, NEW: new}
    assert decision.rollout.held_total == 6


@pytest.mark.parametrize("total", [2, 9])
def test_a_first_revision_follows_every_total(total: int) -> None:
    """Nothing serves yet that would have to be kept."""
    decision = builders.first(Pods(starting=TOTAL)).asking(total=total).look()
    assert dict(decision.sizes) == {NEW: total}


@pytest.mark.parametrize("phase", RUNNING)
def test_pods_of_a_third_revision_go_and_take_room_until_then(phase: RolloutPhase) -> None:
    """Wherever they come from; stable and canary make no pod in their place before."""
    scene = RUNNING[phase]()
    seen = scene.world
    third = replace(
        scene,
        world=replace(
            seen,
            existing={**seen.existing, NEXT: 5},
            ready={**seen.ready, NEXT: 5},
            replicas={**seen.replicas, NEXT: 5},
        ),
    ).asking(total=6)
    sizes = third.look().sizes
    assert sizes[NEXT] == 0
    assert all(sizes[hash_] <= seen.replicas[hash_] for hash_ in (OLD, NEW))
