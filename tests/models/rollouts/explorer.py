"""Walks through every situation that can be reached, and checks each action, event and end.

A run begins with an edit of a resource that serves. At every point up to a number of events can
happen. What follows without events must be free of cycles and end where ``ends`` allows it: then
every run ends well, whatever the order of things, since the situations are finitely many.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from llm_operator.api.status import RolloutPhase
from tests.models.rollouts import table
from tests.models.rollouts.act import acts
from tests.models.rollouts.ends import BAD, wrong_end
from tests.models.rollouts.events import Event
from tests.models.rollouts.invariants import OF_ACTIONS
from tests.models.rollouts.moves import Move, Pace, happenings, moves
from tests.models.rollouts.operator import Machine, Operator, from_status
from tests.models.rollouts.situation import Persisted, Setting, Shelf, Situation
from tests.models.rollouts.starts import Start, begin

VIOLATION_LIMIT = 25
"""Of one rule in one walk; more of the same says nothing new."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that did not hold, and the run that led there."""

    rule: str
    problem: str
    setting: str
    run: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.rule}: {self.problem}\n  {self.setting}\n    " + "\n    ".join(self.run)


@dataclass(slots=True)
class Report:
    """What a walk saw."""

    states: int = 0
    transitions: int = 0
    decisions: int = 0
    violations: list[Violation] = field(default_factory=list)
    broken: Counter[str] = field(default_factory=Counter)
    """Violations by rule, those beyond the limit too."""
    phases: Counter[RolloutPhase] = field(default_factory=Counter)
    changes: Counter[tuple[RolloutPhase, RolloutPhase]] = field(default_factory=Counter)
    rows: Counter[tuple[Event, RolloutPhase]] = field(default_factory=Counter)
    ends: Counter[RolloutPhase] = field(default_factory=Counter)

    def add(self, other: "Report") -> None:
        """Add what another walk saw."""
        self.states += other.states
        self.transitions += other.transitions
        self.decisions += other.decisions
        self.violations += other.violations
        self.broken += other.broken
        self.phases += other.phases
        self.changes += other.changes
        self.rows += other.rows
        self.ends += other.ends


Node = tuple[int, int, bool]
"""Number of a situation, events that may still happen, whether a bad one has happened."""


