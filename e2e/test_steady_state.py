"""Where nothing happens nothing is written; `make steady` shows the same over ten minutes."""

import pytest

from e2e import steady
from e2e.rollouts import quick, served
from e2e.story import Namespace

pytestmark = pytest.mark.cluster

SECONDS = 45


def test_resources_at_rest_cost_no_write_and_no_event(namespace: Namespace) -> None:
    """Promoted, rolled back, paused, scaled, stopped, loading: the operator leaves them alone."""
    steady.at_rest(namespace)

    seen = steady.writes_during(namespace, SECONDS)

    assert not [str(request) for request in seen.writes]
    assert not [str(request) for request in seen.events]


def test_the_count_sees_what_the_operator_writes(namespace: Namespace) -> None:
    """A new resource in the same namespace shows up as writes and as events."""
    mark = namespace.cluster.backend.audit_mark()
    namespace.apply(served("fresh", quick()))
    namespace.until_settled("fresh")

    def shows_up() -> bool:
        seen = steady.written_since(namespace, mark)
        return bool(seen.writes and seen.events)

    namespace.until("writes and events are counted", shows_up, within_seconds=20)
