"""The table of events: what every command and every edit does in every phase."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from llm_operator.api.command import CommandVerb
from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import OnFailure
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.state import Pause, Step, VerdictOutcome
from tests import rollout_builders as builders
from tests.rollout_builders import NEW, NEXT, OLD, TOTAL, Pods, Scene, reasons

SCENES: dict[RolloutPhase, Callable[[], Scene]] = {
    RolloutPhase.STABLE: lambda: builders.at_rest().but(target=OLD),
    RolloutPhase.PREPARING: builders.preparing,
    RolloutPhase.STEP: builders.stepping,
    RolloutPhase.PAUSED: builders.paused,
    RolloutPhase.HOLDING: builders.holding,
    RolloutPhase.PROMOTING: builders.promoting,
    RolloutPhase.BAKING: builders.baking,
    RolloutPhase.ROLLING_BACK: builders.rolling_back,
    RolloutPhase.ROLLED_BACK: builders.rolled_back,
}
STEP, PAUSED, PROMOTING = RolloutPhase.STEP, RolloutPhase.PAUSED, RolloutPhase.PROMOTING
BACK = RolloutPhase.ROLLING_BACK
FITS: dict[tuple[CommandVerb, RolloutPhase], RolloutPhase] = {
    (CommandVerb.ABORT, RolloutPhase.PREPARING): RolloutPhase.ROLLED_BACK,
    (CommandVerb.ABORT, RolloutPhase.STEP): BACK,
    (CommandVerb.ABORT, RolloutPhase.PAUSED): BACK,
    (CommandVerb.ABORT, RolloutPhase.HOLDING): BACK,
    (CommandVerb.ABORT, RolloutPhase.PROMOTING): BACK,
    (CommandVerb.ABORT, RolloutPhase.BAKING): BACK,
    (CommandVerb.PROMOTE, RolloutPhase.PREPARING): RolloutPhase.PREPARING,
    (CommandVerb.PROMOTE, RolloutPhase.STEP): PROMOTING,
    (CommandVerb.PROMOTE, RolloutPhase.PAUSED): PROMOTING,
    (CommandVerb.PROMOTE, RolloutPhase.HOLDING): PROMOTING,
    (CommandVerb.PROMOTE, RolloutPhase.PROMOTING): PROMOTING,
    (CommandVerb.PROMOTE, RolloutPhase.BAKING): RolloutPhase.STABLE,
    (CommandVerb.PROMOTE_STEP, RolloutPhase.STEP): STEP,
    (CommandVerb.PROMOTE_STEP, RolloutPhase.PAUSED): STEP,
    (CommandVerb.PROMOTE_STEP, RolloutPhase.HOLDING): STEP,
    (CommandVerb.PAUSE, RolloutPhase.PREPARING): RolloutPhase.PREPARING,
    (CommandVerb.PAUSE, RolloutPhase.STEP): PAUSED,
    (CommandVerb.PAUSE, RolloutPhase.PAUSED): PAUSED,
    (CommandVerb.PAUSE, RolloutPhase.HOLDING): RolloutPhase.HOLDING,
    (CommandVerb.RESUME, RolloutPhase.PAUSED): STEP,
    (CommandVerb.RETRY, RolloutPhase.ROLLED_BACK): RolloutPhase.PREPARING,
}
"""Where each command leads; what is not named is stale."""
STALE = [(verb, phase) for verb in CommandVerb for phase in SCENES if (verb, phase) not in FITS]


def test_every_phase_has_a_scene() -> None:
    """A phase that is added gets its column of the table."""
    assert set(SCENES) == set(RolloutPhase)
    assert all(scene().rollout.phase is phase for phase, scene in SCENES.items())


@pytest.mark.parametrize("phase", SCENES)
def test_a_scene_stays_in_its_phase_by_itself(phase: RolloutPhase) -> None:
    """What a command does is then the command's alone."""
    assert SCENES[phase]().look().rollout.phase is phase


@pytest.mark.parametrize(("verb", "phase"), FITS)
def test_a_command_that_fits_is_carried_out_and_said(
    verb: CommandVerb, phase: RolloutPhase
) -> None:
    """It leads where the table of events says, and its nonce is remembered."""
    decision = SCENES[phase]().told(verb).look()

    assert decision.rollout.phase is FITS[verb, phase]
    assert Reason.COMMAND_EXECUTED in reasons(decision)
    assert decision.rollout.commands == ("n1",)


