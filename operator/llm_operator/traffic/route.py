"""The HTTPRoute: how it is rendered, and what a live one says.

Lists in it are atomic for server-side apply and compared whole, so every default of its schema is
written out here (Gateway API v1, standard channel).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from llm_operator import kinds
from llm_operator.desired.identity import Identity
from llm_operator.rollout.sizes import WHOLE

REVISION_HEADER: Final = "x-llm-revision"
"""A request that carries a hash in this header goes to that revision."""

_GATEWAY: Final[Mapping[str, str]] = {"group": kinds.HTTP_ROUTE.group, "kind": "Gateway"}
_SERVICE: Final[Mapping[str, str]] = {"group": "", "kind": "Service"}
_EVERY_PATH: Final[Mapping[str, str]] = {"type": "PathPrefix", "value": "/"}
_UNLIMITED: Final[Mapping[str, str]] = {"request": "0s"}
_VERDICTS: Final = ("Accepted", "ResolvedRefs")


@dataclass(frozen=True, slots=True)
class Attachment:
    """Where a route hangs: the Gateways, and the host names that it answers to."""

    parent_refs: tuple[Mapping[str, Any], ...]
    hostnames: tuple[str, ...]
    is_unlimited: bool
    """Whether every Gateway lets a route say that a request may take as long as it takes."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a route: weights by the names of Services."""

    weights: Mapping[str, int]
    revision: str | None = None
    """The hash that requests of this rule ask for; None for all others."""


def render_route(
    identity: Identity, attachment: Attachment, rules: Sequence[Rule], port: int
) -> dict[str, Any]:
    """Render the route; ``port`` is that of the Services."""
    timeouts = {"timeouts": dict(_UNLIMITED)} if attachment.is_unlimited else {}
    spec: dict[str, Any] = {
        "parentRefs": [{**_GATEWAY, **parent} for parent in attachment.parent_refs],
        "rules": [
            {
                "matches": [_match(rule.revision)],
                "backendRefs": [
                    {**_SERVICE, "name": name, "port": port, "weight": weight}
                    for name, weight in rule.weights.items()
                ],
                **timeouts,
            }
            for rule in rules
        ],
    }
    if attachment.hostnames:
        spec["hostnames"] = list(attachment.hostnames)
    return identity.manifest(kinds.HTTP_ROUTE, identity.name, spec=spec)


def _match(revision: str | None) -> dict[str, Any]:
    if revision is None:
        return {"path": dict(_EVERY_PATH)}
    header = {"type": "Exact", "name": REVISION_HEADER, "value": revision}
    return {"path": dict(_EVERY_PATH), "headers": [header]}


@dataclass(frozen=True, slots=True)
class LiveRoute:
    """A route as the cluster has it."""

    json: Mapping[str, Any]

    @property
    def parent_refs(self) -> tuple[Mapping[str, Any], ...]:
        """The Gateways that it hangs on."""
        return tuple(self._spec.get("parentRefs") or ())

    @property
    def hostnames(self) -> tuple[str, ...]:
        """The host names that it answers to."""
        return tuple(self._spec.get("hostnames") or ())

    def share_percent(self, service: str) -> int | None:
        """Return a Service's share of the requests that ask for no revision, rounded.

        None when the route has no such rule, or one that gives no share to anything.
        """
        for rule in self._rules:
            if any(match.get("headers") for match in rule.get("matches") or ()):
                continue
            weights = {ref["name"]: int(ref.get("weight", 1)) for ref in _backends(rule)}
            total = sum(weights.values())
            return round(WHOLE * weights.get(service, 0) / total) if total else None
        return None

    def refers_to(self, service: str) -> bool:
        """Whether any of its rules names a Service."""
        return any(ref["name"] == service for rule in self._rules for ref in _backends(rule))

    def problem(self) -> str:
        """Return why not every Gateway has taken up the route as it is now; empty when all have.

        A Gateway has, when one controller's answer for it says Accepted and ResolvedRefs for the
        current generation. Refusals come before those that only lag.
        """
        return min(self._problems()).text if self._problems() else ""

    def objection(self) -> str:
        """Return which Gateway refuses the route or does not answer; empty if all only lag."""
        found = [problem for problem in self._problems() if problem.kind != _LAGGING]
        return min(found).text if found else ""

    @property
    def _spec(self) -> Mapping[str, Any]:
        spec: Mapping[str, Any] = self.json.get("spec") or {}
        return spec

    @property
    def _rules(self) -> Sequence[Mapping[str, Any]]:
        return self._spec.get("rules") or ()

    def is_behind(self) -> bool:
        """Whether a Gateway that knows the route still has an older generation of it."""
        return any(problem.kind == _LAGGING for problem in self._problems())

    def _problems(self) -> list["_Problem"]:
        found = (self._problem_at(parent) for parent in self.parent_refs)
        return [problem for problem in found if problem is not None]

    def _problem_at(self, parent: Mapping[str, Any]) -> "_Problem | None":
        wanted = _place(parent, self._namespace)
        answers = [
            answer
            for answer in (self.json.get("status") or {}).get("parents") or ()
            if _place(answer.get("parentRef") or {}, self._namespace) == wanted
        ]
        name = self.json["metadata"]["name"]
        where = f'Gateway "{wanted.namespace}/{wanted.name}"'
        if not answers:
            text = f'{where} has not answered for HTTPRoute "{name}": does it exist?'
            return _Problem(_SILENT, text)
        verdicts = [self._verdict_of(answer, f'HTTPRoute "{name}"', where) for answer in answers]
        return None if None in verdicts else min(filter(None, verdicts))

    def _verdict_of(self, answer: Mapping[str, Any], route: str, where: str) -> "_Problem | None":
        conditions = {c.get("type"): c for c in answer.get("conditions") or ()}
        for type_ in _VERDICTS:
            condition = conditions.get(type_, {})
            if condition.get("observedGeneration") != self.json["metadata"].get("generation"):
                return _Problem(
                    _LAGGING, f"{where} has not taken up the last change of {route} yet"
                )
            if condition.get("status") != "True":
                said = ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))
                return _Problem(_REFUSED, f"{where} refuses {route} ({type_} is not True): {said}")
        return None

    @property
    def _namespace(self) -> str:
        return str(self.json["metadata"]["namespace"])


_REFUSED: Final = 0
_SILENT: Final = 1
_LAGGING: Final = 2


@dataclass(frozen=True, slots=True, order=True)
class _Problem:
    """Why a Gateway does not carry the route, the worst kind first."""

    kind: int
    text: str


class _Place(NamedTuple):
    """What a route hangs on, with the defaults of a parent reference filled in."""

    group: str
    kind: str
    namespace: str
    name: str
    section: str
    port: int


def _place(parent: Mapping[str, Any], namespace: str) -> _Place:
    return _Place(
        parent.get("group", _GATEWAY["group"]),
        parent.get("kind", _GATEWAY["kind"]),
        parent.get("namespace", namespace),
        parent.get("name", ""),
        parent.get("sectionName", ""),
        parent.get("port", 0),
    )


def _backends(rule: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return rule.get("backendRefs") or ()
