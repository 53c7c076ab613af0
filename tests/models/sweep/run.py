"""One run: a resource that serves, an edit, a fault at one write, and what comes of it."""

import asyncio
import copy
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any

from llm_operator import kinds
from llm_operator.rollout.state import Step
from tests.models import virtual_time
from tests.models.apiserver import ApiServerModel
from tests.models.load import Load
from tests.models.operator import KEY, OperatorModel
from tests.models.pods import Cluster
from tests.models.sweep.faults import Faults, Trial
from tests.models.sweep.process import Process, Surroundings, now
from tests.models.sweep.server import FaultyApiServer, serving
from tests.models.sweep.state import EndState, difference, end_state
from tests.models.sweep.wire import Wire
from tests.models.sweep.witness import Witness

OLD, NEW = "builtin://simulated", "builtin://tiny"
TOTAL = 2
TURN_SECONDS = 5
STEPS: tuple[dict[str, int], ...] = (
    {"weightPercent": 50, "minSeconds": 5},
    {"weightPercent": 100, "minSeconds": 5},
)
ROLLOUT = {
    "strategy": "Canary",
    "steps": [*STEPS],
    "bakeSeconds": 5,
    "analysis": {"intervalSeconds": 5, "minRequests": 20},
}
RESTART_SECONDS = 2
TURNS_MAX = 150
"""More than any fault delays a rollout."""
QUIET_TURNS = 4
"""Turns in which nothing may change any more."""


class Scenario(StrEnum):
    """What is rolled out."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run."""

    trial: Trial | None
    state: EndState
    calls: tuple[str, ...]
    """Every write that was tried, from the edit on."""
    reads: tuple[str, ...]
    """Every list and every get meanwhile."""
    seconds: float
    """How long it took."""
    broken: tuple[str, ...]
    """Invariants that did not hold, each with its problem."""
    differences: tuple[str, ...]
    """Where the end differs from the one expected."""
    pods_made: int
    pods_most: int
    checked: int
    """Writes that were carried out and checked."""


@dataclass(slots=True)
class World:
    """Everything outside of the operator."""

    api: ApiServerModel
    cluster: Cluster
    load: Load
    wire: Wire
    faults: Faults
    expected: EndState | None
    """Where the run must come to; None to go as far as it goes."""
    witness: Witness = field(init=False)
    server: FaultyApiServer = field(init=False)

    def __post_init__(self) -> None:
        """Let a server speak for the model, under the eyes of a witness."""
        steps = tuple(Step(s["weightPercent"], s["minSeconds"]) for s in STEPS)
        self.witness = Witness(self.cluster, TOTAL, steps)
        self.server = FaultyApiServer(self.api, self.wire, self.faults, self.witness)

    async def go(self) -> Outcome:
        """Edit the resource once the operator stands by, and go on to the end."""
        async with serving(self.server):
            operators = asyncio.create_task(self._keep_alive())
            try:
                return await self._go()
            finally:
                operators.cancel()
                await asyncio.gather(operators, return_exceptions=True)

    async def _go(self) -> Outcome:
        await self._turn()
        made, self.cluster.pods_most = self.cluster.made, 0
        self.faults.is_counting, edited_at = True, now()
        self.api.edit(kinds.LLM_DEPLOYMENT, KEY, _edit)
        await self._until_over()
        differences = difference(self.expected, end_state(self.api)) if self.expected else []
        return Outcome(
            trial=self.faults.trial,
            state=end_state(self.api),
            calls=tuple(self.faults.calls),
            reads=tuple(self.faults.reads),
            seconds=(now() - edited_at).total_seconds(),
            broken=tuple(self.witness.broken),
            differences=tuple(differences),
            pods_made=self.cluster.made - made,
            pods_most=self.cluster.pods_most,
            checked=self.witness.checked,
        )

    async def _until_over(self) -> None:
        quiet = 0
        for _ in range(TURNS_MAX):
            await self._turn()
            quiet = quiet + 1 if self._is_over() else 0
            if quiet > QUIET_TURNS:
                return

    def _is_over(self) -> bool:
        if len(self.cluster.all(kinds.DEPLOYMENT)) != 1 or self._phase() not in _ENDS:
            return False
        return self.expected is None or end_state(self.api) == self.expected

    def _phase(self) -> str:
        resource = self.api.find(kinds.LLM_DEPLOYMENT, *KEY) or {}
        return str(resource["status"].get("rollout", {}).get("phase", "Stable"))

    async def _turn(self) -> None:
        """Let the controllers act once, and the operator for as long as it takes."""
        self.cluster.run(now())
        self.witness.follow_routes()
        self.load.run(now())
        await asyncio.sleep(TURN_SECONDS)

    async def _keep_alive(self) -> None:
        """Start the operator, and another process whenever one has been killed."""
        number = 0
        while True:
            number += 1
            process = Process(f"operator-{number}", self._surroundings())
            self.server.kill = process.kill
            await process.run()
            await asyncio.sleep(RESTART_SECONDS)

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            self.server.url, self.wire, self.faults, self.load.fetch, self.witness.begin_pass
        )


_ENDS = ("Stable", "RolledBack")


def _edit(obj: dict[str, Any]) -> None:
    obj["spec"]["model"] = {"source": NEW}


@cache
def _served(scenario: Scenario) -> OperatorModel:
    """Return a cluster whose one resource serves the old model."""

    async def settle() -> OperatorModel:
        operator = OperatorModel()
        if scenario is Scenario.ROLLED_BACK:
            operator.load.failing_sources.add(NEW)
        await operator.relist()
        operator.write(replicas=TOTAL, rollout=ROLLOUT)
        await operator.until(lambda: operator.serving() == {OLD: TOTAL})
        await operator.settle(5, TURN_SECONDS)
        return operator

    operator = asyncio.run(settle())
    operator.api.listeners = []
    operator.api.requests.clear()
    operator.api.events.clear()
    return operator


def run(scenario: Scenario, trial: Trial | None, expected: EndState | None) -> Outcome:
    """Run a scenario with one fault, or without."""
    before = _served(scenario)
    api, cluster, load = copy.deepcopy((before.api, before.cluster, before.load))
    wire = Wire()
    world = World(api, cluster, load, wire, Faults(trial), expected)
    return virtual_time.run(world.go(), wire.is_awaited)


def by_kind(calls: tuple[str, ...]) -> Counter[str]:
    """Count writes by verb and what they write."""
    found: Counter[str] = Counter()
    for call in calls:
        verb, path = call.split()
        parts = path.strip("/").split("/")
        plural = parts[parts.index("namespaces") + 2]
        found[f"{verb} {plural}{'/status' if path.endswith('/status') else ''}"] += 1
    return found
