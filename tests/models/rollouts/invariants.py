"""The rules I1 to I14 of a rollout, one function each.

They constrain actions, not the world: each is asked whether one action makes it false, or worse
than it was. A function returns what is wrong, or nothing.
"""

from collections.abc import Callable, Mapping
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.api.rollout import Strategy
from llm_operator.api.status import RolloutPhase
from tests.models.rollouts.act import ALL, Act, receiving, share
from tests.models.rollouts.cluster import ABSENT, NOBODY, WAIT_LIMIT, Route
from tests.models.rollouts.moves import is_new_order
from tests.models.rollouts.operator import Kind, number_of

Rule = Callable[[Act], str]

_GOING_ON: Final = (RolloutPhase.PREPARING, RolloutPhase.STEP, RolloutPhase.PROMOTING)
_WAITING: Final = (RolloutPhase.PAUSED, RolloutPhase.HOLDING)


def i1(act: Act) -> str:
    """A weight is raised only to ready canary pods."""
    canary = act.canary
    if not act.is_route or canary in (NOBODY, act.stable) or act.replaces_in_place:
        return ""
    raised = share(act.after.cluster.route, canary) > share(act.before.cluster.route, canary)
    return "no canary pod is ready" if raised and act.pods_were(canary).ready == 0 else ""


def i2(act: Act) -> str:
    """No action lowers the ready pods that receive traffic below min(m, what it was).

    Exempt: Recreate, the weight of RollingBack, and a total of 0. While a route is not applied,
    the rule holds for every route that proxies may still follow; going back gives that 60 s.
    A weight that was persisted before a crash is carried out after it.
    """
    if act.replaces_in_place or act.total == 0:
        return ""
    if act.is_route:
        if act.phase is RolloutPhase.ROLLING_BACK or not act.is_decided_now:
            return ""
        was = min(receiving(act.was, route) for route in act.before.cluster.followed or (None,))
        return _fewer(act, was, receiving(act.now, act.after.cluster.route))
    routes = _in_force(act) if act.is_size else ()
    found = (_fewer(act, receiving(act.was, r), receiving(act.now, r)) for r in routes)
    return next(filter(None, found), "")


def _in_force(act: Act) -> tuple[Route, ...]:
    cluster = act.before.cluster
    if act.action.revision != act.stable and cluster.waited >= WAIT_LIMIT:
        return cluster.followed[-1:]
    return cluster.followed


def _fewer(act: Act, was: int, now: int) -> str:
    return (
        f"{was} → {now} ready pods in traffic, m {act.minimum}"
        if (now < min(act.minimum, was))
        else ""
    )


def i3(act: Act) -> str:
    """Stable's Deployment is not deleted before Baking ends."""
    if not act.is_size or act.action.replicas != ABSENT:
        return ""
    kept = {act.stable}
    if act.phase is RolloutPhase.BAKING:
        kept.add(number_of(act.rollout.previous))
    return "deleted" if act.action.revision in kept else ""


def i4(act: Act) -> str:
    """Only the canary of the rollout has a weight above 0, beside stable."""
    allowed = {act.stable, act.canary}
    if act.is_route:
        getting = [r for r in ALL if r not in allowed and _gets(act, r)]
        return f"traffic for revision {getting[0]}" if getting else ""
    revision = act.action.revision
    if act.is_size and revision not in allowed and act.created(revision):
        return "a third revision is created"
    return ""


def _gets(act: Act, revision: int) -> bool:
    pods = act.pods_are(revision)
    return share(act.after.cluster.route, revision) > 0 and pods.live > 0


