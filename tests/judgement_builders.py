"""Builders for tests of the judge: readings, and a story of rounds as the operator lives it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from llm_operator.judgement.counters import Counters
from llm_operator.judgement.evidence import Evidence, Reading, Shape, Target
from llm_operator.judgement.limits import Case, Limits
from llm_operator.judgement.order import GuardAnswer, Order, PodAnswer, Round, merged
from llm_operator.judgement.verdict import judge
from llm_operator.judgement.window import Window, follow
from llm_operator.rollout.state import Judgement

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CANARY, STABLE = "cccccccc", "ssssssss"
SHAPE = Shape(first_token=(0.1, 0.2, 0.4, 0.8), inter_token=(0.01, 0.02, 0.04))
LIMITS = Limits(
    interval=timedelta(seconds=10),
    min_requests=50,
    max_error_percent=5,
    max_first_token_percent=150,
    max_inter_token_percent=150,
)
CASE = Case(CANARY, STABLE, relative=True, min_time=timedelta(seconds=60))


def counted(
    completed: int = 0,
    failed: int = 0,
    *,
    first_token: float = 0.15,
    inter_token: float = 0.015,
    other: int = 0,
    refused: int = 0,
) -> Counters:
    """Return what a process counted; all latencies are alike, two gaps between tokens each.

    ``other`` are requests that are under way, or that clients broke off.
    """
    return Counters(
        received=completed + failed + other + refused,
        refused=refused,
        completed=completed,
        failed=failed,
        first_token=_all_in(SHAPE.first_token, first_token, completed),
        inter_token=_all_in(SHAPE.inter_token, inter_token, 2 * completed),
    )


def _all_in(bounds: Sequence[float], value: float, count: int) -> tuple[int, ...]:
    bucket = sum(bound < value for bound in bounds)
    return tuple(count if i == bucket else 0 for i in range(len(bounds) + 1))


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as one round finds it; ``cause`` says that it could not be read."""

    name: str
    revision: str
    counters: Counters = field(default_factory=Counters)
    boot: str = ""
    ready_seconds: float | None = 600.0
    steps: int = 0
    waiting: int = 0
    cause: str = ""

    def answer(self, at: datetime) -> PodAnswer:
        """Return what a round gets of it."""
        target = Target(self.revision, self.name, "10.0.0.1")
        if self.cause:
            return PodAnswer(target, self.cause)
        reading = Reading(
            boot_id=self.boot or f"{self.name}-1",
            ready_seconds=self.ready_seconds,
            counters=self.counters,
            shape=SHAPE,
            engine_steps=self.steps,
            generation_tokens=0,
            running=0,
            waiting=self.waiting,
        )
        since = None
        if self.ready_seconds is not None:
            since = at - timedelta(seconds=self.ready_seconds)
        return PodAnswer(target, reading, since)


def canary(
    counters: Counters | None = None, *, name: str = "c", boot: str = "", cause: str = ""
) -> Pod:
    """Return a pod of the canary."""
    return Pod(name, CANARY, counters or counted(), boot, cause=cause)


def stable(
    counters: Counters | None = None, *, name: str = "s", boot: str = "", cause: str = ""
) -> Pod:
    """Return a pod of the stable revision."""
    return Pod(name, STABLE, counters or counted(), boot, cause=cause)


@dataclass(slots=True)
class Story:
    """Rounds and judgements of one window, with the memory that the operator has of them."""

    limits: Limits = LIMITS
    case: Case = CASE
    window: Window | None = None
    evidence: Evidence | None = None
    last: Judgement | None = None

    def round(
        self,
        second: float,
        *pods: Pod,
        guards: Mapping[str, float | str] | None = None,
    ) -> Judgement | None:
        """Read the pods ``second`` seconds into the window and judge."""
        now = START + timedelta(seconds=second)
        at = now.replace(microsecond=0)
        case = self.case
        self.window = self.window or follow(None, START)
        assert self.window is not None
        targets = tuple(Target(pod.revision, pod.name, "10.0.0.1") for pod in pods)
        queries = dict.fromkeys(self.limits.guards, "up")
        order = Order(case.revisions, targets, START, self.limits.interval, queries)
        answers = tuple(GuardAnswer(name, value) for name, value in (guards or {}).items())
        round_ = Round(at, tuple(pod.answer(now) for pod in pods), answers)
        self.evidence = merged(self.evidence, order, round_)
        return self.judge(second)

    def judge(self, second: float) -> Judgement | None:
        """Judge again by what is known."""
        assert self.window is not None
        assert self.evidence is not None
        now = START + timedelta(seconds=second)
        self.last, self.window = judge(self.window, self.evidence, self.case, self.limits, now)
        return self.last

    def restart_operator(self) -> None:
        """Lose all that is not in the status."""
        assert self.window is not None
        self.window = Window.from_json(self.window.to_json())
        self.evidence = None
