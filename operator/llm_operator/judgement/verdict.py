"""The judge: from evidence to a verdict with its numbers; pure, called once per reconcile pass.

In this order, the first that applies:

1. Fail at once: a canary pod that restarts again and again, or has work and gets no further; too
   many errors; a guard above its maximum twice in a row.
2. Missing: something that the judgement needs has not been read for ``PATIENCE_INTERVALS``.
3. Fail by comparison: first token or inter-token slower than the limit relative to stable.
4. Pass: no request at all on either side, or enough of them with every limit kept.
5. Inconclusive: too few requests so far.

A verdict of None says that the last round does not suffice for a new one: the last one stands.
``minSeconds`` and ``inconclusiveSeconds`` are the machine's; the judge needs the first only to say
how long no request is long enough.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.judgement import words
from llm_operator.judgement.comparison import Compared, compare, fails
from llm_operator.judgement.difference import Difference, settle
from llm_operator.judgement.evidence import Evidence, PodSample
from llm_operator.judgement.limits import Case, Limits
from llm_operator.judgement.restarts import PodRestarts, condemned
from llm_operator.judgement.window import Window
from llm_operator.rollout.state import Judgement, VerdictOutcome

STALL: Final = timedelta(seconds=60)
"""How long a canary pod may have work and get no further (rollout.md, "Judgement")."""


@dataclass(frozen=True, slots=True)
class _Finding:
    outcome: VerdictOutcome
    reason: Reason
    message: str
    measured: bool = False
    is_missing: bool = False

    def about(self, window: Window) -> Judgement:
        return Judgement(
            window_started_at=window.started_at,
            outcome=self.outcome,
            reason=self.reason,
            message=self.message,
            is_missing=self.is_missing,
            measured=self.measured,
        )


def judge(
    window: Window, evidence: Evidence, case: Case, limits: Limits, now: datetime
) -> tuple[Judgement | None, Window]:
    """Judge the canary in this window; return the verdict and what is to be remembered.

    Calling again with the same evidence and the returned window gives the same verdict.
    """
    window, difference = settle(window, evidence, case, limits)
    exceeded = _exceeded_guard(window, evidence, limits)
    missing = _missing(window, evidence, case, limits, now)
    window = replace(
        window, breaches=_breaches(window, evidence, limits), is_missing=missing is not None
    )
    finding = (
        _stalled_pod(evidence, case)
        or (_errors(difference, limits) if difference else None)
        or exceeded
        or missing
        or (_weighed(window, difference, evidence, case, limits) if difference else None)
    )
    return (finding.about(window) if finding else None), window


def judge_restarts(restarts: tuple[PodRestarts, ...]) -> Judgement | None:
    """Return the verdict on a canary that ends in the same way again and again, if it does.

    It is about the pods themselves and no window: a canary that ends has lost its share, and with
    it its window, before anyone can say so.
    """
    pod = condemned(restarts)
    if pod is None:
        return None
    message = words.restarting(pod.pod, pod.exit_code)
    return Judgement(None, VerdictOutcome.FAIL, Reason.CANARY_RESTARTING, message)


def unless_news(last: Judgement | None, fresh: Judgement | None) -> Judgement | None:
    """Return the verdict to show: the last one, until window, outcome or reason change.

    Numbers change with every round; a status that repeated them would be written at every round.
    """
    if last is None or fresh is None:
        return fresh or last
    same = (last.window_started_at, last.outcome, last.reason) == (
        fresh.window_started_at,
        fresh.outcome,
        fresh.reason,
    )
    return last if same else fresh


def _stalled_pod(evidence: Evidence, case: Case) -> _Finding | None:
    for sample in evidence.samples:
        if sample.revision == case.canary and _is_stalled(sample, evidence):
            return _failed(Reason.NO_PROGRESS, words.no_progress(sample.pod, STALL))
    return None


def _is_stalled(sample: PodSample, evidence: Evidence) -> bool:
    """Whether a process that may still be there got no further for too long."""
    unread = {entry.pod for entry in evidence.unread}
    may_be_there = sample.scraped_at == evidence.collected_at or sample.pod in unread
    return may_be_there and sample.stalled_for >= STALL


def _errors(difference: Difference, limits: Limits) -> _Finding | None:
    counters = difference.canary.counters
    if counters.judged < limits.min_requests or not fails(counters, limits):
        return None
    message = words.errors(counters, limits.max_error_percent)
    return _failed(Reason.ERRORS_TOO_HIGH, message)


def _exceeded_guard(window: Window, evidence: Evidence, limits: Limits) -> _Finding | None:
    """Whether a guard was above its maximum before, and is at a later reading."""
    for reading in evidence.guards:
        first = window.breaches.get(reading.guard)
        maximum = limits.guards.get(reading.guard)
        if first is None or maximum is None:
            continue
        if reading.value > maximum and reading.read_at > first:
            message = words.guard(reading.guard, reading.value, maximum)
            return _failed(Reason.GUARD_EXCEEDED, message)
    return None


def _breaches(window: Window, evidence: Evidence, limits: Limits) -> dict[str, datetime]:
    breaches = {guard: at for guard, at in window.breaches.items() if guard in limits.guards}
    for reading in evidence.guards:
        if reading.guard not in limits.guards or reading.read_at < window.started_at:
            continue
        if reading.value > limits.guards[reading.guard]:
            breaches.setdefault(reading.guard, reading.read_at)
        else:
            breaches.pop(reading.guard, None)
    return breaches


def _missing(
    window: Window, evidence: Evidence, case: Case, limits: Limits, now: datetime
) -> _Finding | None:
    """Whether something that is needed has gone unread for too long.

    Every pod of the canary is needed: what one of them does would be seen nowhere else. Of the
    stable pods one suffices, and none where the relative limits do not apply. What was missing
    stays so until it is read, across restarts of the operator.
    """
    patience = timedelta(0) if window.is_missing else limits.patience
    needed = [entry for entry in evidence.unread if entry.revision == case.canary]
    if case.relative and case.stable is not None and not evidence.live(case.stable):
        needed += [entry for entry in evidence.unread if entry.revision == case.stable]
    for pod in needed:
        if now - pod.since >= patience:
            return _absent(words.unread_pod(pod.pod, pod.cause))
    for guard in evidence.guards_unread:
        if guard.guard in limits.guards and now - guard.since >= patience:
            return _absent(words.unread_guard(guard.guard, guard.cause))
    return None


def _weighed(
    window: Window, difference: Difference, evidence: Evidence, case: Case, limits: Limits
) -> _Finding | None:
    """Judge what has been measured, as far as it goes."""
    compared = compare(difference, case, limits)
    if compared.breach is not None:
        return _failed(compared.breach.reason, words.slower(compared.breach))
    if _is_silent(difference, evidence, case):
        return _without_traffic(window, difference, evidence, case, limits)
    canary = difference.canary.counters
    if canary.judged < limits.min_requests or not compared.measured:
        return _too_few(difference, compared, case, limits)
    if compared.doubt is not None:
        message = words.doubtful(compared.doubt)
        return _Finding(VerdictOutcome.INCONCLUSIVE, Reason.TOO_FEW_REQUESTS, message)
    if not _guards_kept(window, evidence, limits):
        return None
    message = words.kept(canary, limits.max_error_percent, compared.pairs)
    return _Finding(VerdictOutcome.PASS, Reason.LIMITS_KEPT, message, measured=True)


def _is_silent(difference: Difference, evidence: Evidence, case: Case) -> bool:
    """Whether nobody asked in this window, and no request from before it is stuck.

    A canary that hangs may hold every client that there is: their silence says nothing for it.
    """
    demanded = difference.canary.counters.demanded + difference.stable.counters.demanded
    is_stuck = any(
        sample.stalled_since is not None
        for revision in case.revisions
        for sample in evidence.live(revision)
    )
    return demanded == 0 and not is_stuck


def _without_traffic(
    window: Window, difference: Difference, evidence: Evidence, case: Case, limits: Limits
) -> _Finding | None:
    """Nobody asked: that speaks for the canary when it was seen by all pods for long enough."""
    if difference.span < max(case.min_time - limits.interval, 2 * limits.interval):
        return _too_few(difference, Compared(measured=not case.relative), case, limits)
    if not _guards_kept(window, evidence, limits):
        return None
    if any(entry.revision in case.revisions for entry in evidence.unread):
        return None
    needed = case.revisions if case.relative else (case.canary,)
    if not all(evidence.live(revision) for revision in needed):
        return None
    message = words.no_traffic(difference.span)
    return _Finding(VerdictOutcome.PASS, Reason.NO_TRAFFIC, message, measured=True)


def _guards_kept(window: Window, evidence: Evidence, limits: Limits) -> bool:
    """Whether every guard was read in this window, and none was above its maximum just now."""
    read = {entry.guard for entry in evidence.guards if entry.read_at >= window.started_at}
    return not window.breaches and read >= limits.guards.keys()


def _too_few(difference: Difference, compared: Compared, case: Case, limits: Limits) -> _Finding:
    stable = difference.stable.counters.judged if case.relative else None
    message = words.too_few(difference.canary.counters.judged, stable, limits.min_requests)
    reason = Reason.TOO_FEW_REQUESTS
    return _Finding(VerdictOutcome.INCONCLUSIVE, reason, message, measured=compared.measured)


def _failed(reason: Reason, message: str) -> _Finding:
    return _Finding(VerdictOutcome.FAIL, reason, message)


def _absent(message: str) -> _Finding:
    reason = Reason.METRICS_MISSING
    return _Finding(VerdictOutcome.INCONCLUSIVE, reason, message, is_missing=True)
