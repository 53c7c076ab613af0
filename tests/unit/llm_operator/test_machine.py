"""Rules of the machine that replaces one revision by another."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_operator.api.spec import Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.machine import PROXY_DELAY, advance
from llm_operator.rollout.state import Decision, Intent, Outcome, Rollout, World

START = datetime(2026, 1, 1, tzinfo=UTC)
DEADLINE = timedelta(minutes=30)
BOTH = [Strategy.BLUE_GREEN, Strategy.RECREATE]


class SimulatedCluster:
    """A Deployment controller, an endpoint controller and a clock, stepped one event at a time."""

    def __init__(self) -> None:
        self.now = START
        self.rollout = Rollout()
        self.stable: str | None = None
        self.deployments: dict[str, int] = {}
        self.pods: dict[str, list[str]] = {}
        self.endpoints: frozenset[str] = frozenset()
        self.selected: str | None = None
        self.broken: set[str] = set()
        self.decision: Decision | None = None

    def world(self) -> World:
        return World(
            ready={h: pods.count("ready") for h, pods in self.pods.items()},
            existing={h: len(pods) for h, pods in self.pods.items()},
            replicas=dict(self.deployments),
            endpoints=self.endpoints,
        )

    def reconcile(self, target: str, total: int, strategy: Strategy) -> Decision:
        intent = Intent(target, total, strategy, DEADLINE)
        decision = advance(self.rollout, self.stable, intent, self.world(), self.now)
        self.rollout, self.stable = decision.rollout, decision.stable
        self.deployments = dict(decision.sizes)
        self.selected = decision.selected
        self.decision = decision
        return decision

    def controllers(self) -> None:
        """Let the cluster's controllers make one step of progress each."""
        for hash_ in {*self.pods, *self.deployments}:
            pods = [pod for pod in self.pods.get(hash_, []) if pod != "terminating"]
            size = self.deployments.get(hash_, 0)
            state = "starting" if hash_ in self.broken else "ready"
            leaving = ["terminating"] * max(0, len(pods) - size)
            starting = ["starting"] * max(0, size - len(pods))
            self.pods[hash_] = [state] * min(len(pods), size) + starting + leaving
        ready = "ready" in self.pods.get(self.selected or "", [])
        self.endpoints = frozenset({self.selected}) if ready and self.selected else frozenset()

    def settle(self, target: str, total: int, strategy: Strategy, rounds: int = 40) -> Decision:
        for _ in range(rounds):
            self.reconcile(target, total, strategy)
            self.controllers()
            self.now += timedelta(seconds=2)
        return self.reconcile(target, total, strategy)


def a_settled_cluster(target: str = "one", total: int = 2) -> SimulatedCluster:
    """Return a cluster in which ``target`` is stable and idle."""
    cluster = SimulatedCluster()
    cluster.settle(target, total, Strategy.BLUE_GREEN)
    return cluster


def test_the_first_revision_becomes_stable_only_when_all_its_pods_are_ready() -> None:
    """Without a stable revision the Service selects the target, which becomes stable when ready."""
    cluster = SimulatedCluster()

    first = cluster.reconcile("one", 2, Strategy.BLUE_GREEN)
    settled = cluster.settle("one", 2, Strategy.BLUE_GREEN)

    assert (first.stable, first.selected, first.sizes) == (None, "one", {"one": 2})
    assert (settled.stable, settled.outcome) == ("one", Outcome.IDLE)
    assert settled.rollout.phase is None


@pytest.mark.parametrize("strategy", BOTH)
def test_a_good_revision_ends_as_stable_and_the_old_one_is_gone(strategy: Strategy) -> None:
    """Every change to a revision that becomes ready ends idle, with only its own Deployment."""
    cluster = a_settled_cluster()

    settled = cluster.settle("two", 2, strategy)

    assert (settled.stable, settled.outcome) == ("two", Outcome.IDLE)
    assert settled.sizes == {"two": 2}
    assert "ready" not in cluster.pods["one"]


def test_blue_green_keeps_the_old_pods_until_proxies_have_learned_the_new_ones() -> None:
    """The old Deployment shrinks no earlier than 5 s after the endpoints show only new pods."""
    cluster = a_settled_cluster()
    while cluster.selected != "two":
        cluster.reconcile("two", 2, Strategy.BLUE_GREEN)
        cluster.controllers()
    moved_at = cluster.now

    while cluster.deployments.get("one"):
        cluster.now += timedelta(seconds=1)
        cluster.reconcile("two", 2, Strategy.BLUE_GREEN)
        cluster.controllers()

    assert cluster.now - moved_at >= PROXY_DELAY


def test_recreate_starts_no_pod_while_an_old_one_exists() -> None:
    """Recreate waits until the old pods' objects are gone, terminating ones included."""
    cluster = a_settled_cluster()

    decision = cluster.reconcile("two", 2, Strategy.RECREATE)
    cluster.pods["one"] = ["terminating"]
    waiting = cluster.reconcile("two", 2, Strategy.RECREATE)
    cluster.pods["one"] = []
    started = cluster.reconcile("two", 2, Strategy.RECREATE)

    assert decision.sizes.get("two", 0) == 0
    assert waiting.sizes.get("two", 0) == 0
    assert started.sizes["two"] == 2


