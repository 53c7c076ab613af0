"""Leader election in virtual time, against a Lease that honours resourceVersions."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_operator.cluster.errors import ClusterUnavailable, Conflict, NotFound
from llm_operator.cluster.lease import Candidate, Elector, LeadershipLost, LeaseTiming
from tests.models import virtual_time

TIMING = LeaseTiming()


@dataclass
class LeaseModel:
    """One Lease with optimistic locking; answers take ``delays`` and may be lost."""

    lease: dict[str, Any] | None = None
    version: int = 0
    writes: int = 0

    def read(self) -> dict[str, Any]:
        if self.lease is None:
            raise NotFound("no lease", 404)
        return self.lease

    def write(self, lease: Mapping[str, Any]) -> dict[str, Any]:
        held = None if self.lease is None else self.lease["metadata"]["resourceVersion"]
        if lease["metadata"].get("resourceVersion") != held:
            raise Conflict("the lease has been modified")
        self.version += 1
        self.writes += 1
        metadata = {**lease["metadata"], "resourceVersion": str(self.version)}
        self.lease = {**lease, "metadata": metadata}
        return self.lease

    def holder(self) -> str:
        return "" if self.lease is None else self.lease["spec"]["holderIdentity"]


@dataclass
class Link:
    """One candidate's way to the Lease: cut, slow, or losing the answers."""

    model: LeaseModel
    cut: bool = False
    loses_answers: bool = False
    delay_seconds: float = 0.005
    calls: list[float] = field(default_factory=list)

    async def read_lease(self, namespace: str, name: str) -> dict[str, Any]:
        return await self._answer(self.model.read)

    async def create_lease(self, namespace: str, lease: Mapping[str, Any]) -> dict[str, Any]:
        return await self._answer(lambda: self.model.write(lease))

    async def replace_lease(self, namespace: str, lease: Mapping[str, Any]) -> dict[str, Any]:
        return await self._answer(lambda: self.model.write(lease))

    async def _answer(self, act: Any) -> dict[str, Any]:
        await asyncio.sleep(self.delay_seconds / 2)
        if self.cut:
            raise ClusterUnavailable("connection refused")
        answer = act()
        await asyncio.sleep(self.delay_seconds / 2)
        if self.loses_answers:
            raise ClusterUnavailable("connection reset")
        return dict(answer)


def _wall_clock() -> datetime:
    return datetime.fromtimestamp(asyncio.get_running_loop().time(), UTC)


def _elector(link: Link, identity: str, seed: int = 0) -> Elector:
    candidate = Candidate("system", "llm-operator", identity)
    return Elector(link, candidate, TIMING, _wall_clock, random.Random(seed))


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_the_first_candidate_creates_the_lease_and_leads() -> None:
    """Where there is no Lease, a candidate creates it and leads at once, in term 0."""

    async def story() -> None:
        model = LeaseModel()
        elector = _elector(Link(model), "a")
        task = asyncio.create_task(elector.run())
        await asyncio.sleep(1)
        assert elector.is_leader()
        assert (model.holder(), elector.term) == ("a", 0)
        await _cancel(task)

    virtual_time.run(story())


def test_a_leader_that_keeps_renewing_leads_without_a_gap() -> None:
    """While renewals succeed, the gate stays open: no flapping between two of them."""

    async def story() -> None:
        elector = _elector(Link(LeaseModel()), "a")
        task = asyncio.create_task(elector.run())
        await elector.elected.wait()
        for _ in range(1200):
            await asyncio.sleep(0.1)
            assert elector.is_leader()
        await _cancel(task)

    virtual_time.run(story())


def test_a_killed_leader_is_replaced_within_18_seconds() -> None:
    """A standby leads, in the next term, at most 18 s after the leader went silent."""

    async def story(seed: int) -> float:
        loop = asyncio.get_running_loop()
        model = LeaseModel()
        first, second = _elector(Link(model), "a", seed), _elector(Link(model), "b", seed + 1)
        leader = asyncio.create_task(first.run())
        await first.elected.wait()
        standby = asyncio.create_task(second.run())
        await asyncio.sleep(60 + seed / 10)
        await _cancel(leader)
        killed_at = loop.time()
        await second.elected.wait()
        assert (model.holder(), second.term) == ("b", 1)
        await _cancel(standby)
        return loop.time() - killed_at

    assert all(12 < virtual_time.run(story(seed)) < 18 for seed in range(20))


def test_a_released_lease_is_taken_over_within_3_seconds() -> None:
    """A leader that ends in good order gives the lease up; the standby does not wait it out."""

    async def story() -> None:
        model = LeaseModel()
        first, second = _elector(Link(model), "a"), _elector(Link(model), "b", 1)
        leader = asyncio.create_task(first.run())
        await first.elected.wait()
        standby = asyncio.create_task(second.run())
        await asyncio.sleep(30)
        await _cancel(leader)
        await first.release()
        assert not first.is_leader()
        async with asyncio.timeout(3):
            await second.elected.wait()
        await _cancel(standby)

    virtual_time.run(story())


