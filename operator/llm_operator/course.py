"""The course of one pass, as data: what it is given, what it sees, what it decides."""

from dataclasses import dataclass
from datetime import datetime

from llm_operator.ask import Ask
from llm_operator.children import ChildrenPlan
from llm_operator.desired.revision import Revision
from llm_operator.diagnosis import Finding
from llm_operator.judging import Opinion
from llm_operator.observation import Environment, Observation
from llm_operator.rollout.state import Decision, World
from llm_operator.rollout.total import Total
from llm_operator.status import Memory
from llm_operator.traffic.asked import Asked


@dataclass(frozen=True, slots=True)
class Given:
    """What a pass is given."""

    observation: Observation
    environment: Environment
    memory: Memory
    now: datetime


@dataclass(frozen=True, slots=True)
class View:
    """What is so, and what is asked for, as the machine is shown it."""

    known: tuple[Revision, ...]
    """The revisions that are kept."""
    target: Revision
    """The revision that the spec means."""
    total: Total
    findings: tuple[Finding, ...]
    world: World
    opinion: Opinion


@dataclass(frozen=True, slots=True)
class Course:
    """All of a pass but its plan."""

    given: Given
    ask: Ask
    view: View
    decision: Decision
    asked: Asked
    """What is asked of the traffic from now on."""
    opinion: Opinion
    """What is remembered of the judgement from now on."""
    replicas: int
    """Pods that are run in total; while a rollout runs they may be more than the spec asks for."""
    wanted: ChildrenPlan
    history: tuple[Revision, ...]
    """All known revisions, with what is recorded of them from now on."""

    @property
    def serving(self) -> Revision:
        """The stable revision, or the one that is to become the first one."""
        stable = self.decision.stable
        return next((r for r in self.history if r.hash == stable), self.view.target)
