"""One run, step by step, as a test tells it; every action is checked against every rule."""

from collections.abc import Callable
from typing import Final

from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.state import Rollout
from tests.models.rollouts import table
from tests.models.rollouts.act import acts
from tests.models.rollouts.cluster import NEW, NOBODY, OLD, Cluster, Pods
from tests.models.rollouts.ends import BAD, wrong_end
from tests.models.rollouts.events import Event
from tests.models.rollouts.invariants import OF_ACTIONS
from tests.models.rollouts.moves import Move, Pace, finish, happenings, later, moves
from tests.models.rollouts.operator import Machine, Operator, Pass
from tests.models.rollouts.situation import Setting, Shelf, Situation, Spec

MOVES_LIMIT: Final = 2000
"""More moves than any run without events has."""


class Run:
    """A resource whose first revision serves, and what becomes of it."""

    def __init__(self, setting: Setting, machine: Machine, shelf: Shelf | None = None) -> None:
        self._operator = Operator(setting, machine, shelf or Shelf())
        self._is_bad = False
        self.elapsed = 0
        """Seconds since the beginning."""
        self.broken: list[str] = []
        """Rules that did not hold, each with its problem."""
        self.told: list[str] = []
        """What happened, for people."""
        nothing = self._operator.shelf.keep(Rollout())
        limit = max(setting.total, 3)
        self.situation = Situation(
            nothing, NOBODY, Cluster(), Spec(OLD, setting.total, limit=limit)
        )
        self.settle()

    @property
    def rollout(self) -> Rollout:
        """What status keeps."""
        return self.situation.kept.rollout

    @property
    def phase(self) -> RolloutPhase:
        """Where the rollout is."""
        return self.rollout.phase

    def pods(self, revision: int) -> Pods:
        """Return the pods of a revision."""
        return self.situation.cluster.revisions[revision]

    def edit(self) -> "Run":
        """Write another revision into the spec."""
        spec = self.situation.spec._replace(target=NEW)
        self.situation = self.situation._replace(spec=spec)
        return self

    def happen(self, event: Event, choice: int = 0) -> "Run":
        """Let an event happen; one that changes nothing here is none."""
        found = [after for e, after in happenings(self._operator, self.situation) if e is event]
        if not found:
            return self
        before, self.situation = self.situation, found[choice % len(found)]
        self.told.append(f"!! {event}")
        self._is_bad |= event in BAD
        if not self._operator.run_pass(before).actions:
            self._tell("Events", table.wrong_answer(self._operator, event, before, self.situation))
        return self

    def options(self, pace: Pace = Pace.READY_FIRST) -> list[Move]:
        """Return what can happen next."""
        return moves(self._operator, self.situation, pace)

    def take(self, move: Move) -> "Run":
        """Make a move and check it."""
        if move.done is not None:
            self._check(move.done)
        actions = "; ".join(map(str, move.done.actions)) if move.done else ""
        self.told.append(actions or move.label)
        self.situation = move.after
        self.elapsed += move.seconds
        return self

    def wait(self, seconds: int) -> "Run":
        """Let time pass while nobody does anything."""
        self.situation = later(self._operator, self.situation, seconds)
        self.elapsed += seconds
        return self

    def pass_once(self) -> "Run":
        """Let the operator look and act once."""
        done = self._operator.run_pass(self.situation)
        return self.take(Move("pass", finish(self.situation, done), done))

    def restart(self, machine: Machine) -> "Run":
        """Go on with another process."""
        self._operator = Operator(self._operator.setting, machine, self._operator.shelf)
        return self

    def until(self, *phases: RolloutPhase) -> "Run":
        """Go on until a phase is persisted; fails if the run ends before."""
        return self.while_(lambda: self.phase not in phases)

    def while_(self, goes_on: Callable[[], bool]) -> "Run":
        """Go on as long as a condition holds; fails if the run ends before."""
        for _ in range(MOVES_LIMIT):
            if not goes_on():
                return self
            options = self.options()
            assert options, f"the run ended in {self.phase} before that"
            self.take(options[0])
        raise AssertionError(f"the run does not end; it is in {self.phase}")

    def settle(self) -> "Run":
        """Go on until nothing more happens by itself."""
        for _ in range(MOVES_LIMIT):
            options = self.options()
            if not options:
                return self
            self.take(options[0])
        raise AssertionError(f"the run does not end; it is in {self.phase}")

    def check_end(self) -> "Run":
        """Go on to the end and check that it may be one."""
        self.settle()
        setting, is_bad = self._operator.setting, self._is_bad
        refusal = self._operator.run_pass(self.situation).refusal
        self._tell("every end", wrong_end(setting, self.situation, refusal, is_bad=is_bad))
        return self

    def _check(self, done: Pass) -> None:
        for act in acts(self._operator.setting, self.situation, done):
            for name, rule in OF_ACTIONS.items():
                self._tell(name, rule(act))

    def _tell(self, rule: str, problem: str) -> None:
        if problem:
            self.broken.append(f"{rule}: {problem}")
            self.told.append(f">> {rule}: {problem}")
