"""Traffic by the exact weights of an HTTPRoute over two Services.

``<name>`` is stable's Service and ``<name>-canary`` the canary's; the route ``<name>`` weighs the
two. A request with the header ``x-llm-revision: <hash>`` goes to that revision at any weight; a
hash that has no Service now is split like every other request.

Clients inside the cluster that use ``<name>`` directly always get stable, with one exception: at
weight 100 without a ready stable pod (``Recreate``, or one pod and no extra) ``<name>`` selects the
canary, because nobody is served by an empty Service.

**No gap.** Selectors and route are three objects that proxies learn of one by one, so a move that
touches more than one is made in steps, each begun when the one before is seen in the cluster:

* *A weight rises, on either side:* the route changes only when the EndpointSlices of the Service
  whose share rises show ready pods of its revision and no others. Until then it stays as it is,
  even if the Service itself was only just made.
* *Promotion.* Before: ``<name>`` has the old pods, ``<name>-canary`` the new ones, the route says
  0/100. The pointer moves: ``<name>`` selects the new revision, which takes nothing from anybody,
  for its share is 0. When its EndpointSlices show the new pods, the route goes back to 100/0 (the
  rule above). Both Services have the same pods by then: no proxy can be wrong at any moment.
  ``<name>-canary`` stays through the baking; then the route lets go of it, and when the Gateways
  have taken that up it is removed.
* *Promotion taken back* (baking fails): ``<name>`` selects the old revision again, whose pods were
  kept ready, and that is all; the route has its share at 100 already. If none of them is ready the
  machine leaves the weight at 100: ``<name>`` keeps the failed revision by the exception above.
* *Roll back from a step:* only the route changes.
* *The canary is another one* before the route has let go of the last: ``<name>-canary`` keeps its
  selector until its share is 0, since the new canary has no pods to take that share.

Nothing of this is remembered: each pass reads from the live objects how far the move is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from llm_operator import kinds
from llm_operator.desired.identity import Identity
from llm_operator.desired.objects import HotSpec, render_service
from llm_operator.rollout.sizes import WHOLE
from llm_operator.rollout.state import AppliedTraffic
from llm_operator.traffic.asked import Asked
from llm_operator.traffic.provider import Manifest
from llm_operator.traffic.route import Attachment, Rule, render_route
from llm_operator.traffic.scene import Scene

_INSIDE: Final[Mapping[str, Any]] = {"type": "ClusterIP"}
"""The canary's Service is for the Gateway alone."""


@dataclass(frozen=True, slots=True)
class GatewayAPI:
    """A ``TrafficProvider``."""

    def render(self, scene: Scene, hot: HotSpec, asked: Asked) -> tuple[Manifest, ...]:
        """Return both Services, then the route that refers to them."""
        identity = scene.identity
        move = _plan(scene, asked)
        front = render_service(identity, hot.service, identity.name, identity.selector(move.front))
        objects = [front]
        if move.second is not None:
            selector = identity.selector(move.second)
            inside = {**_INSIDE, "port": hot.service["port"]}
            objects.append(render_service(identity, inside, identity.canary_name, selector))
        attachment = _attachment(scene, hot)
        if attachment is not None and kinds.HTTP_ROUTE in scene.environment.optional_kinds:
            rules = _rules(identity, move)
            objects.append(render_route(identity, attachment, rules, hot.service["port"]))
        return tuple(objects)

    def observe(self, scene: Scene, asked: Asked) -> AppliedTraffic:
        """Read the share off the route; it is applied when every parent and both Services agree."""
        weight_percent = _weight_percent(scene, asked)
        problem = _problem(scene)
        if weight_percent is None and not problem:
            problem = "The Services do not select what was asked yet"
        return AppliedTraffic(weight_percent, is_applied=not problem, problem=problem)

    def objection(self, scene: Scene) -> str:
        """Return which Gateway refuses the route or does not exist, or that routes are unknown."""
        return _unknown_kind(scene) or (scene.route.objection() if scene.route is not None else "")


@dataclass(frozen=True, slots=True)
class _Move:
    """The next state of the three objects."""

    front: str
    """Revision that ``<name>`` selects."""
    second: str | None
    """Revision that ``<name>-canary`` selects; None when it goes."""
    canary_percent: int
    """Share of ``<name>-canary`` in the route."""
    names_second: bool
    """Whether the route names ``<name>-canary``."""