def i5(act: Act) -> str:
    """A roll-back moves traffic before it touches a pod that carries traffic.

    It waits for the route at most 60 s; without a ready stable pod there is nowhere to move
    traffic to, and it frees the room for stable pods one at a time. No stable pod beyond T.
    """
    if act.phase is not RolloutPhase.ROLLING_BACK or not act.is_size:
        return ""
    if act.pods_are(act.stable).live > max(act.total, act.pods_were(act.stable).live):
        return "a stable pod beyond T"
    removed = act.removed_ready(act.action.revision)
    if removed == 0 or act.action.revision == act.stable or act.total == 0:
        return ""
    cluster = act.before.cluster
    carries = any(share(route, act.action.revision) for route in cluster.followed)
    if not carries or cluster.waited >= WAIT_LIMIT:
        return ""
    if act.pods_were(act.stable).ready:
        return "traffic was not moved away"
    return _frees_too_much(act, removed)


def _frees_too_much(act: Act, removed: int) -> str:
    if removed > 1:
        return f"{removed} pods with traffic at once"
    if act.was.existing() < act.limit:
        return "there was room without it"
    return ""


def i6(act: Act) -> str:
    """Nothing is created above T + E existing pods while one revision replaces another."""
    if not act.is_size or not act.in_progress or not act.created(act.action.revision):
        return ""
    if act.stable == NOBODY:
        return ""
    existing = act.now.existing()
    return f"{existing} pods, at most {act.limit}" if existing > act.limit else ""


def i7(act: Act) -> str:
    """No pod of a rejected revision is created without a retry."""
    revision = act.action.revision
    if act.is_size and revision == act.after.rejected and act.created(revision):
        return "a pod of the rejected revision"
    return ""


def i8(act: Act) -> str:
    """Paused and Holding have a reason, Holding a deadline."""
    if act.action.kind is not Kind.PERSIST or act.phase not in _WAITING:
        return ""
    if act.rollout.cause is None:
        return "no reason"
    holds = act.phase is RolloutPhase.HOLDING
    return "no deadline" if holds and act.rollout.holding_deadline_at is None else ""


def i10(act: Act) -> str:
    """A revert touches no stable pod and creates no pod of another revision.

    With I5, stable pods are created just up to T: as many as were missing.
    """
    if act.phase is not RolloutPhase.ROLLING_BACK or not act.is_size or act.total == 0:
        return ""
    revision = act.action.revision
    if revision != act.stable:
        return "a pod of another revision is created" if act.created(revision) else ""
    fewer = act.pods_are(revision).live < act.pods_were(revision).live
    return "a stable pod is removed" if fewer else ""


def i11(act: Act) -> str:
    """Missing metrics never raise a weight, except by command."""
    judgement = act.judgement
    if not act.is_route or judgement is None or not judgement.is_missing:
        return ""
    if not act.is_decided_now:
        return ""
    if act.is_commanded or act.total == 0 or act.setting.strategy is Strategy.ROLLING:
        return ""
    canary = number_of(act.seen.kept.rollout.target)
    if judgement.window_started_at != act.seen.kept.rollout.window_started_at:
        return ""
    raised = share(act.after.cluster.route, canary) > share(act.before.cluster.route, canary)
    falls_back = act.phase is RolloutPhase.ROLLING_BACK
    return "raised without metrics" if raised and not falls_back else ""


def i12(act: Act) -> str:
    """A promotion re-creates no canary pod: none is removed while it is promoted and bakes."""
    promotes = act.phase in (RolloutPhase.PROMOTING, RolloutPhase.BAKING)
    if not promotes or not act.is_size or act.action.revision != act.canary or act.total == 0:
        return ""
    fewer = act.pods_are(act.canary).live < min(act.pods_were(act.canary).live, act.total)
    return "a canary pod is removed" if fewer else ""


def i13(act: Act) -> str:
    """No action gives a share to a side without a ready pod, or ends a side's last ready pod.

    Exempt: Recreate, and what stands in for it where there is no room or nothing served. Where no
    pod of either side is ready a share means nothing.
    """
    if act.replaces_in_place or act.total == 0 or act.stable == NOBODY:
        return ""
    if act.is_route:
        empty = [r for r in (act.stable, act.canary) if _newly_empty(act, r)]
        return f"a share for revision {empty[0]} without a ready pod" if empty else ""
    revision = act.action.revision
    if not act.is_size or not act.removed_ready(revision) or act.pods_are(revision).ready:
        return ""
    shares = [share(route, revision) for route in act.before.cluster.followed]
    waited = act.before.cluster.waited >= WAIT_LIMIT and not shares[-1]
    return "the last ready pod of a side with a share" if any(shares) and not waited else ""