class Explorer:
    """One walk over one setting."""

    def __init__(self, setting: Setting, machine: Machine, pace: Pace) -> None:
        self.setting = setting
        self.pace = pace
        self.report = Report()
        self._operator = Operator(setting, machine, Shelf())
        self._numbers: dict[Situation, int] = {}
        self._situations: list[Situation] = []
        self._moves: dict[int, tuple[int, ...]] = {}
        self._events: dict[int, tuple[tuple[Event, int], ...]] = {}
        self._from: dict[Node, Node | None] = {}
        self._restarted: set[Persisted] = set()

    def explore(self, events: int, start: Start = Start.EDITED, until: str = "") -> Report:
        """Walk with up to ``events`` events; no further than a breach of the rule ``until``."""
        queue: list[Node] = []
        first = self._number(begin(self._operator, start))
        self._reach((first, events, start is Start.LOST), None, queue)
        while queue and not self.report.broken[until]:
            node = queue.pop()
            for following in self._following(node):
                self._reach(following, node, queue)
        self._find_cycles()
        self._check_restarts()
        self.report.states = len(self._situations)
        self.report.decisions = self._operator.decided
        return self.report

    def _reach(self, node: Node, source: Node | None, queue: list[Node]) -> None:
        if node not in self._from:
            self._from[node] = source
            queue.append(node)

    def _following(self, node: Node) -> Iterator[Node]:
        number, left, is_bad = node
        following = self._moves.get(number)
        if following is None:
            following = self._expand(node)
        if not following:
            self._check_end(node)
            following = self._heal(number)
        for after in following:
            yield after, left, is_bad
        if left:
            known = self._events.get(number)
            for event, after in self._happen(node) if known is None else known:
                yield after, left - 1, is_bad or event in BAD

    def _number(self, situation: Situation) -> int:
        number = self._numbers.setdefault(situation, len(self._situations))
        if number == len(self._situations):
            self._situations.append(situation)
        return number

    # What can happen

    def _expand(self, node: Node) -> tuple[int, ...]:
        situation = self._situations[node[0]]
        phase = situation.kept.rollout.phase
        self.report.phases[phase] += 1
        found = moves(self._operator, situation, self.pace)
        for move in found:
            if move.done is not None:
                self._check_pass(node, situation, move)
        following = tuple(self._number(move.after) for move in found)
        self._moves[node[0]] = following
        self.report.transitions += len(following)
        return following

    def _heal(self, number: int) -> tuple[int, ...]:
        """Where nothing more happens, let the world stop to misbehave; runs go on from there."""
        situation = self._situations[number]
        if not situation.faults:
            return ()
        self._moves[number] = (self._number(situation._replace(faults=frozenset())),)
        return self._moves[number]

    def _happen(self, node: Node) -> tuple[tuple[Event, int], ...]:
        situation = self._situations[node[0]]
        found: list[tuple[Event, int]] = []
        is_calm = not self._operator.run_pass(situation).actions
        for event, after in happenings(self._operator, situation):
            self.report.rows[event, situation.kept.rollout.phase] += 1
            found.append((event, self._number(after)))
            if is_calm:
                problem = table.wrong_answer(self._operator, event, situation, after)
                self._tell("Events", problem, node, event.value)
        self._events[node[0]] = tuple(found)
        self.report.transitions += len(found)
        return self._events[node[0]]

    # What must hold

    def _check_pass(self, node: Node, situation: Situation, move: Move) -> None:
        assert move.done is not None
        phases = situation.kept.rollout.phase, move.after.kept.rollout.phase
        if phases[0] is not phases[1]:
            self.report.changes[phases] += 1
        for act in acts(self.setting, situation, move.done):
            for name, rule in OF_ACTIONS.items():
                self._tell(name, rule(act), node, str(act.action))

    def _check_end(self, node: Node) -> None:
        situation = self._situations[node[0]]
        self.report.ends[situation.kept.rollout.phase] += 1
        done = self._operator.run_pass(situation)
        if done.wake_seconds is not None:
            self._tell("no stuck state", f"wakes in {done.wake_seconds} s for nothing", node, "")
        problem = wrong_end(self.setting, situation, done.refusal, is_bad=node[2])
        self._tell("every end", problem, node, "")

    def _check_restarts(self) -> None:
        """I9: what a process persisted is all that the next one needs (the status as JSON)."""
        for number, situation in enumerate(self._situations):
            if situation.kept in self._restarted:
                continue
            self._restarted.add(situation.kept)
            if from_status(situation.kept.rollout) != situation.kept.rollout:
                node = next(n for n in self._from if n[0] == number)
                self._tell("I9", "the status does not hold all of the rollout", node, "restart")

    def _find_cycles(self) -> None:
        """Tell of situations that come back without an event (depth first, three colours)."""
        done: set[int] = set()
        for root in list(self._moves):
            if root in done:
                continue
            open_: set[int] = {root}
            stack = [(root, iter(self._moves[root]))]
            while stack:
                number, rest = stack[-1]
                following = next((n for n in rest if n not in done), None)
                if following is None:
                    stack.pop()
                    open_.discard(number)
                    done.add(number)
                elif following in open_:
                    node = next(n for n in self._from if n[0] == following)
                    self._tell("no cycle", "comes back to itself", node, "")
                else:
                    open_.add(following)
                    stack.append((following, iter(self._moves.get(following, ()))))

    def _tell(self, rule: str, problem: str, node: Node, last: str) -> None:
        if not problem:
            return
        self.report.broken[rule] += 1
        if self.report.broken[rule] <= VIOLATION_LIMIT:
            run = (*self._run_to(node), f">> {last}")
            self.report.violations.append(Violation(rule, problem, str(self.setting), run))

    def _run_to(self, node: Node) -> tuple[str, ...]:
        path = [node]
        while (source := self._from[path[-1]]) is not None:
            path.append(source)
        path.reverse()
        labels = [self._label(a, b) for a, b in pairwise(path)]
        return (*labels, describe(self._situations[node[0]]))

    def _label(self, before: Node, after: Node) -> str:
        wanted, situation = self._situations[after[0]], self._situations[before[0]]
        if before[1] != after[1]:
            found = happenings(self._operator, situation)
            return f"!! {next(e.value for e, s in found if s == wanted)}"
        found_moves = moves(self._operator, situation, self.pace)
        move = next((m for m in found_moves if m.after == wanted), None)
        if move is None:
            return "everything is repaired"
        if move.done is None:
            return move.label
        return "; ".join(map(str, move.done.actions)) or move.label


def describe(situation: Situation) -> str:
    """Return a situation in a line."""
    rollout, cluster = situation.kept.rollout, situation.cluster
    pods = " ".join(f"{p.replicas}:{p.ready}r{p.starting}s{p.leaving}l" for p in cluster.revisions)
    return (
        f"{rollout.phase} step {rollout.step} weight {rollout.weight_percent} stable "
        f"{situation.stable} T {situation.total} pods {pods} {cluster.route} "
        f"applied {cluster.is_applied} {situation.spec} {sorted(situation.faults)}"
    )
