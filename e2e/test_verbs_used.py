"""Runs after the other end-to-end tests: what the operator asked for in all of them."""

import pytest

from e2e import audit
from e2e.installation import OPERATOR_USER
from e2e.story import Cluster
from llm_operator.permissions import PERMISSIONS

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def requests(cluster: Cluster) -> list[audit.Request]:
    """Every request of the operator for an object, as the API server recorded it."""
    found = audit.requests_of(cluster.backend.audit_events(), OPERATOR_USER)
    return [request for request in found if not request.resource.startswith("/")]


def test_the_operator_is_never_refused(requests: list[audit.Request]) -> None:
    """The authoriser refused no request of the operator's ServiceAccount in the whole run."""
    assert requests, "the audit log shows nothing of the operator"
    assert not {str(r) for r in requests if r.forbidden or r.code == 401}


def test_the_operator_asks_for_nothing_beyond_its_list(requests: list[audit.Request]) -> None:
    """Each verb on each resource that was asked for stands in ``llm_operator.permissions``."""
    listed = {(p.group, p.resource, verb.value) for p in PERMISSIONS for verb in p.verbs}

    assert {(r.group, r.resource, r.verb) for r in requests} <= listed
