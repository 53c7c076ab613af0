"""What both revisions did in a window: the difference between the evidence and the baseline.

Per process the newest counters count; a process that is gone keeps those that were read last. When
a process of the baseline is not known any more, which happens only when the operator was restarted
in between, the window gets a new baseline: a difference without it would be wrong in either
direction.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from llm_operator.judgement.counters import Bounds, Buckets, Counters, total
from llm_operator.judgement.evidence import Evidence, PodSample, Shape
from llm_operator.judgement.limits import Case, Limits
from llm_operator.judgement.window import Baseline, Window

_WHOLE_SECONDS: Final = timedelta(seconds=1)
"""By so much a persisted time may be too early."""


@dataclass(frozen=True, slots=True)
class Account:
    """What one revision did in the window."""

    counters: Counters = field(default_factory=Counters)
    shape: Shape = field(default_factory=Shape)

    @property
    def first_tokens(self) -> int:
        """Requests that got a first token."""
        return sum(self.counters.first_token)


@dataclass(frozen=True, slots=True)
class Difference:
    """Both sides of the window, since ``since``."""

    since: datetime
    until: datetime
    canary: Account
    stable: Account

    @property
    def span(self) -> timedelta:
        """The time between the baseline and the newest round."""
        return self.until - self.since


def settle(
    window: Window, evidence: Evidence, case: Case, limits: Limits
) -> tuple[Window, Difference | None]:
    """Take or complete the window's baseline, and return what happened since.

    The difference is None while it cannot be known: the last round was before the window began, or
    has missed a pod that may still answer.
    """
    baseline = window.baseline
    if baseline is None or _has_lost(baseline, evidence, case):
        if evidence.collected_at < window.started_at or _may_answer(evidence, case, limits):
            return window, None
        baseline = Baseline(evidence.collected_at, sides={})
    baseline = _joined(baseline, evidence, case)
    if baseline != window.baseline:
        window = replace(window, baseline=baseline)
    stable = Account() if case.stable is None else _account(baseline, evidence, case.stable)
    canary = _account(baseline, evidence, case.canary)
    return window, Difference(baseline.at, evidence.collected_at, canary, stable)


def _has_lost(baseline: Baseline, evidence: Evidence, case: Case) -> bool:
    """Whether a process of the baseline, of a side that counts, is not among the samples."""
    known = {sample.boot_id for sample in evidence.samples}
    sides = case.revisions if case.relative else (case.canary,)
    return any(not baseline.side(revision).boots <= known for revision in sides)


def _may_answer(evidence: Evidence, case: Case, limits: Limits) -> bool:
    """Whether the last round missed a pod that has not been missing for long."""
    return any(
        unread.revision in case.revisions and evidence.collected_at - unread.since < limits.patience
        for unread in evidence.unread
    )


def _joined(baseline: Baseline, evidence: Evidence, case: Case) -> Baseline:
    """Take in the processes of unknown age that were read for the first time."""
    sides = {revision: baseline.side(revision) for revision in case.revisions}
    for revision in case.revisions:
        for sample in evidence.live(revision):
            if not _began_after(sample, baseline.at):
                sides[revision] = sides[revision].with_sample(sample)
    return replace(baseline, sides=sides)


def _account(baseline: Baseline, evidence: Evidence, revision: str) -> Account:
    side = baseline.side(revision)
    counted = [
        sample
        for sample in evidence.samples
        if sample.revision == revision
        and (sample.boot_id in side.boots or _began_after(sample, baseline.at))
    ]
    counters = total(sample.reading.counters for sample in counted).minus(side.counters)
    return _measured(counters, [sample.reading.shape for sample in counted])


def _measured(counters: Counters, shapes: list[Shape]) -> Account:
    """Leave histograms out that were not counted in the same buckets by all."""
    first_token, first_bounds = _uniform(counters.first_token, [s.first_token for s in shapes])
    inter_token, inter_bounds = _uniform(counters.inter_token, [s.inter_token for s in shapes])
    counters = replace(counters, first_token=first_token, inter_token=inter_token)
    return Account(counters, Shape(first_bounds, inter_bounds))


def _uniform(buckets: Buckets, bounds: list[Bounds]) -> tuple[Buckets, Bounds]:
    return (buckets, bounds[0]) if len(set(bounds)) == 1 else ((), ())


def _began_after(sample: PodSample, moment: datetime) -> bool:
    return sample.ready_since is not None and sample.ready_since > moment + _WHOLE_SECONDS
