"""What a pass is given: everything the cache holds, and what only a question brings.

Called by the worker. Counters of pods are read only while a rollout is judged, and evidence only
about pods that do not get ready; neither can fail a pass, and a steady state asks for nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llm_operator import kinds
from llm_operator.cluster.cache import Cache, ResourceKey
from llm_operator.evidence import EvidenceReader
from llm_operator.judging import order
from llm_operator.observation import Observation, Refusal
from llm_operator.scrape import Scraper

Address = tuple[kinds.ResourceKind, str]


@dataclass(slots=True)
class Gatherer:
    """Observations by resource, and the refusals that stand between two passes."""

    cache: Cache
    scraper: Scraper
    evidence: EvidenceReader
    refusals: dict[ResourceKey, dict[Address, Refusal]] = field(default_factory=dict)

    async def gather(self, key: ResourceKey) -> Observation | None:
        """Return all about one resource; None when it is gone or going."""
        observation = self._look_up(key)
        if observation is None:
            return None
        deployments = observation.owned(kinds.DEPLOYMENT)
        evidence = await self.evidence.gather(key, observation.pods, deployments)
        wanted = order(observation)
        readings = await self.scraper.collect(key, wanted) if wanted is not None else None
        return replace(observation, evidence=evidence, readings=readings)

    def remember(self, key: ResourceKey, refusal: Refusal) -> None:
        """Keep what an apply was refused with, for the passes to come."""
        self.refusals.setdefault(key, {})[refusal.kind, refusal.name] = refusal

    def accept(self, key: ResourceKey, address: Address) -> None:
        """Drop the refusal of a child whose apply succeeded."""
        self.refusals.get(key, {}).pop(address, None)

    def end_rollout(self, key: ResourceKey) -> None:
        """Drop the readings of a resource that has no rollout under way."""
        self.scraper.forget(key)

    def forget(self, key: ResourceKey) -> None:
        """Drop everything about a resource that is gone."""
        self.refusals.pop(key, None)
        self.scraper.forget(key)
        self.evidence.forget(key)

    def _look_up(self, key: ResourceKey) -> Observation | None:
        resource = self.cache.resource(key)
        if resource is None or "deletionTimestamp" in resource["metadata"]:
            return None
        return Observation(
            resource=resource,
            children=self.cache.children(key),
            pods=self.cache.pods(key),
            endpoint_slices=self.cache.endpoint_slices(key),
            refusals=tuple(self._standing_refusals(key, resource).values()),
        )

    def _standing_refusals(
        self, key: ResourceKey, resource: Mapping[str, Any]
    ) -> dict[Address, Refusal]:
        """Drop refusals of another generation: what was refused may have been corrected."""
        standing = self.refusals.get(key, {})
        generation = resource["metadata"].get("generation")
        if any(refusal.generation != generation for refusal in standing.values()):
            self.refusals.pop(key, None)
            return {}
        return standing