@pytest.mark.parametrize(("verb", "phase"), STALE)
def test_a_command_without_meaning_is_stale_and_changes_nothing(
    verb: CommandVerb, phase: RolloutPhase
) -> None:
    """The rollout goes on as it would without it; only the nonce is remembered."""
    scene = SCENES[phase]()
    without, decision = scene.look(), scene.told(verb, scene.rollout.target or "").look()

    assert reasons(decision) - reasons(without) == {Reason.STALE_COMMAND}
    assert replace(decision.rollout, commands=()) == without.rollout
    assert decision.sizes == without.sizes
    assert decision.rollout.commands == ("n1",)


@pytest.mark.parametrize("phase", SCENES)
@pytest.mark.parametrize("verb", CommandVerb)
def test_a_command_is_looked_at_once(verb: CommandVerb, phase: RolloutPhase) -> None:
    """The annotation stays where it is; a nonce that is known does and says nothing."""
    scene = SCENES[phase]().but(commands=("n1",))
    assert scene.told(verb).look() == scene.look()


@pytest.mark.parametrize("phase", SCENES)
@pytest.mark.parametrize("verb", CommandVerb)
def test_a_command_for_another_revision_is_stale(verb: CommandVerb, phase: RolloutPhase) -> None:
    """A copy that lies in Git cannot move a later rollout."""
    decision = SCENES[phase]().told(verb, NEXT).look()
    assert Reason.STALE_COMMAND in reasons(decision)
    assert decision.rollout.phase is phase


def test_abort_rejects_the_revision_in_every_phase_that_it_ends() -> None:
    """What somebody broke off does not begin again by itself."""
    for verb, phase in FITS:
        if verb is CommandVerb.ABORT:
            decision = SCENES[phase]().told(verb).look()
            assert decision.rollout.rejected == (NEW,), phase
            assert decision.rollout.cause is Reason.ABORTED, phase
            assert decision.stable == OLD, phase


@pytest.mark.parametrize("verb", [CommandVerb.ABORT, CommandVerb.PROMOTE])
def test_a_first_revision_is_neither_aborted_nor_promoted(verb: CommandVerb) -> None:
    """There is nothing to go back to, and nothing that it would take over from."""
    decision = builders.first(Pods(1, starting=3)).told(verb).look()
    assert decision.rollout.phase is RolloutPhase.PREPARING
    assert Reason.STALE_COMMAND in reasons(decision)
    assert decision.rollout.rejected == ()


def test_promote_before_a_pod_is_ready_is_remembered() -> None:
    """The first pod that gets ready goes straight on to the promotion."""
    waiting = builders.preparing().told(CommandVerb.PROMOTE).passed()
    assert waiting.rollout.promote_asked
    ready = waiting.seeing(old=Pods(TOTAL), new=Pods(1))
    assert ready.look().rollout.phase is PROMOTING


def test_promote_passes_missing_metrics() -> None:
    """A person vouches for the revision; what cannot be measured does not hold it again."""
    promoting = builders.holding().told(CommandVerb.PROMOTE).passed()
    again = promoting.hearing(VerdictOutcome.INCONCLUSIVE, Reason.METRICS_MISSING)
    assert again.look().rollout.phase is PROMOTING


def test_promote_while_it_is_promoted_vouches_as_well() -> None:
    """From then on missing metrics do not hold it, as if it had been said a moment earlier."""
    promoting = builders.promoting().told(CommandVerb.PROMOTE).passed()
    blind = promoting.hearing(VerdictOutcome.INCONCLUSIVE, Reason.METRICS_MISSING)
    assert blind.look().rollout.phase is PROMOTING


def test_promote_overrules_the_failure_that_paused() -> None:
    """The verdict that was seen does not count again; the pods do."""
    failed = builders.paused(Reason.PAUSED_BY_FAILURE).with_policy(on_failure=OnFailure.PAUSE)
    bad = failed.hearing(VerdictOutcome.FAIL, Reason.ERRORS_TOO_HIGH)
    assert bad.told(CommandVerb.PROMOTE).look().rollout.phase is PROMOTING


def test_promote_step_goes_to_the_next_weight() -> None:
    """50 percent are followed by 75, from wherever the step waits."""
    for scene in (builders.stepping(), builders.paused(), builders.holding()):
        rollout = scene.told(CommandVerb.PROMOTE_STEP).look().rollout
        assert (rollout.step, rollout.step_weight_percent) == (2, 75)


def test_promote_step_follows_the_steps_that_the_spec_has_now() -> None:
    """Steps that were edited in the same moment are counted anew."""
    steps = (Step(10), Step(25), Step(50), Step(100))
    scene = builders.stepping().with_policy(steps=steps).told(CommandVerb.PROMOTE_STEP)
    assert scene.look().rollout.step_weight_percent == 100


