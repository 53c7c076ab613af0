"""Restarts of the canary's pods: what is counted, over a whole rollout, and what it leads to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator import kinds
from llm_operator.api.reasons import Reason
from llm_operator.api.window import RestartedPod
from llm_operator.judgement.restarts import (
    RESTARTS_MAX,
    PodRestarts,
    as_they_are,
    counted_restarts,
    read_restarts,
    restarts_json,
    restarts_of,
)
from llm_operator.judgement.verdict import judge_restarts
from llm_operator.rollout.state import VerdictOutcome

ENTRIES = st.lists(
    st.builds(
        PodRestarts,
        st.text("abcdefgh", min_size=1, max_size=8),
        st.integers(1, 9),
        st.integers(-1, 255),
        st.integers(0, 9),
    ),
    max_size=5,
).map(tuple)


def seen(*counts: int, exit_code: int = 139) -> tuple[PodRestarts, ...]:
    """Return what is remembered of one pod whose restarts were seen one after the other."""
    known = as_they_are(())
    for count in counts:
        known = counted_restarts(known, (PodRestarts("c", count, exit_code),))
    return known


def test_a_canary_that_restarts_twice_with_the_same_exit_fails() -> None:
    """Once may be an accident; the second time by the same exit code is a Fail, whatever else."""
    assert judge_restarts(seen(1)) is None
    verdict = judge_restarts(seen(1, 2))
    assert verdict is not None
    assert (verdict.outcome, verdict.reason) == (VerdictOutcome.FAIL, Reason.CANARY_RESTARTING)
    assert verdict.window_started_at is None
    assert verdict.message == "The server of pod c has ended with exit code 139 more than once"


def test_restarts_by_different_exits_do_not_add_up() -> None:
    """An eviction and a liveness kill are two accidents."""
    known = counted_restarts(seen(1), (PodRestarts("c", 2, exit_code=1),))
    assert judge_restarts(known) is None


def test_ends_that_may_pass_by_themselves_count_against_nobody() -> None:
    """A hub that does not answer says nothing about the revision; what comes after counts anew."""
    known = counted_restarts((), (PodRestarts("c", 2, exit_code=1, waits=True),))
    assert judge_restarts(known) is None
    known = counted_restarts(known, (PodRestarts("c", 3, exit_code=1),))
    assert judge_restarts(known) is None
    known = counted_restarts(known, (PodRestarts("c", 4, exit_code=1),))
    assert judge_restarts(known) is not None


@pytest.mark.parametrize(
    ("reason", "waits"), [("ModelSourceUnavailable", True), ("InternalError", False)]
)
def test_a_server_says_itself_whether_its_end_may_pass(reason: str, waits: bool) -> None:
    """By the reason in its termination log."""
    told = json.dumps({"reason": reason, "message": "429 from the hub"})
    ended = {"terminated": {"exitCode": 1, "message": told}}
    server = {"name": "server", "restartCount": 1, "lastState": ended}
    metadata = {"name": "c", "labels": {kinds.REVISION_LABEL: "new"}}
    pod = {"metadata": metadata, "status": {"containerStatuses": [server]}}
    assert restarts_of([pod], "new") == (PodRestarts("c", 1, exit_code=1, waits=waits),)


def test_restarts_before_counting_begins_do_not_count() -> None:
    """A server that needed two attempts to load is judged by what it does then."""
    known = as_they_are((PodRestarts("c", 2, exit_code=1),))
    known = counted_restarts(known, (PodRestarts("c", 3, exit_code=1),))
    assert judge_restarts(known) is None
    known = counted_restarts(known, (PodRestarts("c", 4, exit_code=1),))
    assert judge_restarts(known) is not None


def test_restarts_of_pods_that_are_gone_are_forgotten() -> None:
    """Memory is of pods that exist, and of a bounded number of them."""
    many = tuple(PodRestarts(f"pod-{n:02}", 1, 1) for n in range(30))
    counted = counted_restarts((), many)
    assert len(counted) == len(as_they_are(many)) == RESTARTS_MAX
    assert counted_restarts(counted, ()) == ()


def test_restarts_that_were_not_watched_count_as_the_last_one() -> None:
    """After a restart of the operator, a pod that restarted twice meanwhile has done so twice."""
    (counted,) = counted_restarts(seen(1), (PodRestarts("c", 3, 139),))
    assert counted.repeated == 3
    (first,) = counted_restarts(as_they_are((PodRestarts("c", 1, 139),)), (PodRestarts("c", 3),))
    assert first.repeated == 2


def test_the_order_of_pods_is_no_news() -> None:
    """A list that comes in another order is remembered as the same."""
    pods = (PodRestarts("b", 1, 1), PodRestarts("a", 1, 1))
    assert counted_restarts((), pods) == counted_restarts((), reversed(pods))
    assert as_they_are(pods) == as_they_are(reversed(pods))


@given(ENTRIES)
def test_what_is_remembered_survives_the_status(entries: tuple[PodRestarts, ...]) -> None:
    """It is written as the schema has it, and read again to the last count."""
    content = json.loads(json.dumps(restarts_json(entries)))
    assert read_restarts(content) == entries
    for entry in content:
        RestartedPod.model_validate(entry)


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_junk_is_no_memory(junk: object) -> None:
    """Whatever stands in the status, reading it raises nothing."""
    assert read_restarts(junk) == ()
