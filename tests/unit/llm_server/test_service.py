import asyncio

from llm_server.engine.events import Delta, Event, Failed, Finished, Usage
from llm_server.engine.request import FinishReason
from llm_server.errors import FailureKind
from llm_server.service import EventRouter, Generation


def a_generation(name: str) -> Generation:
    """Return a request of five prompt tokens."""
    return Generation(name, num_prompt_tokens=5, cancel=lambda _: None)


async def events_of(generation: Generation) -> list[Event]:
    """Read a generation to its end."""
    return [event async for event in generation.events()]


async def test_requests_can_be_ended_without_the_engine() -> None:
    """What is open ends with the typed error and its usage; what has ended stays as it is."""
    router = EventRouter(asyncio.get_running_loop())
    done, half = a_generation("done"), a_generation("half")
    router.open(done)
    router.open(half)
    end = Finished("done", FinishReason.STOP, Usage(5, 1))
    router.deliver([Delta("half", 1, "x"), end])
    await asyncio.sleep(0)

    router.fail_all(FailureKind.SHUTTING_DOWN, "over")

    assert await events_of(done) == [end]
    failed = Failed("half", FailureKind.SHUTTING_DOWN, "over", Usage(5, 1))
    assert await events_of(half) == [Delta("half", 1, "x"), failed]


async def test_what_the_engine_says_afterwards_goes_nowhere() -> None:
    """An engine that wakes up later cannot give a request a second end."""
    router = EventRouter(asyncio.get_running_loop())
    generation = a_generation("a")
    router.open(generation)
    router.fail_all(FailureKind.SHUTTING_DOWN, "over")

    router.deliver([Finished("a", FinishReason.STOP, Usage(5, 1))])
    await asyncio.sleep(0)

    [end] = await events_of(generation)
    assert isinstance(end, Failed)


async def test_a_request_that_comes_too_late_ends_the_same_way() -> None:
    """One that was being tokenised meanwhile does not wait for an engine that is gone."""
    router = EventRouter(asyncio.get_running_loop())
    router.fail_all(FailureKind.ENGINE_FAULT, "gone")
    generation = a_generation("late")

    router.open(generation)

    [end] = await events_of(generation)
    assert isinstance(end, Failed)
    assert end.kind is FailureKind.ENGINE_FAULT
