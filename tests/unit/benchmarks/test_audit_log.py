"""The figures of the operator benchmark follow from the audit log by these rules."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.audit_log import (
    Family,
    median_ms,
    most_writes,
    of_user,
    opened_watches,
    p95_ms,
    parse_requests,
    reaction_seconds,
    span_seconds,
    tally,
)

OPERATOR = "system:serviceaccount:bench:operator"
ADMIN = "kubernetes-admin"
COUNTER = iter(range(10**9))


def event(
    verb: str,
    resource: str | None,
    name: str = "",
    *,
    user: str = OPERATOR,
    at: float = 0.0,
    took: float = 0.004,
    code: int = 200,
    stage: str = "ResponseComplete",
) -> dict[str, Any]:
    """Return an audit event of a request that arrived ``at`` seconds into a minute."""
    reference = {"resource": resource, "namespace": "bench", "name": name, "apiVersion": "v1"}
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": str(next(COUNTER)),
        "stage": stage,
        "verb": verb,
        "user": {"username": user},
        "requestReceivedTimestamp": f"2026-11-22T05:00:{at:09.6f}Z",
        "stageTimestamp": f"2026-11-22T05:00:{at + took:09.6f}Z",
        "responseStatus": {"metadata": {}, "code": code},
    } | ({"objectRef": reference} if resource else {"requestURI": "/apis"})


@pytest.mark.parametrize(
    ("verb", "resource", "family"),
    [
        ("patch", "services", Family.WRITE),
        ("create", "deployments", Family.WRITE),
        ("update", "llmdeployments", Family.WRITE),
        ("delete", "services", Family.WRITE),
        ("deletecollection", "services", Family.WRITE),
        ("get", "services", Family.READ),
        ("list", "services", Family.LIST),
        ("watch", "services", Family.WATCH),
        ("update", "leases", Family.LEASE),
        ("get", "leases", Family.LEASE),
        ("create", "events", Family.EVENT),
        ("patch", "events", Family.EVENT),
        ("get", None, Family.DISCOVERY),
    ],
)
def test_each_request_is_of_one_family(verb: str, resource: str | None, family: Family) -> None:
    """Lease and event requests are apart whatever the verb; lists and watches are no reads."""
    assert tally(parse_requests([event(verb, resource)])) == {family: 1}


def test_a_write_that_was_refused_counts() -> None:
    """A request that was answered with an error has cost the API server the same."""
    refused = parse_requests([event("patch", "llmdeployments", "a", code=409)])

    assert tally(refused)[Family.WRITE] == 1
    assert not refused[0].succeeded


def test_a_write_to_a_status_is_a_write_of_the_resource() -> None:
    """A subresource is counted with its resource."""
    to_status = event("patch", "llmdeployments", "a")
    to_status["objectRef"]["subresource"] = "status"

    assert tally(parse_requests([to_status]))[Family.WRITE] == 1


def test_a_request_that_is_logged_at_two_stages_counts_once() -> None:
    """Only the end of a request counts, and only once if the log is read twice."""
    complete = event("patch", "services", "a")
    started = complete | {"stage": "ResponseStarted"}

    assert len(parse_requests([started, complete, complete])) == 1


def test_only_a_watch_that_begins_is_an_open_watch() -> None:
    """The end of an earlier process's watch does not say that a new one watches."""
    events = [
        event("watch", "llmdeployments", stage="ResponseStarted"),
        event("watch", "services", stage="ResponseComplete"),
        event("watch", "deployments", stage="ResponseStarted", user=ADMIN),
        event("list", "pods", stage="ResponseStarted"),
    ]

    assert opened_watches(events, OPERATOR) == {"llmdeployments"}


def test_requests_of_others_are_left_out() -> None:
    """What the control plane does with the same objects is not the operator's cost."""
    requests = parse_requests(
        [event("patch", "services", "a"), event("patch", "services", "a", user=ADMIN)]
    )

    assert [request.user for request in of_user(requests, OPERATOR)] == [OPERATOR]


def test_the_busiest_resource_is_counted_with_its_children() -> None:
    """Writes to `a` and to `a-<hash>` are writes of `a`; a longer name is another resource."""
    requests = parse_requests(
        [
            event("patch", "llmdeployments", "llm-1"),
            event("patch", "services", "llm-1"),
            event("patch", "deployments", "llm-1-bcdfghjk"),
            event("patch", "services", "llm-10"),
            event("get", "services", "llm-10"),
            event("create", "events", "llm-10.17f"),
        ]
    )

    assert most_writes(requests, {"llm-1", "llm-10"}) == 3


def test_there_is_no_busiest_of_no_resources() -> None:
    """Without resources the count is zero."""
    assert most_writes([], set()) == 0


def reactions(*events: dict[str, Any]) -> list[float | None]:
    """Return the reactions to the administrator's edits of Services among the events."""
    requests = parse_requests(events)
    return reaction_seconds(of_user(requests, ADMIN), requests, OPERATOR, "services")


def test_a_reaction_lasts_from_the_arrival_of_the_edit_to_the_answer_of_the_repair() -> None:
    """The handling of both requests by the API server is part of the time."""
    [seconds] = reactions(
        event("patch", "services", "a", user=ADMIN, at=1.0, took=0.005),
        event("patch", "services", "a", at=1.010, took=0.006),
        event("patch", "services", "a", at=1.200, took=0.006),
    )

    assert seconds == pytest.approx(0.016)


@pytest.mark.parametrize(
    "other",
    [
        event("patch", "services", "a", at=0.5),
        event("patch", "services", "b", at=1.01),
        event("patch", "deployments", "a", at=1.01),
        event("get", "services", "a", at=1.01),
        event("patch", "services", "a", at=1.01, code=409),
        event("patch", "services", "a", at=1.01, user="somebody"),
    ],
    ids=["earlier", "another name", "another kind", "a read", "refused", "another user"],
)
def test_what_is_not_the_repair_is_no_reaction(other: dict[str, Any]) -> None:
    """Only a later, successful write of that object by that user answers an edit."""
    assert reactions(event("patch", "services", "a", user=ADMIN, at=1.0), other) == [None]


def test_a_span_is_from_the_first_arrival_to_the_last_answer() -> None:
    """Requests may overlap and come in any order."""
    requests = parse_requests(
        [
            event("patch", "services", "b", at=2.0, took=1.0),
            event("patch", "services", "a", at=1.0, took=5.0),
        ]
    )

    assert span_seconds(requests) == pytest.approx(5.0)
    assert span_seconds([]) == 0.0


def test_a_median_with_an_unanswered_edit_is_unknown() -> None:
    """An edit that was never answered is not left out of the statistics: there are none."""
    assert median_ms([0.01, None, 0.02]) is None
    assert p95_ms([0.01, None, 0.02]) is None


def test_a_median_of_nothing_is_unknown() -> None:
    """No edit, no figure."""
    assert median_ms([]) is None
    assert p95_ms([]) is None


def test_times_are_given_in_milliseconds() -> None:
    """Median and nearest-rank 95th percentile of seconds, in ms with one decimal."""
    seconds = [number / 1000 for number in range(1, 101)]

    assert median_ms(seconds) == 50.5
    assert p95_ms(seconds) == 95.0


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200))
def test_the_percentiles_lie_among_the_values(seconds: list[float]) -> None:
    """The 95th percentile is one of the values, and not below the median."""
    high, middle = p95_ms(seconds), median_ms(seconds)

    assert high in [round(value * 1000, 1) for value in seconds]
    assert middle is not None
    assert high is not None
    assert high >= middle
