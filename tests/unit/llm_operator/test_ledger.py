"""The history of revisions: what each rollout came to."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_operator.api.command import CommandVerb
from llm_operator.api.reasons import Reason
from llm_operator.desired.revision import Record, Revision, RevisionVerdict
from llm_operator.judgement.evidence import Evidence, PodSample, Reading
from llm_operator.ledger import add_contents, write_history
from llm_operator.observation import Observation
from llm_operator.rollout.state import VerdictOutcome
from tests import judgement_builders
from tests.builders import NOW, a_pod, an_llm_deployment
from tests.rollout_builders import (
    NEW,
    NEXT,
    OLD,
    TOTAL,
    Pods,
    Scene,
    at_rest,
    baking,
    first,
    preparing,
    rolled_back,
    rolling_back,
    stepping,
)

AT = "2026-01-01T12:00:00Z"
EARLIER = "2026-01-01T11:50:00Z"
PROMOTED = Record(RevisionVerdict.PROMOTED, "", EARLIER, EARLIER)


def history(scene: Scene, **records: Record) -> dict[str, Record]:
    """Return what stands on each revision after one pass."""
    hashes = {"old": OLD, "new": NEW, "next": NEXT}
    revisions = tuple(
        Revision(hash_, {}, 1, "llm-server:1", record=records.get(name, Record()))
        for name, hash_ in hashes.items()
    )
    decision = scene.look()
    written = write_history(revisions, scene.rollout, scene.stable, decision, scene.now)
    return {revision.hash: revision.record for revision in written}


def test_a_rollout_that_begins_has_a_begin_alone() -> None:
    """What an earlier rollout to the same revision came to is over."""
    rejected = Record(RevisionVerdict.REJECTED, "Aborted", EARLIER, EARLIER)
    records = history(at_rest().asking(NEW), new=rejected, old=PROMOTED)
    assert records[NEW] == Record(started_at=AT)
    assert records[OLD] == PROMOTED


def test_a_rollout_that_goes_on_changes_no_record() -> None:
    """A pass without an end writes nothing."""
    begun = Record(started_at=EARLIER)
    assert history(stepping(), new=begun, old=PROMOTED) == {
        OLD: PROMOTED,
        NEW: begun,
        NEXT: Record(),
    }


def test_the_revision_that_becomes_stable_is_promoted() -> None:
    """With the moment; the first one is, too."""
    begun = Record(started_at=EARLIER)
    records = history(first(Pods(TOTAL)), new=begun)
    assert records[NEW] == Record(RevisionVerdict.PROMOTED, "", EARLIER, AT)


def test_a_total_of_0_promotes_without_pods() -> None:
    """The pointer moves: the history says so."""
    assert history(at_rest().asking(NEW, 0))[NEW].verdict is RevisionVerdict.PROMOTED
    assert history(stepping().asking(NEW, 0))[NEW].verdict is RevisionVerdict.PROMOTED


def test_a_rejected_revision_has_the_reason() -> None:
    """From the moment on at which it is condemned."""
    failed = stepping().hearing(VerdictOutcome.FAIL, Reason.ERRORS_TOO_HIGH)
    records = history(failed, new=Record(started_at=EARLIER))
    assert records[NEW] == Record(RevisionVerdict.REJECTED, "ErrorsTooHigh", EARLIER, AT)
    aborted = history(stepping().told(CommandVerb.ABORT))
    assert aborted[NEW].reason == "Aborted"


def test_a_rejection_is_recorded_once() -> None:
    """The passes that follow keep its moment."""
    record = Record(RevisionVerdict.REJECTED, "ErrorsTooHigh", EARLIER, EARLIER)
    for scene in (rolling_back(), rolled_back(), rolled_back().after(999)):
        assert history(scene, new=record)[NEW] == record


def test_a_revision_taken_back_while_it_baked_is_no_longer_promoted() -> None:
    """The old one was promoted once and stays so."""
    bad = baking().hearing(VerdictOutcome.FAIL, Reason.ERRORS_TOO_HIGH)
    records = history(bad, new=PROMOTED, old=PROMOTED)
    assert records[NEW] == Record(RevisionVerdict.REJECTED, "ErrorsTooHigh", EARLIER, AT)
    assert records[OLD] == PROMOTED


def test_a_revision_that_another_edit_overtook_is_superseded() -> None:
    """When the next one begins."""
    overtaken = rolling_back(Reason.SUPERSEDED).asking(NEXT).seeing(old=Pods(TOTAL))
    records = history(overtaken, new=Record(started_at=EARLIER))
    assert records[NEW] == Record(RevisionVerdict.SUPERSEDED, "", EARLIER, AT)
    assert records[NEXT] == Record(started_at=AT)
    at_once = history(first(Pods(starting=1)).asking(NEXT))
    assert at_once[NEW].verdict is RevisionVerdict.SUPERSEDED


def test_a_revision_that_was_overtaken_is_superseded_though_the_next_one_has_to_wait() -> None:
    """A paused spec begins nothing, but the edit was made."""
    overtaken = rolling_back(Reason.SUPERSEDED).asking(NEXT).seeing(old=Pods(TOTAL))
    records = history(overtaken.with_policy(paused=True))
    assert records[NEW].verdict is RevisionVerdict.SUPERSEDED


def test_an_edit_back_to_stable_is_a_revert() -> None:
    """Recorded when it has ended; also where nothing had to be taken back."""
    reverted = rolling_back(Reason.REVERTED).asking(OLD).seeing(old=Pods(TOTAL))
    records = history(reverted, new=Record(started_at=EARLIER), old=PROMOTED)
    assert records[NEW] == Record(RevisionVerdict.REVERTED, "", EARLIER, AT)
    assert records[OLD] == PROMOTED
    early = history(preparing(Pods()).asking(OLD))
    assert early[NEW].verdict is RevisionVerdict.REVERTED


def test_a_retry_clears_the_rejection() -> None:
    """The revision begins anew, with a record of its own."""
    record = Record(RevisionVerdict.REJECTED, "Aborted", EARLIER, EARLIER)
    records = history(rolled_back().told(CommandVerb.RETRY), new=record)
    assert records[NEW] == Record(started_at=AT)


def test_an_earlier_rejection_stays_when_another_revision_is_rolled_out() -> None:
    """It is the history of that revision."""
    record = Record(RevisionVerdict.REJECTED, "Aborted", EARLIER, EARLIER)
    scene = replace(stepping().but(rejected=(NEXT,)))
    assert history(scene, next=record)[NEXT] == record


DIGEST, OTHER_DIGEST = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


def a_pod_of(image_id: str, name: str = "pod-1", *, ready: bool = True) -> dict[str, Any]:
    """Return a pod of the new revision whose server runs an image."""
    sidecar = {"name": "proxy", "imageID": f"proxy@sha256:{'f' * 64}"}
    server = {"name": "server", "imageID": image_id}
    return a_pod(NEW, name, ready=ready, containerStatuses=[sidecar, server])


def completed(
    record: Record, *pods: Mapping[str, Any], source: str = "", readings: Evidence | None = None
) -> Record:
    """Return the record of the new revision after a pass that saw these pods."""
    spec = {"model": {"source": source}}
    revision = Revision(NEW, spec, 1, "llm-server:1", record=record)
    observation = Observation(an_llm_deployment(), {}, pods, (), readings=readings)
    return add_contents((revision,), observation)[0].record


def test_a_closed_record_has_the_digest_that_ready_pods_run() -> None:
    """Of the server's container, however the runtime writes it; of pods that are ready."""
    for image_id in (
        f"registry.example/llm-server@{DIGEST}",
        DIGEST,
        f"docker-pullable://i@{DIGEST}",
    ):
        assert completed(PROMOTED, a_pod_of(image_id)) == replace(PROMOTED, image_digest=DIGEST)
    assert completed(PROMOTED, a_pod_of(DIGEST, ready=False)) == PROMOTED
    assert completed(PROMOTED, a_pod(OLD)) == PROMOTED


