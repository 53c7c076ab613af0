"""Rules about several findings: which to read first, and how they are counted."""

from llm_operator.api.reasons import Reason
from llm_operator.diagnosis import Finding, cause_by_revision, summarise, worst

LOADING = Finding(Reason.PODS_NOT_READY, "The pod is starting", "a", "new")
UNKNOWN = Finding(Reason.UNKNOWN, "something", "b", "new")
PENDING = Finding(Reason.INSUFFICIENT_CPU, "no room", "c", "new")
BROKEN = Finding(Reason.IMAGE_NOT_FOUND, "no image", "z", "new", is_final=True)
LEAVING = Finding(Reason.STUCK_TERMINATING, "late", "a", "new")


def test_what_must_be_changed_is_read_first() -> None:
    """Then what may pass, then what merely goes slowly, what is unknown, and mere waiting."""
    order = [BROKEN, PENDING, LEAVING, UNKNOWN, LOADING]

    assert [worst(order[n:]) for n in range(5)] == order
    assert worst(reversed(order)) == BROKEN
    assert worst([]) is None


def test_a_revision_has_a_cause_only_where_one_is_known() -> None:
    """A rollout ends by a final cause and waits for any other; it never acts on a guess."""
    other = Finding(Reason.PODS_NOT_READY, "The pod is starting", "d", "old")

    assert cause_by_revision([LOADING, UNKNOWN, LEAVING, PENDING, BROKEN, other]) == {"new": BROKEN}
    assert cause_by_revision([LOADING, UNKNOWN, LEAVING, other]) == {}


def test_a_summary_groups_pods_by_reason_and_names_one() -> None:
    """Many pods with the same trouble are one line."""
    findings = [Finding(Reason.PODS_NOT_READY, "starting", f"pod-{n}") for n in range(3)]

    (summary,) = summarise(findings)

    assert (summary.count, summary.pod) == (3, "pod-0")