def test_a_leader_without_the_api_closes_the_gate_and_gives_up_at_the_deadline() -> None:
    """Cut off, a leader stops writing before its lease can end and ends at the renew deadline."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        link = Link(LeaseModel())
        elector = _elector(link, "a")
        task = asyncio.create_task(elector.run())
        await elector.elected.wait()
        await asyncio.sleep(30)
        link.cut = True
        last_renewal = loop.time() - (elector.seconds_since_renewal or 0)
        await asyncio.sleep(last_renewal + TIMING.duration - TIMING.request_timeout - loop.time())
        assert not elector.is_leader()
        with pytest.raises(LeadershipLost):
            await task
        assert loop.time() - last_renewal == pytest.approx(TIMING.renew_deadline, abs=0.01)

    virtual_time.run(story())


def test_a_leader_that_was_frozen_is_none_when_it_wakes() -> None:
    """A process that was stopped past its lease finds the gate closed before it does anything."""

    async def story() -> None:
        link = Link(LeaseModel())
        elector = _elector(link, "a")
        task = asyncio.create_task(elector.run())
        await elector.elected.wait()
        await _cancel(task)  # nothing of it runs while it is stopped
        await asyncio.sleep(20)
        assert not elector.is_leader()

    virtual_time.run(story())


def test_a_renewal_whose_answer_was_lost_does_not_end_the_leadership() -> None:
    """Our own write that we never heard of is recognised as ours."""

    async def story() -> None:
        model = LeaseModel()
        link = Link(model)
        elector = _elector(link, "a")
        task = asyncio.create_task(elector.run())
        await elector.elected.wait()
        link.loses_answers = True
        await asyncio.sleep(3)
        link.loses_answers = False
        await asyncio.sleep(30)
        assert elector.is_leader()
        assert not task.done()
        await _cancel(task)

    virtual_time.run(story())


def test_a_lease_in_other_hands_ends_the_leadership_at_once() -> None:
    """A leader that finds another holder in the Lease does not wait for its deadline."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        model = LeaseModel()
        elector = _elector(Link(model), "a")
        task = asyncio.create_task(elector.run())
        await elector.elected.wait()
        held = model.read()
        model.write({**held, "spec": {**held["spec"], "holderIdentity": "thief"}})
        started = loop.time()
        with pytest.raises(LeadershipLost, match="thief"):
            await task
        assert loop.time() - started < 3

    virtual_time.run(story())


def test_release_leaves_the_lease_of_another_leader_alone() -> None:
    """Who lost the lease without noticing does not take it from the new leader by releasing."""

    async def story() -> None:
        model = LeaseModel()
        first, second = _elector(Link(model), "a"), _elector(Link(model), "b", 1)
        leader = asyncio.create_task(first.run())
        await first.elected.wait()
        await _cancel(leader)
        standby = asyncio.create_task(second.run())
        await second.elected.wait()
        await first.release()
        assert model.holder() == "b"
        await _cancel(standby)

    virtual_time.run(story())


@pytest.mark.parametrize("times", [{"duration": 10}, {"retry": 10.0}, {"request_timeout": 12.0}])
def test_times_that_break_the_rules_are_refused(times: dict[str, Any]) -> None:
    """Times by which two could write at once, or a healthy leader could not, are refused."""
    with pytest.raises(ValueError, match="a Lease needs"):
        replace(TIMING, **times)


faults = st.lists(
    st.tuples(
        st.floats(0.0, 25.0),  # seconds until the next fault
        st.integers(0, 2),  # whose link
        st.sampled_from(["cut", "heal", "lose", "slow", "kill"]),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=60)
@given(faults, st.integers(0, 2**16))
def test_never_are_two_candidates_leaders(
    story_of_faults: list[tuple[float, int, str]], seed: int
) -> None:
    """Whatever links do, no two gates are open at once, not even for a request's duration."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        model = LeaseModel()
        links = [Link(model) for _ in range(3)]
        electors = [_elector(link, str(n), seed + n) for n, link in enumerate(links)]
        tasks = [asyncio.create_task(elector.run()) for elector in electors]
        writing_until = [0.0] * 3

        async def watch() -> None:
            while True:
                now = loop.time()
                for n, elector in enumerate(electors):
                    if elector.is_leader():
                        others = writing_until[:n] + writing_until[n + 1 :]
                        assert all(until <= now for until in others)
                        writing_until[n] = now + TIMING.request_timeout
                await asyncio.sleep(0.5)

        watcher = asyncio.create_task(watch())
        for pause, n, fault in story_of_faults:
            await asyncio.sleep(pause)
            if fault == "kill":
                await _cancel(tasks[n])
                electors[n] = _elector(links[n], f"{n} again", seed + n)
                tasks[n] = asyncio.create_task(electors[n].run())
                continue
            links[n].cut = fault == "cut"
            links[n].loses_answers = fault == "lose"
            links[n].delay_seconds = 4.0 if fault == "slow" else 0.005
        await asyncio.sleep(40)
        assert not watcher.done()
        for task in [*tasks, watcher]:
            await _cancel(task)

    virtual_time.run(story())
