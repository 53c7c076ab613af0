from typing import Any, NamedTuple

import pytest
import torch

from llm_server.engine.batch import RunnerCapacity
from llm_server.engine.core import EngineCore, TextRules
from llm_server.engine.events import Delta, Event, Finished
from llm_server.engine.hf_check import Abilities
from llm_server.engine.hf_forward import ForwardPass
from llm_server.engine.hf_runner import CacheBudget, HFRunner
from llm_server.engine.scheduler import Scheduler, SchedulerLimits
from llm_server.models.simulated_tokenizer import SimulatedDetokenizer
from tests.server_builders import Clock, a_request, endings_of, limits, run_to_end, tokens_of
from tests.tiny_models import ARCHITECTURES, VOCAB_SIZE, a_model, a_prompt, generate

pytestmark = pytest.mark.torch


class Ask(NamedTuple):
    """One request: how long its prompt and answer are, and before which step it arrives."""

    prompt_tokens: int
    answer_tokens: int
    arrives_at: int


ASKS = [
    Ask(3, 30, 0),
    Ask(40, 20, 0),
    Ask(17, 25, 2),
    Ask(8, 25, 5),
    Ask(60, 12, 9),
    Ask(5, 30, 12),
    Ask(33, 8, 20),
]


class Reference(NamedTuple):
    """A model and what ``generate`` makes of each request alone."""

    model: Any
    answers: list[list[int]]


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def reference(request: pytest.FixtureRequest) -> Reference:
    """Generate every answer by transformers, one request at a time."""
    torch.set_num_threads(1)
    model = a_model(request.param)
    answers = [
        generate(model, a_prompt(ask.prompt_tokens, seed), ask.answer_tokens)
        for seed, ask in enumerate(ASKS)
    ]
    return Reference(model, answers)


def an_engine(model: Any, bounds: SchedulerLimits) -> tuple[EngineCore, HFRunner]:
    """Return an engine over a warm runner of the model."""
    runner = HFRunner(ForwardPass(model), VOCAB_SIZE, CacheBudget(1 << 30, 100_000, 256))
    runner.warm_up()
    text = TextRules(SimulatedDetokenizer, frozenset())
    return EngineCore(Scheduler(bounds), runner, text, Clock()), runner


def answers_in_company(model: Any, bounds: SchedulerLimits) -> list[list[int]]:
    """Run every request in one engine, each arriving at its step, and return the answers."""
    core, _ = an_engine(model, bounds)
    events: list[Event] = []
    step = 0
    while step <= max(ask.arrives_at for ask in ASKS) or core.has_work:
        for seed, ask in enumerate(ASKS):
            if ask.arrives_at == step:
                prompt = a_prompt(ask.prompt_tokens, seed)
                core.add(a_request(f"r{seed}", prompt=prompt, max_tokens=ask.answer_tokens))
        events += core.step().events
        core.check_integrity()
        step += 1
    return [tokens_of(events, f"r{seed}") for seed in range(len(ASKS))]


def test_greedy_tokens_alone_are_those_of_generate(reference: Reference) -> None:
    """One request at a time: token for token what transformers.generate gives."""
    for seed, ask in enumerate(ASKS):
        core, _ = an_engine(reference.model, limits())
        prompt = a_prompt(ask.prompt_tokens, seed)
        core.add(a_request("alone", prompt=prompt, max_tokens=ask.answer_tokens))
        assert tokens_of(run_to_end(core), "alone") == reference.answers[seed]


def test_greedy_tokens_in_company_are_those_of_generate(reference: Reference) -> None:
    """While others come and go, with prompts in chunks: token for token the same."""
    company = answers_in_company(reference.model, limits(batch=5, prefill=16))

    assert company == reference.answers


def test_greedy_tokens_after_preemption_are_those_of_generate(reference: Reference) -> None:
    """When the cache is too small for all and sequences start over: still the same."""
    company = answers_in_company(reference.model, limits(batch=5, kv_tokens=110, prefill=16))

    assert company == reference.answers


