"""Which pods are read, when, and what is kept of them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from llm_operator import kinds
from llm_operator.api.analysis import Analysis
from llm_operator.judgement.evidence import PODS_MAX, Evidence, targets_of
from llm_operator.judgement.limits import limits_of
from llm_operator.judgement.order import GONE_MAX, Order, Round, is_due, merged, order_for
from llm_operator.judgement.restarts import restarts_of
from tests.judgement_builders import CANARY, CASE, STABLE, START, canary, counted, stable

SECOND = timedelta(seconds=1)


def a_pod(
    name: str, revision: str = CANARY, *, ready: str = "True", ip: str | None = "10.0.0.1"
) -> dict[str, Any]:
    """Return a pod as the API server has it."""
    return {
        "metadata": {"name": name, "labels": {kinds.REVISION_LABEL: revision}},
        "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
    }


def restarted(
    pod: dict[str, Any], count: int, code: int, container: str = "server"
) -> dict[str, Any]:
    """Return the pod with a container that was restarted."""
    ended = {"terminated": {"exitCode": code}}
    pod["status"]["containerStatuses"] = [
        {"name": container, "restartCount": count, "lastState": ended}
    ]
    return pod


def an_order(*, since: int = 0) -> Order:
    """Return an order for both revisions."""
    return Order((CANARY, STABLE), (), START + since * SECOND, 10 * SECOND)


def test_ready_pods_of_the_two_revisions_are_read() -> None:
    """Neither pods that load, end or have no address yet, nor those of other revisions."""
    leaving = a_pod("leaving")
    leaving["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    pods = [
        a_pod("c"),
        a_pod("s", STABLE),
        a_pod("loading", ready="False"),
        a_pod("new", ip=None),
        a_pod("other", "xxxxxxxx"),
        leaving,
    ]
    found = targets_of(pods, (CANARY, STABLE))
    assert [(target.revision, target.pod) for target in found] == [(CANARY, "c"), (STABLE, "s")]


def test_a_bounded_number_of_pods_is_read() -> None:
    """The first by name, so that it is the same ones each time."""
    pods = [a_pod(f"c-{number:03}") for number in range(120)]
    found = targets_of(reversed(pods), (CANARY,))
    assert [target.pod for target in found] == [f"c-{number:03}" for number in range(PODS_MAX)]


def test_restarts_of_the_server_count_alone() -> None:
    """A sidecar that restarts is not the canary, nor is a pod that is being removed."""
    leaving = restarted(a_pod("leaving"), 3, 1)
    leaving["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    pods = [
        restarted(a_pod("c"), 2, 139),
        restarted(a_pod("d"), 5, 1, container="proxy"),
        restarted(a_pod("s", STABLE), 2, 1),
        a_pod("fine"),
        leaving,
    ]
    (found,) = restarts_of(pods, CANARY)
    assert (found.pod, found.count, found.exit_code) == ("c", 2, 139)


def test_the_spec_says_what_is_read_and_allowed() -> None:
    """Interval, guards and limits are those of spec.rollout.analysis; quantities are numbers."""
    analysis = Analysis.model_validate(
        {
            "intervalSeconds": 5,
            "guards": [{"name": "gpu", "query": "up", "maximum": "500m"}],
            "prometheus": {"address": "http://prometheus:9090"},
        }
    )
    order = order_for(CASE, START, analysis, [a_pod("c")])
    assert (order.interval, order.guards) == (5 * SECOND, {"gpu": "up"})
    assert order.prometheus == "http://prometheus:9090"
    assert [target.pod for target in order.targets] == ["c"]
    assert limits_of(analysis).guards == {"gpu": 0.5}
    assert limits_of(analysis).patience == 15 * SECOND


def test_a_round_is_due_once_per_interval_and_at_each_window() -> None:
    """And when the clock was set back; never in between."""
    known = Evidence(START, revisions=an_order().revisions)
    assert is_due(None, an_order(), START)
    assert not is_due(known, an_order(), START + 9 * SECOND)
    assert is_due(known, an_order(), START + 10 * SECOND)
    assert is_due(known, an_order(since=3), START + 4 * SECOND)
    assert is_due(known, an_order(), START - SECOND)


def test_a_round_is_due_at_once_where_the_last_one_read_fewer_revisions() -> None:
    """A look at the canary alone, in the second in which its window opens, is no first reading."""
    known = Evidence(START, revisions=(CANARY,))
    assert is_due(known, an_order(), START)
    assert not is_due(known, replace(an_order(), revisions=(CANARY,)), START)


def test_a_process_that_is_gone_keeps_what_it_counted_last() -> None:
    """Its requests happened; they are forgotten with the window."""
    first = merged(None, an_order(), Round(START, (canary(counted(5)).answer(START),)))
    later = START + 10 * SECOND
    second = merged(first, an_order(), Round(later, (stable().answer(later),)))
    assert {sample.pod for sample in second.samples} == {"c", "s"}
    third = merged(second, an_order(since=20), Round(later + 10 * SECOND))
    assert third.samples == ()


def test_the_memory_of_gone_processes_is_bounded() -> None:
    """A pod that restarts for ever does not fill the memory; the newest stay."""
    known: Evidence | None = None
    for number in range(GONE_MAX * 2):
        at = START + number * SECOND
        known = merged(known, an_order(), Round(at, (canary(boot=f"{number:08x}").answer(at),)))
    assert known is not None
    assert len(known.samples) == GONE_MAX + 1
    assert known.samples[0].boot_id == f"{GONE_MAX * 2 - 1:08x}"


def test_a_pod_is_unread_since_the_first_miss_in_a_row() -> None:
    """An answer in between starts it over."""
    known: Evidence | None = None
    since = []
    for second, cause in enumerate(["x", "x", "", "x", "x"]):
        at = START + second * SECOND
        known = merged(known, an_order(), Round(at, (canary(cause=cause).answer(at),)))
        since.append([(entry.since - START) // SECOND for entry in known.unread])
    assert since == [[0], [0], [], [3], [3]]