def test_pause_while_preparing_stops_before_the_first_step() -> None:
    """It is remembered until the first pods are ready, which then get no traffic."""
    waiting = builders.preparing().told(CommandVerb.PAUSE).passed()
    decision = waiting.seeing(old=Pods(TOTAL), new=Pods(1)).look()
    assert decision.rollout.phase is PAUSED
    assert decision.rollout.paused_by is Reason.PAUSED_BY_COMMAND
    assert decision.rollout.weight_percent == 0


def test_resume_goes_to_the_next_step() -> None:
    """Not back into the one that was paused."""
    for by in (Reason.PAUSED_BY_STEP, Reason.PAUSED_BY_COMMAND, Reason.PAUSED_BY_FAILURE):
        rollout = builders.paused(by).told(CommandVerb.RESUME).look().rollout
        assert (rollout.phase, rollout.step) == (STEP, 2)


def test_a_paused_spec_wins_over_resume_and_retry() -> None:
    """They are refused with the reason."""
    for scene, verb in (
        (builders.paused(), CommandVerb.RESUME),
        (builders.rolled_back(), CommandVerb.RETRY),
    ):
        decision = scene.with_policy(paused=True).told(verb).look()
        assert decision.rollout.phase is scene.rollout.phase
        note = next(note for note in decision.notes if note.reason is Reason.STALE_COMMAND)
        assert "spec.rollout.paused" in note.message


def test_promote_passes_a_paused_spec_and_promote_step_does_not() -> None:
    """A step would pause again before its share moves: steps that nobody sees are not passed."""
    scene = builders.paused(Reason.PAUSED_BY_SPEC).with_policy(paused=True)
    assert scene.told(CommandVerb.PROMOTE).look().rollout.phase is PROMOTING
    decision = scene.told(CommandVerb.PROMOTE_STEP).look()
    assert decision.rollout.step == scene.rollout.step
    [note] = decision.notes
    assert note.reason is Reason.STALE_COMMAND
    assert "spec.rollout.paused is true" in note.message


def test_retry_forgets_the_rejection() -> None:
    """The same hash begins again, and no longer counts as rejected."""
    rollout = builders.rolled_back().told(CommandVerb.RETRY).look().rollout
    assert (rollout.phase, rollout.target, rollout.rejected) == (
        RolloutPhase.PREPARING,
        NEW,
        (),
    )


def test_retry_is_about_the_revision_that_the_spec_has() -> None:
    """After an edit the new revision begins by itself, and the old one is not meant."""
    decision = builders.rolled_back().asking(NEXT).told(CommandVerb.RETRY).look()
    assert decision.rollout.target == NEXT
    assert Reason.STALE_COMMAND in reasons(decision)


def test_resume_never_lowers_the_share_of_a_promotion_that_was_stopped() -> None:
    """What was paused on the way to 100 percent goes on to 100 percent."""
    early = builders.stepping().told(CommandVerb.PROMOTE).passed()
    failing = early.with_policy(on_failure=OnFailure.PAUSE).but(weight_percent=60)
    stopped = failing.hearing(VerdictOutcome.FAIL, Reason.ERRORS_TOO_HIGH).passed()
    assert stopped.rollout.phase is PAUSED

    resumed = stopped.told(CommandVerb.RESUME, nonce="n2").look().rollout

    assert resumed.phase is PROMOTING
    assert resumed.weight_percent == 60


@pytest.mark.parametrize(
    ("scene", "limit"),
    [(builders.stepping, 64), (builders.rolled_back, 16), (SCENES[RolloutPhase.STABLE], 16)],
)
def test_commands_that_are_remembered_are_bounded(scene: Callable[[], Scene], limit: int) -> None:
    """64 while a rollout runs, the last 16 at rest."""
    known = tuple(str(number) for number in range(100))
    told = (
        scene().but(commands=known[:limit]).told(CommandVerb.RESUME, scene().rollout.target or "")
    )
    assert told.look().rollout.commands == (*known[1:limit], "n1")


def test_a_rollback_that_ends_keeps_the_last_commands_alone() -> None:
    """As every other end does."""
    known = tuple(str(number) for number in range(40))
    scene = builders.rolling_back().but(commands=known).seeing(old=Pods(TOTAL))
    rollout = scene.look().rollout
    assert rollout.phase is RolloutPhase.ROLLED_BACK
    assert rollout.commands == known[-16:]


