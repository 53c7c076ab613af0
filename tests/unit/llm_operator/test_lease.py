"""Rules of leader election."""

import asyncio
import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_operator.cluster.errors import ClusterUnavailable, Conflict, NotFound
from llm_operator.cluster.lease import Elector, LeadershipLost, LeaseTerms

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """A clock that jumps to the next sleeper, and one Lease with compare-and-swap."""

    time: float = 0.0
    lease: dict[str, Any] | None = None
    version: int = 0
    cut_off: set[str] = field(default_factory=set)
    sleepers: list[tuple[float, int, asyncio.Future[None]]] = field(default_factory=list)

    def clock(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.time + seconds, len(self.sleepers), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking everybody in order."""
        end = self.time + seconds
        while True:
            for _ in range(20):
                await asyncio.sleep(0)
            due = sorted((s for s in self.sleepers if not s[2].done()), key=lambda s: s[:2])
            if not due or due[0][0] > end:
                break
            self.time = due[0][0]
            due[0][2].set_result(None)
        self.time = end


@dataclass
class Client:
    """One replica's connection to the world."""

    world: World
    holder: str

    def _reach(self) -> None:
        if self.holder in self.world.cut_off:
            raise ClusterUnavailable("no route")

    async def read_lease(self, namespace: str, name: str) -> dict[str, Any]:
        self._reach()
        if self.world.lease is None:
            raise NotFound("no lease")
        return copy.deepcopy(self.world.lease)

    async def create_lease(self, namespace: str, lease: Mapping[str, Any]) -> dict[str, Any]:
        self._reach()
        if self.world.lease is not None:
            raise Conflict("exists")
        return self._store(lease)

    async def replace_lease(self, namespace: str, lease: Mapping[str, Any]) -> dict[str, Any]:
        self._reach()
        assert self.world.lease is not None
        if lease["metadata"]["resourceVersion"] != self.world.lease["metadata"]["resourceVersion"]:
            raise Conflict("stale")
        return self._store(lease)

    def _store(self, lease: Mapping[str, Any]) -> dict[str, Any]:
        self.world.version += 1
        stored = copy.deepcopy(dict(lease))
        stored["metadata"]["resourceVersion"] = str(self.world.version)
        self.world.lease = stored
        return copy.deepcopy(stored)


def a_candidate(world: World, holder: str) -> Elector:
    """Return a candidate in a world."""
    return Elector(
        client=Client(world, holder),
        terms=LeaseTerms("system", "llm-operator", holder),
        clock=world.clock,
        now=lambda: EPOCH + timedelta(seconds=world.time),
        rng=random.Random(0),
        sleep=world.sleep,
    )


async def test_one_of_two_candidates_leads() -> None:
    """Of two candidates exactly one becomes leader, and stays it."""
    world = World()
    first, second = a_candidate(world, "first"), a_candidate(world, "second")
    tasks = [asyncio.create_task(candidate.run()) for candidate in (first, second)]

    await world.advance(60)

    assert [first.is_leader(), second.is_leader()].count(True) == 1
    for task in tasks:
        task.cancel()


async def test_a_standby_takes_over_from_a_killed_leader_in_under_twenty_seconds() -> None:
    """After SIGKILL the Lease is taken when it was not seen to change for its duration."""
    world = World()
    first, second = a_candidate(world, "first"), a_candidate(world, "second")
    leading = asyncio.create_task(first.run())
    await world.advance(3)
    standing_by = asyncio.create_task(second.run())
    await world.advance(30)

    leading.cancel()
    killed_at = world.time
    while not second.is_leader():
        await world.advance(0.5)

    assert world.time - killed_at < 20
    assert second.term == first.term + 1
    standing_by.cancel()


async def test_a_released_lease_is_taken_at_the_next_attempt() -> None:
    """A graceful stop hands over within a retry, not after the Lease's duration."""
    world = World()
    first, second = a_candidate(world, "first"), a_candidate(world, "second")
    leading = asyncio.create_task(first.run())
    await world.advance(3)
    standing_by = asyncio.create_task(second.run())
    await world.advance(5)

    leading.cancel()
    await first.release()
    await world.advance(3)

    assert (first.is_leader(), second.is_leader()) == (False, True)
    standing_by.cancel()


async def test_a_leader_that_cannot_renew_ends_before_another_may_begin() -> None:
    """A leader cut off from the API server closes its gate first and then gives up."""
    world = World()
    first, second = a_candidate(world, "first"), a_candidate(world, "second")
    leading = asyncio.create_task(first.run())
    await world.advance(3)
    standing_by = asyncio.create_task(second.run())
    await world.advance(5)
    world.cut_off.add("first")

    while not second.is_leader():
        assert not (first.is_leader() and second.is_leader())
        await world.advance(0.25)

    with pytest.raises(LeadershipLost):
        await leading
    standing_by.cancel()


async def test_the_lease_of_somebody_else_is_never_renewed() -> None:
    """A leader that finds another holder in the Lease gives up at once."""
    world = World()
    first = a_candidate(world, "first")
    leading = asyncio.create_task(first.run())
    await world.advance(3)
    assert world.lease is not None
    world.lease["spec"]["holderIdentity"] = "thief"

    await world.advance(3)

    with pytest.raises(LeadershipLost):
        await leading


def test_terms_that_would_let_two_write_are_refused() -> None:
    """The renew deadline lies before the end of the Lease."""
    with pytest.raises(ValueError, match="renew deadline"):
        LeaseTerms("system", "llm-operator", "me", duration=10, renew_deadline=10)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["cut-first", "cut-second", "heal", "pass"]), st.floats(0.1, 25)),
        max_size=12,
    )
)
def test_two_replicas_never_lead_at_the_same_time(events: list[tuple[str, float]]) -> None:
    """Whatever is cut off and when, at most one gate is open at any moment."""

    async def play() -> None:
        world = World()
        candidates = {name: a_candidate(world, name) for name in ("first", "second")}
        tasks = [asyncio.create_task(candidate.run()) for candidate in candidates.values()]
        for event, seconds in events:
            match event:
                case "heal":
                    world.cut_off.clear()
                case "pass":
                    pass
                case _:
                    world.cut_off.add(event.removeprefix("cut-"))
            for _ in range(int(seconds / 0.5) + 1):
                await world.advance(0.5)
                leaders = [name for name, elector in candidates.items() if elector.is_leader()]
                assert len(leaders) <= 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(play())