def test_a_revision_that_misses_the_deadline_is_rejected_and_not_tried_again() -> None:
    """BlueGreen rejects at the deadline, keeps stable and ignores the hash until another edit."""
    cluster = a_settled_cluster()
    cluster.broken.add("two")
    cluster.settle("two", 2, Strategy.BLUE_GREEN)
    cluster.now += DEADLINE

    rejected = cluster.settle("two", 2, Strategy.BLUE_GREEN)

    assert (rejected.stable, rejected.outcome) == ("one", Outcome.REJECTED)
    assert rejected.sizes == {"one": 2, "two": 0}
    assert rejected.rollout.rejected == ("two",)


def test_a_rejected_revision_is_tried_again_after_the_spec_left_it() -> None:
    """A rejection is kept while the spec has that hash, and forgotten by an edit and its return."""
    cluster = a_settled_cluster()
    cluster.broken.add("two")
    cluster.settle("two", 2, Strategy.BLUE_GREEN)
    cluster.now += DEADLINE
    cluster.settle("two", 2, Strategy.BLUE_GREEN)

    cluster.settle("one", 2, Strategy.BLUE_GREEN)
    cluster.broken.clear()
    settled = cluster.settle("two", 2, Strategy.BLUE_GREEN)

    assert settled.stable == "two"
    assert settled.rollout.rejected == ()


def test_recreate_goes_on_trying_past_the_deadline() -> None:
    """Recreate has nothing to fall back to: it is overdue, and still becomes stable when ready."""
    cluster = a_settled_cluster()
    cluster.broken.add("two")
    cluster.settle("two", 2, Strategy.RECREATE)
    cluster.now += DEADLINE * 2

    overdue = cluster.reconcile("two", 2, Strategy.RECREATE)
    cluster.broken.clear()
    settled = cluster.settle("two", 2, Strategy.RECREATE)

    assert (overdue.outcome, overdue.sizes["two"]) == (Outcome.OVERDUE, 2)
    assert settled.stable == "two"


@pytest.mark.parametrize("strategy", BOTH)
def test_an_edit_while_preparing_removes_the_superseded_pods_first(strategy: Strategy) -> None:
    """The third revision starts only when every pod object of the second is gone."""
    cluster = a_settled_cluster()
    cluster.broken.add("two")
    cluster.settle("two", 2, strategy)

    decision = cluster.reconcile("three", 2, strategy)
    cluster.controllers()
    while cluster.pods["two"]:
        assert cluster.reconcile("three", 2, strategy).sizes.get("three", 0) == 0
        cluster.controllers()
    settled = cluster.settle("three", 2, strategy)

    assert decision.outcome is Outcome.CLEARING
    assert settled.stable == "three"


def test_an_edit_back_to_stable_creates_nothing() -> None:
    """Reverting while the new revision prepares removes its pods and leaves stable alone."""
    cluster = a_settled_cluster()
    cluster.broken.add("two")
    cluster.settle("two", 2, Strategy.BLUE_GREEN)
    before = list(cluster.pods["one"])

    settled = cluster.settle("one", 2, Strategy.BLUE_GREEN)

    assert (settled.stable, settled.outcome, settled.sizes) == ("one", Outcome.IDLE, {"one": 2})
    assert cluster.pods["one"] == before


def test_zero_is_obeyed_at_once_and_moves_the_pointer() -> None:
    """At total 0 a new revision is stable at once, and nothing runs."""
    cluster = a_settled_cluster()

    decision = cluster.reconcile("two", 0, Strategy.BLUE_GREEN)

    assert (decision.stable, decision.outcome) == ("two", Outcome.STOPPED)
    assert not any(decision.sizes.values())


def test_a_change_of_strategy_takes_effect_with_the_next_revision() -> None:
    """The strategy is frozen when a rollout starts."""
    cluster = a_settled_cluster()
    cluster.broken.add("two")
    cluster.reconcile("two", 2, Strategy.BLUE_GREEN)

    decision = cluster.settle("two", 2, Strategy.RECREATE)

    assert decision.sizes == {"one": 2, "two": 2}


def a_move_in_progress() -> SimulatedCluster:
    """Return a cluster whose Service has just been moved from one to two, both at full size."""
    cluster = a_settled_cluster()
    while cluster.stable != "two":
        cluster.reconcile("two", 2, Strategy.BLUE_GREEN)
        cluster.controllers()
    return cluster


def test_a_move_to_pods_that_die_at_once_is_taken_back() -> None:
    """New pods that fail with the first traffic lose it again, and the revision is rejected."""
    cluster = a_move_in_progress()
    cluster.pods["two"] = ["starting", "starting"]
    cluster.broken.add("two")

    decision = cluster.reconcile("two", 2, Strategy.BLUE_GREEN)
    settled = cluster.settle("two", 2, Strategy.BLUE_GREEN)

    assert (decision.stable, decision.selected) == ("one", "one")
    assert settled.outcome is Outcome.REJECTED
    assert settled.sizes == {"one": 2, "two": 0}