def test_the_answers_are_worth_comparing(reference: Reference) -> None:
    """The models do not repeat one token: equality of their answers says something."""
    assert len({token for answer in reference.answers for token in answer}) >= 8


def test_most_models_are_computed_side_by_side() -> None:
    """Attention models use chunks and groups; others are computed whole or row by row."""
    abilities = {}
    for name in ("llama", "mistral with a sliding window", "bloom with alibi"):
        _, runner = an_engine(a_model(name), limits())
        abilities[name] = (runner._abilities.chunks, runner._abilities.groups)
    _, convolutions = an_engine(a_model("lfm2 with convolutions"), limits())
    _, states = an_engine(a_model("mamba without attention"), limits())

    assert set(abilities.values()) == {(True, True)}
    assert convolutions._abilities == Abilities(chunks=True, groups=False)
    assert states._abilities == Abilities(chunks=False, groups=False)


def test_a_runner_forgets_what_is_released() -> None:
    """After cancel, finish and preemption nothing of any sequence is held."""
    core, runner = an_engine(a_model("llama"), limits(batch=3, kv_tokens=60, prefill=8))
    for number in range(5):
        prompt = a_prompt(12, number)
        core.add(a_request(f"r{number}", prompt=prompt, max_tokens=20 + number))
    for _ in range(8):
        core.step()
    core.cancel("r1")

    events = run_to_end(core)

    assert all(isinstance(endings_of(events, f"r{n}")[0], Finished) for n in (0, 2, 3, 4))
    assert not runner._groups
    assert not runner._prompts
    assert not runner._pending


def test_a_seeded_draw_does_not_depend_on_batch_mates() -> None:
    """Sampling with a seed gives the same tokens alone and among others."""
    model = a_model("llama")
    alone, _ = an_engine(model, limits())
    ask = a_request("seeded", prompt=a_prompt(9, 1), max_tokens=25, temperature=1.0, seed=42)
    alone.add(ask)
    expected = tokens_of(run_to_end(alone), "seeded")

    crowded, _ = an_engine(model, limits(batch=4, prefill=8))
    for number in range(3):
        prompt = a_prompt(5 + number, number)
        crowded.add(a_request(f"r{number}", prompt=prompt, max_tokens=30, temperature=0.7, seed=1))
    events = [*crowded.step().events, *crowded.step().events]
    crowded.add(ask)
    events += run_to_end(crowded)

    assert tokens_of(events, "seeded") == expected


def test_capacity_follows_the_memory() -> None:
    """Half the bytes hold about half the tokens; what can be used bounds it."""
    model = a_model("llama")

    def capacity(max_bytes: int, max_tokens: int) -> RunnerCapacity:
        budget = CacheBudget(max_bytes, max_tokens, 256)
        return HFRunner(ForwardPass(model), VOCAB_SIZE, budget).warm_up()

    large, small = capacity(1 << 26, 1 << 30), capacity(1 << 25, 1 << 30)
    assert 1.8 < large.kv_capacity_tokens / small.kv_capacity_tokens < 2.5
    assert capacity(1 << 30, 500).kv_capacity_tokens == 500


def test_logits_that_are_not_finite_end_one_request_only() -> None:
    """A row whose logits are broken fails; the others of its batch go on."""
    model = a_model("llama")
    with torch.no_grad():
        model.get_input_embeddings().weight[7] = float("nan")
    core, _ = an_engine(model, limits())
    core.add(a_request("broken", prompt=[7, 7, 7], max_tokens=5))
    core.add(a_request("fine", prompt=[9, 10, 11], max_tokens=5))

    events = run_to_end(core)

    assert [isinstance(e, Delta) for e in events if e.request_id == "broken"] == [False]
    assert isinstance(endings_of(events, "fine")[0], Finished)
