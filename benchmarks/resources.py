"""The LLMDeployments of a contender and their children, through the API as its administrator."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from benchmarks.contender import Contender
from llm_operator import kinds
from llm_operator.kinds import ResourceKind

EDITED_ANNOTATION: Final = "benchmark.llm-operator.io/edited"
EDITED_SELECTOR_KEY: Final = "edited"
_MERGE_PATCH: Final = {"Content-Type": "application/merge-patch+json"}
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources of one contender, ``names`` of them."""

    api: httpx.Client
    """Its base URL is the API server."""
    contender: Contender
    names: tuple[str, ...]

    @classmethod
    def numbered(cls, api: httpx.Client, contender: Contender, n: int) -> "Resources":
        """Return ``n`` resources that are still to be created."""
        return cls(api, contender, tuple(f"llm-{number:05d}" for number in range(n)))

    def create(self) -> None:
        """Create all, one after the other."""
        path = self.contender.kind.path(self.contender.namespace)
        for name in self.names:
            self.api.post(path, json=self.contender.resource(name)).raise_for_status()

    def are_reported(self) -> bool:
        """Whether each status is about the present generation."""
        return all(
            item.get("status", {}).get("observedGeneration") == item["metadata"]["generation"]
            for item in self._items(self.contender.kind)
        )

    def children(self) -> Counter[str]:
        """Count, by kind, the objects that a resource controls."""
        counts: Counter[str] = Counter()
        for kind in kinds.APPLIED_KINDS:
            if kind not in kinds.OPTIONAL_KINDS:  # this cluster serves none of them
                counts[kind.kind] = sum(self._is_child(item) for item in self._items(kind))
        return +counts

    def edit_service(self, name: str) -> None:
        """Send the traffic of a Service nowhere, as a hand would that means well."""
        self._patch(kinds.SERVICE, name, {"spec": {"selector": {EDITED_SELECTOR_KEY: "by-hand"}}})

    def edit_annotations(self, name: str, value: str) -> None:
        """Ask, in a resource's spec, for an annotation of its Service."""
        spec = {"service": {"annotations": {EDITED_ANNOTATION: value}}}
        self._patch(self.contender.kind, name, {"spec": spec})

    def are_repaired(self, names: tuple[str, ...]) -> bool:
        """Whether no Service has what ``edit_service`` added."""
        return not any(
            EDITED_SELECTOR_KEY in service["spec"]["selector"] for service in self._services(names)
        )

    def are_annotated(self, names: tuple[str, ...], value: str) -> bool:
        """Whether each Service has what ``edit_annotations`` asked for."""
        return all(
            service["metadata"].get("annotations", {}).get(EDITED_ANNOTATION) == value
            for service in self._services(names)
        )

    def _services(self, names: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
        for name in names:
            response = self.api.get(kinds.SERVICE.path(self.contender.namespace, name))
            yield response.raise_for_status().json()

    def _is_child(self, item: Mapping[str, Any]) -> bool:
        return any(
            owner["apiVersion"] == self.contender.kind.api_version and owner.get("controller")
            for owner in item["metadata"].get("ownerReferences", ())
        )

    def _patch(self, kind: ResourceKind, name: str, body: Mapping[str, Any]) -> None:
        path = kind.path(self.contender.namespace, name)
        self.api.patch(path, json=body, headers=_MERGE_PATCH).raise_for_status()

    def _items(self, kind: ResourceKind) -> Iterator[Mapping[str, Any]]:
        query = {"limit": str(_PAGE)}
        while True:
            response = self.api.get(kind.path(self.contender.namespace), params=query)
            page = response.raise_for_status().json()
            yield from page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token
