"""Pods, Deployments and routes of one resource, and the steps they take by themselves.

Deployments follow their ``replicas`` late, pods get ready and disappear one at a time, and a route
is followed late: until it is applied, traffic may still go where any route since the last applied
one sent it. Revisions are numbered; ``NAMES`` are their hashes.
"""

from typing import Final, NamedTuple

NAMES: Final = ("bbbbbbbb", "cccccccc", "dddddddd")
"""Hashes of the revisions that a run knows, by number."""

OLD: Final = 0
NEW: Final = 1
NEXT: Final = 2
NOBODY: Final = -1

ABSENT: Final = -1
"""``replicas`` of a revision without a Deployment."""

WAIT_LIMIT: Final = 60
"""Seconds beyond which it no longer matters how long a route has not been applied."""


class Pods(NamedTuple):
    """The pods of one revision and the size of its Deployment."""

    replicas: int = ABSENT
    ready: int = 0
    starting: int = 0
    leaving: int = 0

    @property
    def live(self) -> int:
        """Return the pods that the Deployment counts: those that do not terminate."""
        return self.ready + self.starting

    @property
    def existing(self) -> int:
        """Return the pods that hold an accelerator."""
        return self.ready + self.starting + self.leaving

    def synced(self) -> "Pods":
        """Return the pods once the Deployment has followed its replicas; unready ones go first."""
        surplus = self.live - max(self.replicas, 0)
        if surplus <= 0:
            return self._replace(starting=self.starting - surplus)
        unready = min(surplus, self.starting)
        return self._replace(
            ready=self.ready - (surplus - unready),
            starting=self.starting - unready,
            leaving=self.leaving + surplus,
        )


class Route(NamedTuple):
    """Where traffic goes; weight 0 and 100 are written as a pin to one revision."""

    stable: int
    canary: int = NOBODY
    weight: int = 0
    """Percent of the canary; ``BY_RATIO`` where the number of ready pods decides."""

    def takes(self, revision: int) -> bool:
        """Whether ready pods of the revision get traffic."""
        return self.weight == BY_RATIO or revision in (self.stable, self.canary)


BY_RATIO: Final = -1


class Cluster(NamedTuple):
    """Everything that the operator can see and change."""

    revisions: tuple[Pods, ...] = (Pods(), Pods(), Pods())
    route: Route | None = None
    """As written; None before the first write."""
    followed: tuple[Route, ...] = ()
    """Routes that proxies may still follow, oldest first; the written one is the last."""
    is_applied: bool = True
    waited: int = 0
    """Seconds since the route was written, while it is not applied."""

    def settled(self) -> "Cluster":
        """Return the cluster once every Deployment has followed its replicas."""
        return self._replace(revisions=tuple(pods.synced() for pods in self.revisions))

    def existing(self) -> int:
        """Return the pods of all revisions that hold an accelerator."""
        return sum(pods.existing for pods in self.revisions)

    def with_pods(self, revision: int, pods: Pods) -> "Cluster":
        """Return the cluster with other pods of a revision."""
        revisions = self.revisions
        return self._replace(revisions=(*revisions[:revision], pods, *revisions[revision + 1 :]))

    def with_route(self, route: Route) -> "Cluster":
        """Return the cluster with another route written and not yet applied."""
        followed = (*(known for known in self.followed if known != route), route)
        return self._replace(route=route, followed=followed, is_applied=False, waited=0)

    def resized(self, revision: int, replicas: int) -> "Cluster":
        """Return the cluster with another size written; ``ABSENT`` deletes the Deployment."""
        return self.with_pods(revision, self.revisions[revision]._replace(replicas=replicas))

    def after(self, seconds: int) -> "Cluster":
        """Return the cluster after a time in which nothing but time went on."""
        if self.is_applied:
            return self
        return self._replace(waited=min(self.waited + seconds, WAIT_LIMIT))


# What the cluster does by itself


def applied(cluster: Cluster) -> Cluster:
    """Every proxy follows the written route."""
    assert cluster.route is not None
    return cluster._replace(followed=(cluster.route,), is_applied=True, waited=0)


def synced(cluster: Cluster, revision: int) -> Cluster:
    """The Deployment controller creates or ends pods."""
    before = cluster.revisions[revision]
    after = before.synced()
    return _shown(cluster.with_pods(revision, after), revision, after.ready - before.ready)


def got_ready(cluster: Cluster, revision: int) -> Cluster:
    """One pod gets ready."""
    pods = cluster.revisions[revision]
    changed = pods._replace(ready=pods.ready + 1, starting=pods.starting - 1)
    return _shown(cluster.with_pods(revision, changed), revision, 1)


def gone(cluster: Cluster, revision: int) -> Cluster:
    """One terminating pod disappears."""
    pods = cluster.revisions[revision]
    return cluster.with_pods(revision, pods._replace(leaving=pods.leaving - 1))


# What happens to the cluster


def crashed(cluster: Cluster, revision: int) -> Cluster:
    """All ready pods of a revision stop being ready and start again."""
    pods = cluster.revisions[revision]
    changed = pods._replace(ready=0, starting=pods.live)
    return _shown(cluster.with_pods(revision, changed), revision, -pods.ready)


def evicted(cluster: Cluster, revision: int) -> Cluster:
    """One ready pod is ended by another hand; its Deployment will replace it."""
    pods = cluster.revisions[revision]
    changed = pods._replace(ready=pods.ready - 1, leaving=pods.leaving + 1)
    return _shown(cluster.with_pods(revision, changed), revision, -1)


def _shown(cluster: Cluster, revision: int, change: int) -> Cluster:
    """EndpointSlices of a Service over both revisions lag behind its ready pods."""
    route = cluster.route
    if change == 0 or route is None or route.weight != BY_RATIO:
        return cluster
    return cluster._replace(is_applied=False, waited=0)