def _newly_empty(act: Act, revision: int) -> bool:
    if revision == NOBODY or act.pods_are(revision).ready:
        return False
    if not any(pods.ready for pods in act.was.revisions):
        return False
    before: Route | None = act.before.cluster.route
    return share(act.after.cluster.route, revision) > share(before, revision)


def i14(act: Act) -> str:
    """Paused and Holding neither raise a weight nor create canary pods.

    A weight that was persisted before may still be carried out after a crash.
    """
    canary = act.canary
    if act.phase not in _WAITING or canary in (NOBODY, act.stable):
        return ""
    if act.is_size and act.action.revision == canary and act.created(canary):
        return "a canary pod is created"
    raised = share(act.after.cluster.route, canary) > share(act.before.cluster.route, canary)
    return "the weight is raised" if act.is_route and raised and act.is_decided_now else ""


def pointer(act: Act) -> str:
    """The canary becomes stable only when all traffic is applied to it (Promoting).

    A total of 0 needs no traffic, but what is paused in the spec or has failed does not become
    stable by it; and a pointer that goes back goes to what served before.
    """
    before, after = act.before.stable, act.after.stable
    if act.action.kind is not Kind.PERSIST or NOBODY in (before, after) or before == after:
        return ""
    if after == number_of(act.seen.kept.rollout.previous):
        return ""
    if act.total == 0:
        return "it has to wait" if act.seen.spec.paused or _has_failed(act) else ""
    cluster = act.before.cluster
    moved = cluster.route == Route(after) and cluster.is_applied
    return "" if moved or act.setting.strategy is Strategy.RECREATE else "traffic was not there"


def _has_failed(act: Act) -> bool:
    """Whether the new stable revision waits for a person after a failure."""
    rollout = act.seen.kept.rollout
    is_it = number_of(rollout.target) == act.after.stable
    return is_it and rollout.paused_by is Reason.PAUSED_BY_FAILURE


def held(act: Act) -> str:
    """Stable is not made smaller than the step's weight wants of the held total (Sizes)."""
    revision = act.action.revision
    if act.phase not in (*_GOING_ON, *_WAITING) or not act.is_size or revision != act.stable:
        return ""
    if act.replaces_in_place or act.total == 0 or act.stable == act.canary:
        return ""
    weight = 100 if act.phase is RolloutPhase.PROMOTING else act.rollout.step_weight_percent
    canary = max(1, min(-(-act.total * weight // 100), act.limit - 1))
    wanted = min(act.total, act.limit - canary)
    fewer = act.pods_are(revision).live < min(wanted, act.pods_were(revision).live)
    return f"less than {wanted} stable pods at {weight} %" if fewer else ""


def deadline(act: Act) -> str:
    """Holding's deadline is set once in a step and never extended but by a command (States)."""
    before, after = act.before.kept.rollout, act.rollout
    was, now = before.holding_deadline_at, after.holding_deadline_at
    same_step = (before.target, before.step) == (after.target, after.step)
    if act.action.kind is not Kind.PERSIST or is_new_order(act.seen) or not same_step:
        return ""
    return "extended" if was is not None and now is not None and now > was else ""


OF_ACTIONS: Final[Mapping[str, Rule]] = {
    rule.__name__.upper(): rule
    for rule in (i1, i2, i3, i4, i5, i6, i7, i8, i10, i11, i12, i13, i14, pointer, held, deadline)
}
"""All but I9, which the explorer asks of every persisted rollout; and three rules of the text."""
