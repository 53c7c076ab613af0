"""What the operator costs the API server per resource, with the benchmark's own counting.

Small and on a busy machine, so counts are asserted and times are not: `make bench-operator` times.
"""

import pytest

from benchmarks.figures import Figures
from benchmarks.operator import compare, contenders
from benchmarks.trial import Load
from e2e.story import Cluster

pytestmark = pytest.mark.cluster

RESOURCES = 5
EDITS = 3


@pytest.fixture(scope="module")
def figures(cluster: Cluster) -> tuple[Figures, Figures]:
    """The figures of the operator and of its peer, a plain kopf operator."""
    return compare(cluster.backend, contenders(), Load(RESOURCES, EDITS))


def test_a_resource_costs_one_write_per_child_and_two_more(
    figures: tuple[Figures, Figures],
) -> None:
    """No resource takes more writes than its children and two of its own."""
    own, _ = figures
    assert own.creation.children >= 4 * RESOURCES
    assert own.creation.writes_of_busiest <= own.writes_bound
    assert own.creation.writes >= own.creation.children, "the audit log lacks writes"


def test_nothing_is_read_object_by_object(figures: tuple[Figures, Figures]) -> None:
    """The operator knows from lists and watches what is there: it makes no GET of an object."""
    own, _ = figures
    assert own.creation.reads == 0
    assert own.restart.reads == 0


def test_a_new_process_with_nothing_to_do_lists_and_writes_nothing(
    figures: tuple[Figures, Figures],
) -> None:
    """SIGTERM and start: everything is looked at, nothing is written, the Lease apart."""
    own, _ = figures
    assert own.restart.lists > 0
    assert own.restart.writes == 0


def test_after_the_restart_edits_are_answered(figures: tuple[Figures, Figures]) -> None:
    """Services edited by hand are put right, and edits of the spec reach the Service."""
    own, _ = figures
    assert own.drift.p50_ms is not None
    assert own.edit.p50_ms is not None


def test_the_peer_does_the_same_work(figures: tuple[Figures, Figures]) -> None:
    """A comparison means something when the other side makes as many children and obeys edits."""
    own, peer = figures
    assert peer.creation.children == own.creation.children
    assert peer.creation.writes >= peer.creation.children
    assert peer.edit.p50_ms is not None
