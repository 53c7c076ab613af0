"""A sample of the injected faults; ``make diagnose`` runs all of them."""

import platform
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.diagnose import report
from e2e.diagnose.catalogue import FAULTS, SAMPLE
from e2e.diagnose.fault import Fault
from e2e.diagnose.running import NAMED_WITHIN_SECONDS, Outcome, Result, run
from e2e.diagnose.tiny_images import LAST_WORDS, PROGRAMS
from e2e.diagnose.watching import CAUSES, Told, primary_cause
from e2e.story import Cluster

READY = {"type": "Ready", "status": "True", "reason": "Available"}


@pytest.mark.cluster
def test_the_sample_of_faults_is_named_in_time(
    cluster: Cluster, record_property: Callable[[str, object], None]
) -> None:
    """Each fault's cause stands in the status within 30 s, and no other one ever does."""
    results = run(cluster, SAMPLE)

    record_property("diagnosis", report.summary(results))
    assert all(result.outcome is Outcome.CORRECT for result in results), report.table(results)
    assert all(result.seconds <= NAMED_WITHIN_SECONDS for result in results if result.seconds)


def test_there_are_many_faults_and_each_expects_a_cause() -> None:
    """The list is what the figures are about: names are unique, and waiting is no cause."""
    names = [fault.name for fault in FAULTS]

    assert len(names) == len(set(names)) >= 25
    assert all(re.fullmatch("[a-z][a-z0-9-]{0,36}", name) for name in names)
    assert {fault.expected for fault in FAULTS} <= CAUSES
    assert len(SAMPLE) >= 8


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        ({}, ""),
        ({"conditions": [READY]}, ""),
        (
            {"conditions": [{"type": "Ready", "status": "False", "reason": "InsufficientCPU"}]},
            "InsufficientCPU",
        ),
        (
            {
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "PodsNotReady"},
                    {"type": "Stalled", "status": "True", "reason": "ImageNotFound"},
                ]
            },
            "ImageNotFound",
        ),
        (
            {"conditions": [READY], "pods": [{"reason": "StuckTerminating"}]},
            "StuckTerminating",
        ),
        ({"pods": [{"reason": "Unknown"}]}, "Unknown"),
        ({"pods": [{"reason": "PodsNotReady"}]}, ""),
    ],
)
def test_the_cause_that_a_person_reads_first_is_what_counts(
    status: dict[str, object], cause: str
) -> None:
    """Conditions come before the list of pods, and waiting is no cause."""
    assert primary_cause(status)[0] == cause


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the programs are for x86-64")
@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("segfault", -signal.SIGSEGV, ""),
        ("illegal", -signal.SIGILL, ""),
        ("exits", 3, f"{LAST_WORDS}\n"),
        ("idle", None, ""),
    ],
)
def test_the_tiny_programs_fail_as_their_names_say(
    tmp_path: Path, name: str, status: int | None, words: str
) -> None:
    """A fault that is not there would make any diagnosis of it wrong."""
    program = tmp_path / name
    program.write_bytes(PROGRAMS[name] or b"")
    program.chmod(0o755)

    with subprocess.Popen([program], stderr=subprocess.PIPE, text=True) as running:
        try:
            _, told = running.communicate(timeout=0.5)
        except subprocess.TimeoutExpired:
            running.kill()
            _, told = running.communicate()
            assert status is None
        else:
            assert running.returncode == status
    assert told == words


def _result(fault: Fault, outcome: Outcome, seconds: float | None = None) -> Result:
    return Result(fault, outcome, Told(0, fault.expected, "it"), seconds)


def test_one_wrong_cause_is_too_many() -> None:
    """95 % correct is enough only where nothing wrong was told."""
    correct = [_result(fault, Outcome.CORRECT, 5.0) for fault in FAULTS[:39]]
    unknown = _result(FAULTS[39], Outcome.UNKNOWN)

    assert report.holds([*correct, unknown])
    assert not report.holds([*correct[:30], unknown, unknown, unknown])
    assert not report.holds([*correct, _result(FAULTS[39], Outcome.WRONG)])
    assert '"p95_seconds": 5.0' in report.summary([*correct, unknown])
