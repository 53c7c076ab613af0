"""The history of a resource: its kept revisions, and which of them the words of a user mean. Pure.

``desired.revision`` reads the ControllerRevisions; one that was edited past recognition is left
out, as the operator leaves it out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kubectl_llm.exits import ExitCode
from kubectl_llm.failures import Refusal
from llm_operator.api.status import Status
from llm_operator.desired.identity import Identity
from llm_operator.desired.revision import Revision, RevisionVerdict, parse_controller_revision


@dataclass(frozen=True, slots=True)
class Ledger:
    """The kept revisions, newest first, and which of them are special now."""

    name: str
    revisions: tuple[Revision, ...]
    stable: str | None
    target: str | None
    """Hash that a rollout is about, or was about last."""
    asked: str | None
    """Hash of the kept revision that the live spec means; None for a new one."""

    def marks(self, revision: Revision) -> tuple[str, ...]:
        """Return what a revision is now, in words."""
        meant = {"stable": self.stable, "target": self.target, "spec": self.asked}
        return tuple(word for word, hash_ in meant.items() if hash_ == revision.hash)

    def find(self, named: str) -> Revision:
        """Return the revision of a number or hash.

        Raises:
            Refusal: there is none; the message lists those that there are.
        """
        for revision in self.revisions:
            if named in (str(revision.number), revision.hash):
                return revision
        kept = ", ".join(f"{r.number} ({r.hash})" for r in self.revisions) or "none"
        message = f"{self.name} has no revision {named}. Kept revisions: {kept}."
        raise Refusal(message, ExitCode.NOT_FOUND)

    def by_hash(self, hash_: str | None) -> Revision | None:
        """Return the kept revision of a hash."""
        return next((r for r in self.revisions if r.hash == hash_), None)

    def previous(self) -> Revision:
        """Return what ``undo`` goes back to when it is told no number.

        That is stable while the spec asks for anything else, and otherwise the newest revision
        that was not rejected and is not what the spec asks for.

        Raises:
            Refusal: there is no such revision.
        """
        stable = self.by_hash(self.stable)
        if stable is not None and self.asked != self.stable:
            return stable
        for revision in self.revisions:
            if revision.hash != self.asked and _has_served(revision):
                return revision
        message = f"{self.name} has no earlier revision to go back to. See `kubectl llm history`."
        raise Refusal(message, ExitCode.NOT_FOUND)


def _has_served(revision: Revision) -> bool:
    """Whether nothing says that it never was the stable one; older operators kept no verdict."""
    return revision.record.verdict in (None, RevisionVerdict.PROMOTED)


def read_ledger(
    resource: Mapping[str, Any],
    objects: Iterable[Mapping[str, Any]],
    asked: Mapping[str, Any] | None,
) -> Ledger:
    """Read the ControllerRevisions of a resource; ``asked`` is what its spec means, if known."""
    metadata = resource["metadata"]
    identity = Identity(metadata["namespace"], metadata["name"], metadata["uid"])
    status = Status.from_json(resource.get("status"))
    parsed = [parse_controller_revision(obj) for obj in objects if identity.owns(obj)]
    revisions = sorted((r for r in parsed if r is not None), key=lambda r: (-r.number, r.hash))
    same = [r for r in revisions if r.spec == asked]
    meant = max(same, key=lambda r: (r.hash == status.stable_revision, r.number), default=None)
    return Ledger(
        name=str(metadata["name"]),
        revisions=tuple(revisions),
        stable=status.stable_revision,
        target=status.rollout.target if status.rollout else None,
        asked=meant.hash if meant else None,
    )
