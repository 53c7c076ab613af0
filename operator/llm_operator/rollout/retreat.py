"""Going back to the stable revision: traffic first, then pods. Pure.

(a) The share goes to 0 as soon as a stable pod is ready; what relies on it waits until it is
applied, at most a minute. (b) Stable grows to T, and where there is no room canary pods go for it:
at most one at a time while the canary carries traffic, unready ones first. (c) With stable whole,
the canary goes.
"""

from datetime import timedelta
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.position import Case, Position, asked, extended, is_overdue, is_settled
from llm_operator.rollout.scaling import Move, room
from llm_operator.rollout.sizes import clears_first, serving_floor

REJECTED_LIMIT: Final = 5
"""Rejected hashes kept in status, newest last."""

COMMANDS_KEPT: Final = 16
"""Nonces remembered once a rollout has ended (rollout.md, "Events")."""

APPLY_PATIENCE: Final = timedelta(seconds=60)
"""How long a rollback waits for its share to be applied (rollout.md, "States")."""

_NOT_A_FAILURE: Final = frozenset({Reason.SUPERSEDED, Reason.REVERTED})


def roll_back(position: Position, case: Case, reason: Reason, message: str) -> Position:
    """Begin to go back; whatever is not the spec's own change of mind rejects the hash."""
    rejected = position.rollout.rejected
    if reason not in _NOT_A_FAILURE:
        rejected = with_rejected(rejected, position.rollout.target)
    return position.but(
        phase=RolloutPhase.ROLLING_BACK,
        cause=reason,
        message=message,
        rejected=rejected,
        deadline_at=case.now + case.policy.progress_deadline,
        ready_peak=case.stable(position).ready,
        step_started_at=case.now,
        window_started_at=None,
        clock_started_at=None,
        elapsed_seconds=None,
        return_to=None,
        paused_by=None,
        pause_until=None,
        holding_deadline_at=None,
        lost_since=None,
        promote_asked=False,
        pause_asked=False,
    ).noted(Reason.ROLLOUT_ROLLING_BACK, f"Back to revision {position.stable}: {message}")


def with_rejected(rejected: tuple[str, ...], hash_: str | None) -> tuple[str, ...]:
    """Add a hash as the newest; five are kept."""
    others = [known for known in rejected if known != hash_]
    return (*others, hash_)[-REJECTED_LIMIT:] if hash_ else tuple(others)


def move_back(position: Position, case: Case) -> Position:
    """Take the transition of ``RollingBack`` that is due."""
    stable = case.stable(position)
    position = extended(position, case, stable.ready)
    if stable.ready >= 1 and position.rollout.weight_percent > 0:
        return asked(position, 0)
    is_empty = case.canary(position).claimed == 0
    if stable.ready >= case.total(position):
        return _ended(position) if is_empty or _is_free(position, case) else position
    if is_overdue(position, case) and not _only_canary_serves(position, case):
        message = f"{position.rollout.message}. Not all pods of stable are ready again"
        return _ended(position.but(message=message), Reason.STABLE_NOT_READY)
    return position


def _only_canary_serves(position: Position, case: Case) -> bool:
    """Whether giving up now would leave nothing that answers."""
    carries = position.rollout.weight_percent > 0 and case.canary(position).ready > 0
    return carries and case.stable(position).ready == 0


def _ended(position: Position, reason: Reason | None = None) -> Position:
    rollout = position.rollout
    failed = rollout.cause not in _NOT_A_FAILURE or reason is not None
    ended = position.but(
        phase=RolloutPhase.ROLLED_BACK if failed else RolloutPhase.STABLE,
        cause=(reason or rollout.cause) if failed else None,
        message=rollout.message if failed else "",
        weight_percent=0,
        commands=rollout.commands[-COMMANDS_KEPT:],
        **RESET,
    )
    word = Reason.ROLLED_BACK if failed else (rollout.cause or Reason.ROLLED_BACK)
    return ended.noted(word, f"Revision {rollout.target} is gone: {rollout.message}")


RESET: Final = {
    "previous": None,
    "deadline_at": None,
    "ready_peak": 0,
    "frozen": None,
    "held_total": None,
    "step": None,
    "step_weight_percent": 0,
    "step_started_at": None,
    "applied_at": None,
    "unapplied_since": None,
    "window_started_at": None,
    "clock_started_at": None,
    "elapsed_seconds": None,
    "return_to": None,
    "paused_by": None,
    "pause_until": None,
    "pause_done": False,
    "holding_deadline_at": None,
    "lost_since": None,
    "promote_asked": False,
    "pause_asked": False,
}
"""What of a rollout ends with it."""


def retreat_sizes(position: Position, case: Case) -> Move:
    """Return the sizes of ``RollingBack`` for now."""
    canary, stable = case.canary(position), case.stable(position)
    total = case.total(position)
    weight = position.rollout.weight_percent
    missing = max(0, total - stable.replicas)
    more = min(room(position, case), missing)
    if more or not missing:
        return Move(canary.replicas, stable.replicas + more, weight)
    return Move(canary.replicas - _yielded(position, case, missing), stable.replicas, weight)


def _yielded(position: Position, case: Case, missing: int) -> int:
    """Return how many canary pods go to make room for as many stable pods."""
    canary, stable = case.canary(position), case.stable(position)
    known = {*case.world.existing, *case.world.replicas}
    pending = sum(case.count(hash_).ending for hash_ in known)
    needed = min(missing - pending, canary.replicas)
    if needed <= 0:
        return 0
    if _is_free(position, case):
        return needed
    if canary.unready > 0 or stable.ready > 0:  # with a ready stable pod the share can move first
        return min(needed, canary.unready)
    is_alone = pending == 0 and stable.unready == 0
    floor = serving_floor(position.frozen, case.total(position))
    may_go = clears_first(position.frozen) or canary.ready > max(1, floor)
    return 1 if is_alone and may_go else 0


def _is_free(position: Position, case: Case) -> bool:
    """Whether the canary carries nothing any more, as far as one can wait for it."""
    if position.rollout.weight_percent > 0:
        return False
    since = position.rollout.unapplied_since
    waited = since is not None and case.now >= since + APPLY_PATIENCE
    return waited or is_settled(position, case) or case.canary(position).ready == 0
