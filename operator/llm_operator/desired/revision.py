"""Revisions: what they are, how they are hashed, kept and recognised again.

A revision is the revisioned part of a spec together with the renderer and the default image that
it was first rendered with, so that a later operator renders the same pods. Whether a spec means a
known revision is decided by its spec alone: a newer renderer or default image is used only by a
revision whose spec is new, and an upgrade of the operator restarts nothing.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Self

from llm_operator import kinds
from llm_operator.desired.identity import Identity
from llm_server import contract

HASH_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes: a hash is never a word and survives being read aloud."""

HASH_LENGTH: Final = 8

_HUB_DEFAULT: Final = "main"

VERDICT_ANNOTATION: Final = f"{kinds.GROUP}/verdict"
REASON_ANNOTATION: Final = f"{kinds.GROUP}/reason"
STARTED_ANNOTATION: Final = f"{kinds.GROUP}/started-at"
ENDED_ANNOTATION: Final = f"{kinds.GROUP}/ended-at"
IMAGE_DIGEST_ANNOTATION: Final = f"{kinds.GROUP}/image-digest"
MODEL_COMMIT_ANNOTATION: Final = f"{kinds.GROUP}/model-commit"


class RevisionVerdict(StrEnum):
    """How the last rollout to a revision ended."""

    PROMOTED = "Promoted"
    REJECTED = "Rejected"
    SUPERSEDED = "Superseded"
    """The spec went on to another revision before it was decided."""
    REVERTED = "Reverted"
    """The spec went back to stable before it was decided."""


@dataclass(frozen=True, slots=True)
class Record:
    """What became of a revision; the history that people read."""

    verdict: RevisionVerdict | None = None
    reason: str = ""
    started_at: str = ""
    """RFC 3339, as the other moment."""
    ended_at: str = ""
    image_digest: str = ""
    """``sha256:…`` of the image that the ready pods ran; with commas where a tag had moved."""
    model_commit: str = ""
    """The commit that the ready pods had loaded, for a model of a hub; with commas, as above."""

    @classmethod
    def parse(cls, annotations: Mapping[str, str]) -> Self:
        """Read what an object carries; a verdict that is not known counts as none."""
        verdict = annotations.get(VERDICT_ANNOTATION, "")
        return cls(
            next((known for known in RevisionVerdict if known == verdict), None),
            annotations.get(REASON_ANNOTATION, ""),
            annotations.get(STARTED_ANNOTATION, ""),
            annotations.get(ENDED_ANNOTATION, ""),
            annotations.get(IMAGE_DIGEST_ANNOTATION, ""),
            annotations.get(MODEL_COMMIT_ANNOTATION, ""),
        )

    @property
    def annotations(self) -> dict[str, str]:
        """What an object carries of it; absence is left out."""
        values = {
            VERDICT_ANNOTATION: self.verdict or "",
            REASON_ANNOTATION: self.reason,
            STARTED_ANNOTATION: self.started_at,
            ENDED_ANNOTATION: self.ended_at,
            IMAGE_DIGEST_ANNOTATION: self.image_digest,
            MODEL_COMMIT_ANNOTATION: self.model_commit,
        }
        return {key: str(value) for key, value in values.items() if value}


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of what runs in the pods."""

    hash: str
    spec: Mapping[str, Any]
    """The revisioned part as plain JSON, without what is empty and says nothing."""
    renderer: int
    image: str
    """The operator's default server image when the revision was made."""
    number: int = 0
    """Rises each time a revision becomes the target; 0 before it has been one."""
    record: Record = field(default_factory=Record)

    @property
    def rejected(self) -> bool:
        """Whether the last rollout to it failed or was aborted."""
        return self.record.verdict is RevisionVerdict.REJECTED

    @property
    def data(self) -> dict[str, Any]:
        """What the ControllerRevision and the Deployment's annotation keep."""
        return {"spec": dict(self.spec), "renderer": self.renderer, "image": self.image}

    @property
    def server_image(self) -> str:
        """The image that the pods run."""
        return str(self.spec.get("server", {}).get("image") or self.image)


