"""Builders for tests of the server's engine; no torch, no clock, no HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from llm_server.engine.batch import Batch, ModelRunner, RunnerCapacity
from llm_server.engine.core import EngineCore, TextRules
from llm_server.engine.events import Delta, Event
from llm_server.engine.request import GenerationRequest, SamplingParams
from llm_server.engine.scheduler import Scheduler, SchedulerLimits
from llm_server.engine.simulated_runner import SimulatedModel, SimulatedRunner, TimingModel
from llm_server.models import simulated_tokenizer
from llm_server.models.simulated_tokenizer import SimulatedTokenizer

INSTANT = TimingModel(
    prefill_tokens_per_second=1e12, step_seconds=0.0, step_seconds_per_sequence=0.0
)


def a_request(
    request_id: str = "a",
    *,
    prompt: Sequence[int] = (1, 2, 3),
    max_tokens: int = 8,
    temperature: float = 0.0,
    seed: int = 0,
    stop: tuple[str, ...] = (),
    deadline: float = 1e9,
) -> GenerationRequest:
    """Return a request that arrived at 0 and has all the time in the world."""
    return GenerationRequest(
        request_id=request_id,
        prompt_token_ids=tuple(prompt),
        max_tokens=max_tokens,
        sampling=SamplingParams(temperature=temperature, seed=seed),
        stop_strings=stop,
        arrived_at=0.0,
        deadline=deadline,
    )


def limits(
    *, batch: int = 4, waiting: int = 100, kv_tokens: int = 10_000, prefill: int = 64
) -> SchedulerLimits:
    """Return generous bounds."""
    return SchedulerLimits(batch, waiting, kv_tokens, prefill)


def a_simulated_runner(*, answer_tokens: int = 0, timing: TimingModel = INSTANT) -> SimulatedRunner:
    """Return the simulated runner; by default it takes no time and never ends an answer."""
    model = SimulatedModel(
        timing=timing,
        capacity=RunnerCapacity(
            kv_capacity_tokens=10_000, vocab_size=1 << 33, prefill_tokens_per_second=1e12
        ),
        num_words=SimulatedTokenizer.VOCAB_SIZE - 1,
        eos_token_id=simulated_tokenizer.EOS_TOKEN_ID,
        answer_tokens=answer_tokens,
    )
    return SimulatedRunner(model)


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: float = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def a_core(
    runner: ModelRunner | None = None,
    bounds: SchedulerLimits | None = None,
    clock: Clock | None = None,
) -> EngineCore:
    """Return an engine over the simulated runner."""
    text = TextRules(
        SimulatedTokenizer().detokenizer, frozenset({simulated_tokenizer.EOS_TOKEN_ID})
    )
    return EngineCore(
        Scheduler(bounds or limits()), runner or a_simulated_runner(), text, clock or Clock()
    )


def run_to_end(core: EngineCore) -> list[Event]:
    """Step until nothing is left, checking the engine's invariants after each step."""
    events: list[Event] = []
    while core.has_work:
        events += core.step().events
        core.check_integrity()
    return events


def tokens_of(events: Sequence[Event], request_id: str) -> list[int]:
    """Return the tokens that one request was given."""
    return [e.token_id for e in events if isinstance(e, Delta) and e.request_id == request_id]


def text_of(events: Sequence[Event], request_id: str) -> str:
    """Return the text that one request was given."""
    return "".join(e.text for e in events if isinstance(e, Delta) and e.request_id == request_id)


def endings_of(events: Sequence[Event], request_id: str) -> list[Event]:
    """Return the terminal events of one request; there should be one."""
    return [e for e in events if not isinstance(e, Delta) and e.request_id == request_id]


@dataclass
class FailingRunner:
    """Raises on the steps whose numbers (from 1) are in ``broken_steps``."""

    broken_steps: frozenset[int]
    inner: SimulatedRunner = field(default_factory=a_simulated_runner)
    steps: int = 0
    error: Exception = field(default_factory=lambda: RuntimeError("device lost"))

    def warm_up(self) -> RunnerCapacity:
        """Return the inner runner's capacity."""
        return self.inner.warm_up()

    def execute(self, batch: Batch) -> Sequence:  # type: ignore[type-arg]
        """Compute, or raise as a device does."""
        self.steps += 1
        if self.steps in self.broken_steps:
            raise self.error
        return self.inner.execute(batch)

    def release(self, request_id: str) -> None:
        """Forget the sequence."""
        self.inner.release(request_id)
