"""Rollouts with a fault at a write, over HTTP; a sample of what ``make sweep`` runs whole."""

import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest

from llm_operator import kinds
from tests.models.sweep.faults import Fault, Trial
from tests.models.sweep.quiet import quietly
from tests.models.sweep.run import NEW, OLD, Outcome, Scenario, run
from tests.models.sweep.sweep import Report, begin, trials, wrong_counts

EVERY = 25
"""Coprime to the number of faults, so that the sample has each fault, at writes all over."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log nothing of some thirty rollouts."""
    with quietly():
        yield


def faultless(scenario: Scenario) -> Outcome:
    """Run a scenario without a fault."""
    return run(scenario, None, None)


@pytest.mark.parametrize("scenario", list(Scenario))
def test_a_fault_at_a_write_changes_nothing_about_the_end(scenario: Scenario) -> None:
    """Whatever one write meets, the end is the same, by safe steps and with few writes more."""
    report = Report()
    expected = begin(scenario, report)
    met = trials(expected)[::EVERY]

    for trial in met:
        report.add(scenario, run(scenario, trial, expected.state), expected)

    assert report.problems == []
    assert report.converged == report.runs == len(met) + 1
    assert {trial.fault for trial in met} == set(Fault)


def test_runs_repeat_each_other() -> None:
    """In virtual time the same run makes the same writes in the same order."""
    scenario = Scenario.ROLLED_BACK
    expected = faultless(scenario)
    trial = trials(expected)[EVERY]

    once, again = (run(scenario, trial, expected.state) for _ in range(2))

    assert once == again


def test_the_end_that_is_compared_is_that_of_the_rollout() -> None:
    """Each scenario ends with its revision at full size, its verdict, and the reason for it."""
    promoted, back = (faultless(scenario).state for scenario in Scenario)

    for state, source in ((promoted, NEW), (back, OLD)):
        deployments = [obj for name, obj in state.items() if name.startswith("Deployment/")]
        assert [obj["spec"]["replicas"] for obj in deployments] == [2]
        assert source in str(deployments)
    assert "'reason': 'ErrorsTooHigh'" in str(back["LLMDeployment/chat"])
    assert "Rejected" in str(back)
    assert "Rejected" not in str(promoted)


def test_another_end_is_reported() -> None:
    """A sweep that could not fail would tell nothing."""
    good = faultless(Scenario.ROLLED_BACK)
    expected = copy.deepcopy(good.state)
    expected["LLMDeployment/chat"]["status"]["phase"] = "Degraded"
    report = Report()

    report.add(Scenario.ROLLED_BACK, run(Scenario.ROLLED_BACK, None, expected), good)

    assert report.converged == 0
    assert [problem.partition("no fault: ")[2] for problem in report.problems] == [
        ".LLMDeployment/chat.status.phase: 'Degraded' → 'Stalled'"
    ]


def test_writes_beyond_the_bounds_are_reported() -> None:
    """Both what a run may write and what a fault may add to it are counted."""
    scenario = Scenario.ROLLED_BACK
    good = faultless(scenario)
    wasteful = replace(good, calls=(*good.calls, *good.calls))
    met = replace(wasteful, trial=Trial(Fault.ERROR, 1))

    assert not list(wrong_counts(scenario, good, good))
    assert list(wrong_counts(scenario, wasteful, good))
    assert list(wrong_counts(scenario, met, good))


def test_reads_beyond_the_bounds_are_reported() -> None:
    """One read of a single watched object would be too many; so would another round of lists."""
    scenario = Scenario.PROMOTED
    good = faultless(scenario)
    look = f"GET {kinds.DEPLOYMENT.path('default', 'chat')}"
    lists = [f"LIST {kinds.POD.path()}"] * len(good.reads)

    assert good.reads
    assert not list(wrong_counts(scenario, good, good))
    assert list(wrong_counts(scenario, replace(good, reads=(*good.reads, look)), good))
    assert list(wrong_counts(scenario, replace(good, reads=(*good.reads, *lists)), good))
