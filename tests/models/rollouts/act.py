"""One action of the operator, with all that an invariant may ask about it."""

from collections.abc import Iterator
from dataclasses import dataclass

from llm_operator.api.rollout import Strategy
from llm_operator.api.status import RolloutPhase
from llm_operator.rollout.state import Judgement, Rollout
from tests.models.rollouts.cluster import NAMES, NOBODY, Cluster, Pods, Route
from tests.models.rollouts.moves import carry_out, held_total, is_new_order
from tests.models.rollouts.operator import AT_REST, Action, Kind, Pass, judge, number_of
from tests.models.rollouts.situation import Setting, Situation


@dataclass(frozen=True, slots=True)
class Act:
    """An action between two clusters, both taken as they are once Deployments have followed."""

    setting: Setting
    """What the rollout began with; at rest, what the spec has."""
    seen: Situation
    """What the pass saw."""
    action: Action
    before: Situation
    """With the earlier actions of the pass."""
    after: Situation
    was: Cluster
    now: Cluster

    @property
    def rollout(self) -> Rollout:
        """The rollout as persisted by this pass."""
        return self.after.kept.rollout

    @property
    def phase(self) -> RolloutPhase:
        """The phase that the action belongs to."""
        return self.rollout.phase

    @property
    def stable(self) -> int:
        """The stable revision that the action belongs to."""
        return self.after.stable

    @property
    def canary(self) -> int:
        """The revision that the rollout is about."""
        return number_of(self.rollout.target)

    @property
    def total(self) -> int:
        """T."""
        return self.after.total

    @property
    def minimum(self) -> int:
        """M."""
        return self.setting.minimum(self.total)

    @property
    def limit(self) -> int:
        """T + E."""
        twice = self.setting.strategy is Strategy.BLUE_GREEN
        return self.total + (self.total if twice else self.setting.extra)

    @property
    def is_route(self) -> bool:
        """Whether it moves traffic."""
        return self.action.kind is Kind.ROUTE

    @property
    def is_size(self) -> bool:
        """Whether it resizes or deletes a Deployment."""
        return self.action.kind is Kind.SIZE

    @property
    def in_progress(self) -> bool:
        """Whether a rollout is under way."""
        return self.phase not in AT_REST

    @property
    def is_commanded(self) -> bool:
        """Whether a command has a part in this pass, or an accepted one is remembered."""
        return is_new_order(self.seen) or self.rollout.promote_asked

    @property
    def is_decided_now(self) -> bool:
        """Whether this pass decided the weight; if not, an earlier pass was cut short."""
        before = self.seen.kept.rollout
        kept = (before.weight_percent, before.target, self.seen.stable)
        return kept != (self.rollout.weight_percent, self.rollout.target, self.stable)

    @property
    def judgement(self) -> Judgement | None:
        """What the judge had said."""
        return judge(self.seen)

    @property
    def replaces_in_place(self) -> bool:
        """Whether the page exempts the rollout from serving: nothing can, or nothing did."""
        frozen = self.rollout.frozen
        if frozen is None:
            return self.setting.strategy is Strategy.RECREATE or self.limit <= 1
        alone = frozen.strategy is Strategy.RECREATE and self.setting.extra == 0
        recreates = self.setting.strategy is Strategy.RECREATE
        return frozen.replaces_directly or recreates or alone or self.limit <= 1

    def pods_were(self, revision: int) -> Pods:
        """Return the pods of a revision before the action."""
        return self.was.revisions[revision]

    def pods_are(self, revision: int) -> Pods:
        """Return the pods of a revision once the action has had its effect."""
        return self.now.revisions[revision]

    def created(self, revision: int) -> int:
        """Return how many pods of a revision the action creates."""
        return max(self.pods_are(revision).live - self.pods_were(revision).live, 0)

    def removed_ready(self, revision: int) -> int:
        """Return how many ready pods of a revision the action ends."""
        return max(self.pods_were(revision).ready - self.pods_are(revision).ready, 0)


def receiving(cluster: Cluster, route: Route | None) -> int:
    """Return the ready pods that get traffic by a route."""
    if route is None:
        return 0
    pods = enumerate(cluster.revisions)
    return sum(p.ready for revision, p in pods if route.takes(revision))


def share(route: Route | None, revision: int) -> int:
    """Return the percent that a route gives to a revision; 50 where pods decide."""
    if route is None or revision == NOBODY:
        return 0
    if route.canary == NOBODY:
        return 100 if route.stable == revision else 0
    if revision not in (route.stable, route.canary):
        return 50 if route.takes(revision) else 0
    if route.weight < 0:
        return 50
    return route.weight if revision == route.canary else 100 - route.weight


def acts(setting: Setting, situation: Situation, done: Pass) -> Iterator[Act]:
    """Yield the actions of a pass, each with the world before and after it."""
    before = situation._replace(total=held_total(situation))
    for action in done.actions:
        after = carry_out(before, action)
        is_at_rest = after.kept.rollout.phase in AT_REST
        yield Act(
            setting.edition(after.spec.edition if is_at_rest else after.begun_with),
            situation,
            action,
            before,
            after,
            before.cluster.settled(),
            after.cluster.settled(),
        )
        before = after


ALL = range(len(NAMES))