def _plan(scene: Scene, asked: Asked) -> _Move:
    front, second = _front(scene, asked), _second(scene, asked)
    if second is None:
        return _Move(front, None, 0, names_second=False)
    wanted = asked.canary_percent if second == asked.canary else 0
    share = _share(scene, front, second, wanted)
    return _Move(front, second, share, names_second=asked.has_both or share > 0)


def _front(scene: Scene, asked: Asked) -> str:
    """Return the revision for ``<name>``: stable, unless only the canary can serve."""
    is_whole = asked.canary_percent == WHOLE and not scene.has_ready(asked.base)
    if is_whole and asked.canary is not None and scene.has_ready(asked.canary):
        return asked.canary
    return asked.base


def _second(scene: Scene, asked: Asked) -> str | None:
    """Return the revision for ``<name>-canary``, which keeps its own while that has a share."""
    name = scene.identity.canary_name
    live, route = scene.selected(name), scene.route
    if live is not None and route is not None and route.share_percent(name):
        return live
    if asked.has_both:
        return asked.canary
    is_named = route is not None and (route.refers_to(name) or route.is_behind())
    return live if is_named else None


def _share(scene: Scene, front: str, second: str, wanted: int) -> int:
    """Return the canary's share in the route: as wanted, once the side that gains can take it."""
    identity, route = scene.identity, scene.route
    live = route.share_percent(identity.canary_name) if route is not None else None
    if live is None or live == wanted:
        return wanted
    gaining = (identity.canary_name, second) if wanted > live else (identity.name, front)
    return wanted if scene.shows(*gaining) else live


def _rules(identity: Identity, move: _Move) -> tuple[Rule, ...]:
    """Return a rule for each revision that can be asked for, and the one that splits the rest."""
    if not move.names_second or move.second is None:
        return (Rule({identity.name: WHOLE}),)
    weights = {
        identity.name: WHOLE - move.canary_percent,
        identity.canary_name: move.canary_percent,
    }
    homes = {move.front: identity.name, move.second: identity.canary_name}
    pinned = (Rule({service: WHOLE}, revision) for revision, service in sorted(homes.items()))
    return (*pinned, Rule(weights))


def _attachment(scene: Scene, hot: HotSpec) -> Attachment | None:
    """Return where the route hangs: as asked; as it is, if the spec asks for no Gateway any more.

    That is so when the Gateway is taken out of the spec while a rollout keeps its provider.
    """
    if hot.gateway is None:
        parents, hostnames = (
            (scene.route.parent_refs, scene.route.hostnames) if scene.route else ((), ())
        )
    else:
        parents = tuple(hot.gateway["parentRefs"])
        hostnames = tuple(hot.gateway.get("hostnames", ()))
    if not parents:
        return None
    own = scene.identity.namespace
    gateways = {(parent.get("namespace", own), parent["name"]) for parent in parents}
    return Attachment(parents, hostnames, gateways <= scene.environment.unlimited_gateways)


def _weight_percent(scene: Scene, asked: Asked) -> int | None:
    """Return the canary's share, or None when a Service has another revision than is asked for."""
    identity = scene.identity
    front, second = scene.selected(identity.name), scene.selected(identity.canary_name)
    share = scene.route.share_percent(identity.canary_name) if scene.route is not None else None
    if not asked.splits:
        everything = {front, second} if share else {front}
        return asked.weight_percent if everything == {asked.base} else None
    fronts = {asked.base, asked.canary} if share == WHOLE else {asked.base}
    return share if front in fronts and second == asked.canary else None


def _problem(scene: Scene) -> str:
    """Return why the proxies may not have what the live objects say; empty when they have."""
    identity = scene.identity
    if unknown := _unknown_kind(scene):
        return unknown
    if scene.route is None:
        return f'HTTPRoute "{identity.name}" does not exist yet'
    behind = [
        f'The EndpointSlices of Service "{name}" lag behind its selector'
        for name in (identity.name, identity.canary_name)
        if name in scene.selectors and not scene.agrees(name)
    ]
    return scene.route.problem() or next(iter(behind), "")


def _unknown_kind(scene: Scene) -> str:
    if kinds.HTTP_ROUTE in scene.environment.optional_kinds:
        return ""
    return f"The cluster does not know HTTPRoute ({kinds.HTTP_ROUTE.api_version})"
