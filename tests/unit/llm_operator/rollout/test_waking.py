"""When the next pass is due: nothing changes by time alone before the moment that is named."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import OnFailure, Strategy
from llm_operator.rollout.state import (
    AppliedTraffic,
    Decision,
    Frozen,
    Judgement,
    Pause,
    Step,
    VerdictOutcome,
    World,
)
from tests import rollout_builders as builders
from tests.builders import NOW
from tests.rollout_builders import FROZEN, NEW, NEXT, OLD, POLICY, Pods, Scene, a_world

SCENES: tuple[Callable[[], Scene], ...] = (
    builders.at_rest,
    lambda: builders.at_rest().asking(NEW),
    lambda: builders.first(Pods(1, starting=3)),
    builders.preparing,
    builders.stepping,
    builders.paused,
    lambda: builders.paused(Reason.PAUSED_BY_SPEC),
    lambda: builders.paused(Reason.PAUSED_BY_FAILURE),
    builders.holding,
    builders.promoting,
    builders.baking,
    builders.rolling_back,
    builders.rolled_back,
)
MOMENTS = st.none() | st.sampled_from([-10, 20, 900]).map(lambda s: NOW + timedelta(seconds=s))
PAST = st.none() | st.sampled_from([0, 3, 20, 45, 1700, 1900]).map(
    lambda s: NOW - timedelta(seconds=s)
)
PODS = st.builds(Pods, st.integers(0, 4), st.integers(0, 2), st.integers(0, 2))
VERDICTS = st.none() | st.tuples(
    st.sampled_from(VerdictOutcome),
    st.sampled_from([Reason.LIMITS_KEPT, Reason.METRICS_MISSING, Reason.ERRORS_TOO_HIGH]),
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "weight_percent": st.sampled_from([0, 20, 25, 50, 75, 100]),
        "deadline_at": MOMENTS,
        "applied_at": PAST,
        "unapplied_since": PAST,
        "lost_since": PAST,
        "pause_until": MOMENTS,
        "pause_done": st.booleans(),
        "promote_asked": st.booleans(),
        "pause_asked": st.booleans(),
        "stable_lost_since": PAST,
        "stable_was_ready": st.booleans(),
        "ready_peak": st.integers(0, 4),
    },
)
POLICIES = st.builds(
    lambda paused, on_failure, steps, short: replace(
        POLICY,
        paused=paused,
        on_failure=on_failure,
        steps=steps,
        progress_deadline=timedelta(seconds=40 if short else 1800),
    ),
    st.booleans(),
    st.sampled_from(OnFailure),
    st.sampled_from(
        [
            POLICY.steps,
            (Step(20), Step(50, pause=Pause(90)), Step(90)),
            (Step(60, min_seconds=0),),
            (Step(10), Step(30), Step(40)),
        ]
    ),
    st.booleans(),
)
FROZENS = st.builds(
    lambda strategy, extra, percent, direct: replace(
        FROZEN,
        strategy=strategy,
        max_extra_replicas=extra,
        min_serving_percent=percent,
        replaces_directly=direct,
    ),
    st.sampled_from(Strategy),
    st.integers(0, 2),
    st.sampled_from([0, 50, 75]),
    st.booleans(),
)


class Still:
    """A world in which nothing happens but that shares are applied, or not."""

    def __init__(self, scene: Scene, verdict: object, *, applies: bool) -> None:
        self.scene = scene
        self._verdict = verdict
        self._applies = applies

    def look(self, seconds: float = 0) -> Decision:
        """Take a pass later on, without keeping what it decides."""
        rollout = self.scene.rollout
        traffic = AppliedTraffic(rollout.weight_percent, is_applied=self._applies)
        world = replace(self.scene.world, traffic=traffic)
        judgement: Judgement | None = None
        if isinstance(self._verdict, tuple) and rollout.window_started_at is not None:
            outcome, reason = self._verdict
            missing = reason is Reason.METRICS_MISSING
            since = rollout.window_started_at
            judgement = Judgement(since, outcome, reason, "", is_missing=missing)
        scene = replace(self.scene, world=world, judgement=judgement)
        return scene.after(seconds).look()

    def keep(self, seconds: float = 0) -> Decision:
        """Take a pass later on, and keep what it decides; pods stay as they are."""
        decision = self.look(seconds)
        kept = replace(self.scene, rollout=decision.rollout, stable=decision.stable)
        self.scene = replace(kept, intent=replace(kept.intent, command=None)).after(seconds)
        return decision


def _but(scene: Scene, changes: Mapping[str, object], frozen: Frozen, world: World) -> Scene:
    is_running = scene.rollout.frozen is not None
    keeps = {"stable_lost_since", "stable_was_ready"}
    mine = {name: value for name, value in changes.items() if is_running or name in keeps}
    if scene.stable is None:
        mine["weight_percent"] = 100
        frozen = replace(frozen, replaces_directly=True)
    scene = replace(scene, world=world).but(**mine)
    return scene.but(frozen=frozen) if is_running else scene


@st.composite
def stills(draw: st.DrawFn) -> Still:
    """Draw a rollout in any phase and condition, and look at it until it stays."""
    scene = draw(st.sampled_from(SCENES))()
    worlds = st.builds(
        lambda old, new, third: a_world(old=old, new=new, next=third), PODS, PODS, PODS
    )
    lost = st.builds(lambda old: a_world(old=old, new=Pods(starting=2)), PODS)
    world = draw(st.just(scene.world) | st.just(scene.world) | lost | worlds)
    frozen = draw(st.just(scene.rollout.frozen or FROZEN) | FROZENS)
    scene = _but(scene, draw(CHANGES), frozen, world)
    asked = scene.intent.target
    target = draw(st.sampled_from([asked, asked, asked, OLD, NEW, NEXT]))
    total = draw(st.sampled_from([4, 4, 4, 2, 6]))
    policy = draw(st.just(POLICY) | POLICIES)
    intent = replace(scene.intent, policy=policy, target=target, total=total)
    scene = replace(scene, intent=intent)
    return Still(scene, draw(VERDICTS), applies=draw(st.booleans()))


def _settle(still: Still) -> Decision:
    for _ in range(12):
        before = still.scene
        decision = still.keep()
        if still.scene == before:
            return decision
    raise AssertionError("it changes for ever although nothing happens")


@settings(max_examples=300)
@given(stills(), st.floats(0.01, 0.99))
def test_nothing_is_due_before_the_moment_that_is_named(still: Still, part: float) -> None:
    """A pass in between decides what the last one decided; without a moment, any later pass."""
    decision = _settle(still)
    wake = decision.wake_at
    days = timedelta(days=30).total_seconds()
    span = days if wake is None else (wake - NOW).total_seconds()
    moments = (span * part, span) if wake is None else (span * part, span - 1)

    for seconds in moments:
        again = still.look(seconds)
        assert again.rollout == decision.rollout
        assert again.stable == decision.stable
        assert again.sizes == decision.sizes
        assert again.wake_at == wake


@settings(max_examples=150)
@given(stills())
def test_a_moment_that_is_named_lies_ahead_and_their_number_ends(still: Still) -> None:
    """Where nothing happens, an operator looks a few dozen times at most, and then no more."""
    for _ in range(60):
        wake = still.keep().wake_at
        if wake is None:
            return
        assert wake > still.scene.now
        still.keep((wake - still.scene.now).total_seconds())
    raise AssertionError(f"it wakes for ever in {still.scene.rollout.phase}")
