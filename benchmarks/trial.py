"""One operator goes through the phases: create, restart with nothing to do, drift, edit.

Drift and edit come after the restart, so that a restarted operator which is silent because it is
dead shows. Requests come from the audit log, objects from the API; the operator is asked nothing.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.arena import arena
from benchmarks.audit_log import (
    Family,
    Request,
    most_writes,
    of_user,
    opened_watches,
    parse_requests,
    reaction_seconds,
    span_seconds,
    tally,
)
from benchmarks.contender import Contender
from benchmarks.figures import Creation, Figures, Reactions, Restart
from benchmarks.process import OperatorProcess
from benchmarks.resources import Resources
from e2e.access import api_client
from e2e.cluster import AuditMark, Cluster
from e2e.cluster.progress import Step, step
from llm_operator import kinds
from llm_operator.kinds import ResourceKind

_POLL_SECONDS: Final = 1.0
_START_SECONDS: Final = 60.0
_QUIET_SECONDS: Final = 5.0
"""The world stands still when nobody wrote to or read from the namespace for so long."""
_RESTART_SECONDS: Final = 20.0
"""How long a restarted operator is watched at least; a Lease is taken well within it."""
_SETTLE_SECONDS: Final = 120.0
"""And a second per resource: the control plane itself writes about 20 times a second."""
_SPACING_SECONDS: Final = 0.5
"""Between two edits, so that each meets an idle operator."""
_PATIENCE_SECONDS: Final = 10.0
"""After the last edit; what is not answered by then is not answered."""
_EDIT: Final = "timed"
_MOVING: Final = frozenset({Family.READ, Family.WRITE, Family.EVENT})


class Unsettled(RuntimeError):
    """The resources were not all reported on, or something kept moving, for too long."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much is asked of an operator."""

    n: int
    """Resources."""
    samples: int
    """Edits that are timed, of a different resource each."""

    def sampled(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the resources that are edited, spread evenly."""
        count = min(self.samples, len(names))
        return tuple(names[index * len(names) // count] for index in range(count))


def measure(cluster: Cluster, contender: Contender, load: Load) -> Figures:
    """Run one operator through all phases in an arena of its own.

    Raises:
        OperatorEnded: it ended by itself.
        Unsettled: the resources did not come to rest.
    """
    with arena(cluster, contender) as kubeconfig, api_client(cluster) as api:
        resources = Resources.numbered(api, contender, load.n)
        return _Trial(cluster, contender, load, kubeconfig, resources).run()


@dataclass(frozen=True, slots=True)
class _Trial:
    cluster: Cluster
    contender: Contender
    load: Load
    kubeconfig: Path
    resources: Resources

    def run(self) -> Figures:
        with self._running("first start") as operator:
            creation = self._create(operator)
            mark = self.cluster.audit_mark()
        with self._running("second start") as operator:
            restart = self._restart(operator, mark)
            self._warm(operator)
            drift = self._drift(operator)
            edit = self._edit(operator)
            load_average, _, _ = os.getloadavg()
        return Figures(self.load.n, creation, restart, drift, edit, load_average)

    @contextmanager
    def _running(self, title: str) -> Iterator[OperatorProcess]:
        """Run the operator; it has begun to watch its resources when this yields."""
        mark = self.cluster.audit_mark()
        operator = OperatorProcess.start(self.cluster, self.contender, self.kubeconfig)
        try:
            with self._step(title):
                self._until(lambda: self._watches_since(mark), operator, _START_SECONDS)
            yield operator
        finally:
            operator.stop()

    def _create(self, operator: OperatorProcess) -> Creation:
        mark, cpu_seconds = self.cluster.audit_mark(), operator.cpu_seconds()
        with self._step(f"{self.load.n} resources created"):
            self.resources.create()
            self._until_still(operator)
        requests = self._requests_since(mark)
        own = of_user(requests, self.contender.user)
        counts = tally(own)
        return Creation(
            children=self.resources.children().total(),
            writes=counts[Family.WRITE],
            writes_of_busiest=most_writes(own, frozenset(self.resources.names)),
            reads=counts[Family.READ],
            events=counts[Family.EVENT],
            seconds=span_seconds([r for r in requests if self._is_work(r)]),
            cpu_seconds=operator.cpu_seconds() - cpu_seconds,
            rss_mib=operator.rss_mib(),
        )

    def _is_work(self, request: Request) -> bool:
        """Whether a request creates one of the resources, or is the operator's answer to that."""
        if request.family is not Family.WRITE or request.namespace != self.contender.namespace:
            return False
        return request.resource == self.contender.kind.plural or self._is_own(request)

    def _is_own(self, request: Request) -> bool:
        return request.user == self.contender.user

    def _restart(self, operator: OperatorProcess, since: AuditMark) -> Restart:
        """Count from the moment before the first process was told to end."""
        with self._step("watched after the restart"):
            time.sleep(_RESTART_SECONDS)
            self._until_still(operator)
        counts = tally(of_user(self._requests_since(since), self.contender.user))
        return Restart(counts[Family.WRITE], counts[Family.READ], counts[Family.LIST])

    def _warm(self, operator: OperatorProcess) -> None:
        """Have it answer once untimed: what a process loads at its first answer is no reaction."""
        self.resources.edit_annotations(self.resources.names[-1], "warm")
        self._until_still(operator)

    def _drift(self, operator: OperatorProcess) -> Reactions:
        names = self.load.sampled(self.resources.names)
        with self._step(f"{len(names)} Services edited by hand"):
            seconds = self._react(operator, kinds.SERVICE, self.resources.edit_service)
        return Reactions(seconds, self.resources.are_repaired(names))

    def _edit(self, operator: OperatorProcess) -> Reactions:
        names = self.load.sampled(self.resources.names)
        with self._step(f"service.annotations of {len(names)} resources edited"):
            seconds = self._react(operator, self.contender.kind, self._annotate)
        return Reactions(seconds, self.resources.are_annotated(names, _EDIT))

    def _annotate(self, name: str) -> None:
        self.resources.edit_annotations(name, _EDIT)

    def _react(
        self, operator: OperatorProcess, edited: ResourceKind, edit: Callable[[str], None]
    ) -> list[float | None]:
        """Make the edits and return how long each waited for the operator's write of a Service."""
        mark = self.cluster.audit_mark()
        for name in self.load.sampled(self.resources.names):
            operator.check()
            edit(name)
            time.sleep(_SPACING_SECONDS)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while None in (seconds := self._reactions_since(mark, edited)):
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        return seconds

    def _reactions_since(self, mark: AuditMark, edited: ResourceKind) -> list[float | None]:
        requests = self._requests_since(mark)
        edits = [
            request
            for request in requests
            if (request.verb, request.resource) == ("patch", edited.plural)
            and request.namespace == self.contender.namespace
            and not self._is_own(request)
        ]
        return reaction_seconds(edits, requests, self.contender.user, kinds.SERVICE.plural)

    def _requests_since(self, mark: AuditMark) -> list[Request]:
        return parse_requests(self.cluster.audit_events(mark))

    def _watches_since(self, mark: AuditMark) -> bool:
        watches = opened_watches(self.cluster.audit_events(mark), self.contender.user)
        return self.contender.kind.plural in watches

    def _moved_since(self, mark: AuditMark) -> bool:
        return any(
            request.namespace == self.contender.namespace and request.family in _MOVING
            for request in self._requests_since(mark)
        )

    def _until_still(self, operator: OperatorProcess) -> None:
        """Wait until every resource is reported on and nobody touches the namespace any more."""
        mark, still_since = self.cluster.audit_mark(), time.monotonic()

        def is_still() -> bool:
            nonlocal mark, still_since
            before, mark = mark, self.cluster.audit_mark()
            if self._moved_since(before):
                still_since = time.monotonic()
            is_quiet = time.monotonic() - still_since >= _QUIET_SECONDS
            return is_quiet and self.resources.are_reported()

        self._until(is_still, operator, _SETTLE_SECONDS + self.load.n)

    def _until(
        self, holds: Callable[[], bool], operator: OperatorProcess, within_seconds: float
    ) -> None:
        deadline = time.monotonic() + within_seconds
        while not holds():
            operator.check()
            if time.monotonic() > deadline:
                msg = f"{self.contender.title}: not settled within {within_seconds:.0f} s"
                raise Unsettled(msg)
            time.sleep(_POLL_SECONDS)

    def _step(self, title: str) -> AbstractContextManager[Step]:
        return step(f"{self.contender.title}: {title}")