def test_a_record_without_a_verdict_gets_no_digest() -> None:
    """It comes in the write that brings the verdict, and takes none of its own."""
    begun = Record(started_at=EARLIER)
    assert completed(begun, a_pod_of(DIGEST)) == begun


def test_a_recorded_digest_stays() -> None:
    """It says what was judged: pods that start later from a tag that moved change nothing."""
    recorded = replace(PROMOTED, image_digest=DIGEST)
    assert completed(recorded, a_pod_of(OTHER_DIGEST)) == recorded


def test_digests_that_differ_are_all_recorded_up_to_three() -> None:
    """In order, each once: more than one says that the tag moved between two starts."""
    pods = [a_pod_of(OTHER_DIGEST, "a"), a_pod_of(DIGEST, "b"), a_pod_of(DIGEST, "c")]
    assert completed(PROMOTED, *pods).image_digest == f"{DIGEST},{OTHER_DIGEST}"
    many = [a_pod_of(f"sha256:{digit * 64}", digit) for digit in "0123456789"]
    assert completed(PROMOTED, *many).image_digest.count(",") == 2


def test_what_a_runtime_reports_instead_of_a_digest_is_not_recorded() -> None:
    """An empty or unknown imageID leaves the record as it is."""
    for image_id in ("", "sha256:", "sha512:" + "a" * 128, "llm-server:1"):
        assert completed(PROMOTED, a_pod_of(image_id)) == PROMOTED


COMMIT, OTHER_COMMIT = "a" * 40, "b" * 40


def said(*commits: str, revision: str = NEW) -> Evidence:
    """Return readings of pods that say they have loaded these commits."""
    answers = (judgement_builders.Pod(f"p{i}", revision).answer(NOW) for i in range(len(commits)))
    samples = tuple(
        PodSample(revision, answer.target.pod, NOW, None, replace(answer.answer, commit=commit))
        for answer, commit in zip(answers, commits, strict=True)
        if isinstance(answer.answer, Reading)
    )
    return Evidence(NOW, samples)


def test_a_closed_record_has_the_commit_that_the_pods_loaded() -> None:
    """What the branch named then; of a source that names a commit, that one, unasked."""
    branch, commit = "hf://org/name@main", f"hf://org/name@{COMMIT}"
    with_commit = replace(PROMOTED, model_commit=COMMIT)
    assert completed(PROMOTED, source=branch, readings=said(COMMIT, COMMIT)) == with_commit
    assert completed(PROMOTED, source=branch) == PROMOTED
    assert completed(PROMOTED, source=branch, readings=said(COMMIT, revision=OLD)) == PROMOTED
    assert completed(PROMOTED, source=commit) == with_commit
    assert completed(with_commit, source=branch, readings=said(OTHER_COMMIT)) == with_commit


def test_commits_that_differ_are_all_recorded() -> None:
    """The branch moved between the starts of two pods, which serve different weights."""
    both = completed(PROMOTED, source="hf://org/name", readings=said(OTHER_COMMIT, "", COMMIT))
    assert both.model_commit == f"{COMMIT},{OTHER_COMMIT}"