UNDER_WAY = (
    RolloutPhase.PREPARING,
    RolloutPhase.STEP,
    RolloutPhase.PAUSED,
    RolloutPhase.HOLDING,
    RolloutPhase.PROMOTING,
)


@pytest.mark.parametrize("phase", UNDER_WAY)
def test_another_edit_goes_back_first_and_rejects_nothing(phase: RolloutPhase) -> None:
    """Stable is made whole, then the newest revision begins."""
    back = SCENES[phase]().asking(NEXT).passed()
    if phase is not RolloutPhase.PREPARING:
        assert back.rollout.phase is BACK
        assert back.rollout.cause is Reason.SUPERSEDED
    assert back.rollout.rejected == ()

    decision = back.seeing(old=Pods(TOTAL)).look()

    assert (decision.rollout.phase, decision.rollout.target) == (RolloutPhase.PREPARING, NEXT)
    assert decision.stable == OLD


@pytest.mark.parametrize("phase", UNDER_WAY)
def test_an_edit_back_to_stable_ends_in_stable(phase: RolloutPhase) -> None:
    """Nothing is rejected, and no pod of another revision is left or made."""
    back = SCENES[phase]().asking(OLD).passed()
    assert back.rollout.rejected == ()

    decision = back.seeing(old=Pods(TOTAL)).look()

    assert (decision.rollout.phase, decision.stable) == (RolloutPhase.STABLE, OLD)
    assert dict(decision.sizes) == {OLD: TOTAL}


def test_an_edit_while_baking_ends_the_bake() -> None:
    """The new revision stays, and is the way back of the next rollout."""
    decision = builders.baking().asking(NEXT).look()
    assert (decision.rollout.phase, decision.rollout.target) == (RolloutPhase.PREPARING, NEXT)
    assert decision.stable == NEW


def test_an_edit_back_while_baking_takes_the_pointer_back() -> None:
    """The revision that baked is not rejected."""
    decision = builders.baking().asking(OLD).look()
    assert (decision.rollout.phase, decision.stable) == (BACK, OLD)
    assert (decision.rollout.cause, decision.rollout.rejected) == (Reason.REVERTED, ())


@pytest.mark.parametrize("target", [NEXT, OLD])
def test_an_edit_while_it_goes_back_waits_for_the_end(target: str) -> None:
    """The rollback goes on as it was; what it is about stays rejected."""
    decision = builders.rolling_back().asking(target).look()
    assert (decision.rollout.phase, decision.rollout.target) == (BACK, NEW)
    assert decision.rollout.rejected == (NEW,)


def test_after_a_rejection_another_edit_begins_and_the_old_spec_is_at_rest() -> None:
    """A new revision is tried; the spec of the stable one asks for nothing."""
    assert builders.rolled_back().asking(NEXT).look().rollout.phase is RolloutPhase.PREPARING
    assert builders.rolled_back().asking(OLD).look().rollout.phase is RolloutPhase.STABLE


def test_steps_that_changed_go_on_at_the_first_that_is_not_lower() -> None:
    """From 50 percent to the step of 60, the one of 50 if there is one, else no further."""
    stepping = builders.stepping()
    onward = stepping.with_policy(steps=(Step(5), Step(60), Step(100))).look().rollout
    same = stepping.with_policy(steps=(Step(5), Step(20), Step(50))).look().rollout
    last = stepping.with_policy(steps=(Step(5), Step(20))).look().rollout

    assert (onward.step, onward.step_weight_percent) == (1, 60)
    assert (same.step, same.window_started_at) == (2, stepping.rollout.window_started_at)
    assert (last.step, last.step_weight_percent, last.weight_percent) == (1, 50, 50)


def test_steps_that_changed_while_it_held_count_when_it_goes_on() -> None:
    """Also where no step is as low as the present share."""
    held = builders.holding().with_policy(steps=(Step(80), Step(100)))
    back = held.passed().hearing(VerdictOutcome.PASS)
    rollout = back.look().rollout
    assert (rollout.phase, rollout.step, rollout.step_weight_percent) == (STEP, 0, 80)


def test_steps_that_changed_during_a_pause_do_not_end_it() -> None:
    """``promote-step`` then goes to the first step that is higher."""
    steps = (Step(30), Step(60, pause=Pause()), Step(100))
    still = builders.paused().with_policy(steps=steps).passed()
    assert still.rollout.phase is PAUSED
    rollout = still.told(CommandVerb.PROMOTE_STEP).look().rollout
    assert rollout.step_weight_percent == 60
