"""Traffic by the number of ready pods: one Service, nothing installed.

The Service pins stable's hash at 0 and the canary's at 100. In between it selects both revisions,
and kube-proxy picks a pod per connection: the share is that of the canary's ready pods, which the
rollout's sizes bring as near to the weight as whole pods can. There is no gap in either direction,
because a changed selector makes the endpoint controller replace the endpoints, and only revisions
with ready pods are ever selected (invariant I13).
"""

from dataclasses import dataclass

from llm_operator.desired.objects import HotSpec, render_service
from llm_operator.rollout.sizes import WHOLE, effective_weight_percent
from llm_operator.rollout.state import AppliedTraffic
from llm_operator.traffic.asked import Asked
from llm_operator.traffic.provider import Manifest
from llm_operator.traffic.scene import Scene


@dataclass(frozen=True, slots=True)
class ReplicaRatio:
    """A ``TrafficProvider``."""

    def render(self, scene: Scene, hot: HotSpec, asked: Asked) -> tuple[Manifest, ...]:
        """Return the Service."""
        identity = scene.identity
        one = asked.hashes[0] if len(asked.hashes) == 1 else None
        selector = identity.selector(one) if one else identity.open_selector()
        return (render_service(identity, hot.service, identity.name, selector),)

    def observe(self, scene: Scene, asked: Asked) -> AppliedTraffic:
        """Read the share off the selector; it is applied when the endpoints are what it selects."""
        name = scene.identity.name
        weight_percent = _weight_percent(scene, asked)
        if weight_percent is None:
            return AppliedTraffic(None, is_applied=False, problem=_wrong_selector(scene))
        if not scene.agrees(name):
            problem = f'The EndpointSlices of Service "{name}" lag behind its selector'
            return AppliedTraffic(weight_percent, is_applied=False, problem=problem)
        return AppliedTraffic(weight_percent, is_applied=True, problem="")

    def objection(self, scene: Scene) -> str:
        """Return nothing: whatever selects pods by labels takes a Service as it is."""
        del scene
        return ""


def _weight_percent(scene: Scene, asked: Asked) -> int | None:
    name = scene.identity.name
    if scene.is_open(name):
        return _open_weight_percent(scene, asked)
    selected = scene.selected(name)
    if selected == asked.base:
        return 0 if asked.splits else asked.weight_percent
    return WHOLE if asked.splits and selected == asked.canary else None


def _open_weight_percent(scene: Scene, asked: Asked) -> int | None:
    """Return the weight that an open selector stands for.

    What was asked, if that is in between: an open selector carries out every such weight alike.
    Otherwise the selector has yet to follow, and the share is what the pods make of it.
    """
    if not asked.splits:
        return None
    if 0 < asked.canary_percent < WHOLE:
        return asked.canary_percent
    ready = [scene.revisions[pod] for pod in scene.ready]
    share = effective_weight_percent(ready.count(str(asked.canary)), ready.count(asked.base))
    return None if share is None else min(max(share, 1), WHOLE - 1)


def _wrong_selector(scene: Scene) -> str:
    name = scene.identity.name
    if name not in scene.selectors:
        return f'Service "{name}" does not exist yet'
    return f'Service "{name}" does not select what was asked yet'