def test_an_edit_back_during_a_move_moves_back_without_a_new_pod() -> None:
    """While the old pods still stand, reverting is a pointer move and rejects nothing."""
    cluster = a_move_in_progress()
    before = list(cluster.pods["one"])

    decision = cluster.reconcile("one", 2, Strategy.BLUE_GREEN)
    settled = cluster.settle("one", 2, Strategy.BLUE_GREEN)

    assert decision.selected == "one"
    assert (settled.stable, settled.sizes) == ("one", {"one": 2})
    assert settled.rollout.rejected == ()
    assert cluster.pods["one"] == before


def test_one_ready_pod_of_many_does_not_let_the_old_ones_go() -> None:
    """The old pods stay until all new ones are ready behind the Service."""
    cluster = a_move_in_progress()
    cluster.pods["two"] = ["ready", "starting"]
    cluster.endpoints = frozenset({"two"})

    for _ in range(10):
        cluster.now += timedelta(seconds=2)
        decision = cluster.reconcile("two", 2, Strategy.BLUE_GREEN)

    assert decision.sizes["one"] == 2


def test_the_deadline_counts_from_the_first_possible_pod() -> None:
    """A revision that waits for a superseded pod to end is not late."""
    cluster = a_settled_cluster()
    cluster.broken.add("two")
    cluster.settle("two", 2, Strategy.BLUE_GREEN)
    cluster.reconcile("three", 2, Strategy.BLUE_GREEN)
    cluster.pods["two"] = ["terminating"]
    cluster.now += DEADLINE * 2

    waiting = cluster.reconcile("three", 2, Strategy.BLUE_GREEN)
    settled = cluster.settle("three", 2, Strategy.BLUE_GREEN)

    assert waiting.outcome is Outcome.CLEARING
    assert settled.stable == "three"


def test_stopping_does_not_make_a_rejected_revision_stable() -> None:
    """Scaling to 0 and back after a rejection brings back what served."""
    cluster = a_settled_cluster()
    cluster.broken.add("two")
    cluster.settle("two", 2, Strategy.BLUE_GREEN)
    cluster.now += DEADLINE
    cluster.settle("two", 2, Strategy.BLUE_GREEN)

    stopped = cluster.settle("two", 0, Strategy.BLUE_GREEN)
    settled = cluster.settle("two", 2, Strategy.BLUE_GREEN)

    assert not any(stopped.sizes.values())
    assert (settled.stable, settled.outcome) == ("one", Outcome.REJECTED)
    assert settled.sizes["one"] == 2


EVENTS = st.one_of(
    st.tuples(st.just("edit"), st.sampled_from(["one", "two", "three"])),
    st.tuples(st.just("scale"), st.integers(0, 3)),
    st.tuples(st.just("break"), st.sampled_from(["one", "two", "three"])),
    st.tuples(st.just("mend"), st.just("")),
    st.tuples(st.just("wait"), st.sampled_from(["2", "10", "3600"])),
    st.tuples(st.just("strategy"), st.sampled_from([s.value for s in BOTH])),
    st.tuples(st.just("lose"), st.sampled_from(["one", "two", "three"])),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENTS, max_size=25))
def test_any_history_keeps_the_invariants_and_a_mended_world_converges(
    events: list[tuple[str, str | int]],
) -> None:
    """No third Deployment has pods started; stable serves on; and every good spec is reached."""
    cluster = SimulatedCluster()
    target, total, strategy = "one", 2, Strategy.BLUE_GREEN
    for name, value in events:
        match name:
            case "edit":
                target = str(value)
            case "scale":
                total = int(value)
            case "break":
                cluster.broken.add(str(value))
            case "mend":
                cluster.broken.clear()
            case "wait":
                cluster.now += timedelta(seconds=int(value))
            case "strategy":
                strategy = Strategy(str(value))
            case "lose":
                cluster.pods[str(value)] = []
        decision = cluster.reconcile(target, total, strategy)
        sized = [hash_ for hash_, size in decision.sizes.items() if size]
        assert len(sized) <= 2
        assert all(size in range(total + 1) for size in decision.sizes.values())
        blue_green = decision.rollout.strategy is Strategy.BLUE_GREEN
        if decision.stable and total and (decision.rollout.phase is None or blue_green):
            assert decision.sizes[decision.stable] == total
        again = cluster.reconcile(target, total, strategy)
        assert again == decision, "the same world decides the same"
        cluster.controllers()

    cluster.broken.clear()
    settled = cluster.settle("final", total, strategy)

    assert settled.stable == "final"
    assert settled.sizes == {"final": total}
    assert settled.rollout.phase is None


def test_a_phase_is_never_left_without_a_target() -> None:
    """What is persisted while a phase runs is enough for a second machine to go on."""
    cluster = a_settled_cluster()
    cluster.reconcile("two", 2, Strategy.BLUE_GREEN)

    rollout = cluster.rollout

    assert rollout.phase is RolloutPhase.PREPARING
    assert (rollout.target, rollout.strategy) == ("two", Strategy.BLUE_GREEN)
    assert rollout.deadline_at == cluster.now + DEADLINE