def hub_revision(revision: Revision) -> str:
    """Return the branch, tag or commit that a hub is asked for; empty for other sources."""
    source = str(revision.spec.get("model", {}).get("source", ""))
    match = contract.SOURCE_PATTERNS["hf"].fullmatch(source)
    return (match["revision"] or _HUB_DEFAULT) if match else ""


def make_revision(spec: Mapping[str, Any], renderer: int, image: str) -> Revision:
    """Return the revision of a spec that no kept revision has."""
    data = {"spec": spec, "renderer": renderer, "image": image}
    return Revision(hash_data(data), spec, renderer, image)


def hash_data(data: Mapping[str, Any]) -> str:
    """Return 8 characters for the SHA-256 of canonical JSON (sorted keys, no white space).

    The caller leaves out what is empty and says nothing (``api.revisioned``).
    """
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    letters = []
    for _ in range(HASH_LENGTH):
        number, index = divmod(number, len(HASH_ALPHABET))
        letters.append(HASH_ALPHABET[index])
    return "".join(letters)


def choose_target(
    spec: Mapping[str, Any],
    kept: Iterable[Revision],
    stable: str | None,
    default: tuple[int, str],
) -> Revision:
    """Return the revision that ``spec`` means; ``default`` is (renderer, image) for a new one.

    Stable first, then the newest kept one with the same spec.
    """
    same = [revision for revision in kept if revision.spec == spec]
    if same:
        return max(same, key=lambda revision: (revision.hash == stable, revision.number))
    return make_revision(spec, *default)


def renumber(target: Revision, kept: Iterable[Revision]) -> Revision:
    """Give the target the next number when it has just become the target.

    The revision that is meant has the highest number, until another one is meant.
    """
    highest = max((revision.number for revision in kept), default=0)
    if target.number == highest and target.number:
        return target
    return replace(target, number=highest + 1)


def parse_controller_revision(obj: Mapping[str, Any]) -> Revision | None:
    """Return the revision that a ControllerRevision keeps; None for one edited past recognition."""
    metadata = obj.get("metadata", {})
    revision = _parse_data(obj.get("data"), metadata)
    if revision is None:
        return None
    record = Record.parse(metadata.get("annotations", {}))
    return replace(revision, number=int(obj.get("revision", 0)), record=record)


def parse_snapshot(deployment: Mapping[str, Any]) -> Revision | None:
    """Return the revision from a Deployment's annotation, which outlives a lost revision."""
    metadata = deployment.get("metadata", {})
    try:
        data = json.loads(metadata.get("annotations", {}).get(kinds.SNAPSHOT_ANNOTATION, ""))
    except ValueError:
        return None
    return _parse_data(data, metadata)


def _parse_data(data: Any, metadata: Mapping[str, Any]) -> Revision | None:
    """Accept data only if it still has the hash that its object is labelled with."""
    if not isinstance(data, Mapping):
        return None
    match data:
        case {"spec": Mapping() as spec, "renderer": int(renderer), "image": str(image)}:
            revision = make_revision(spec, renderer, image)
            labelled = metadata.get("labels", {}).get(kinds.REVISION_LABEL)
            return revision if revision.hash == labelled else None
    return None


def render_controller_revision(identity: Identity, revision: Revision) -> dict[str, Any]:
    """Render the ControllerRevision that keeps ``revision``."""
    manifest = identity.manifest(
        kinds.CONTROLLER_REVISION,
        identity.child_name(revision.hash),
        revision.hash,
        data=revision.data,
        revision=revision.number,
    )
    if revision.record.annotations:
        manifest["metadata"]["annotations"] = revision.record.annotations
    return manifest


def kept_revisions(
    revisions: Iterable[Revision], in_use: Iterable[str], history_limit: int
) -> tuple[Revision, ...]:
    """Return the revisions to keep: those in use, and the newest ``history_limit`` others."""
    used = frozenset(in_use)
    ordered = sorted(revisions, key=lambda revision: revision.number, reverse=True)
    others = [revision for revision in ordered if revision.hash not in used]
    limit = frozenset(revision.hash for revision in others[:history_limit])
    return tuple(r for r in ordered if r.hash in used or r.hash in limit)
