"""Runs after the other end-to-end tests: what the operator asked for in all of them."""

import pytest

from e2e import audit
from e2e.installation import OPERATOR_USER
from e2e.story import Cluster

pytestmark = pytest.mark.cluster


def test_the_operator_is_never_refused(cluster: Cluster) -> None:
    """No request of the operator's ServiceAccount was answered 401 or 403 in the whole run."""
    requests = audit.requests_of(cluster.backend.audit_events(), OPERATOR_USER)

    assert requests, "the audit log shows nothing of the operator"
    assert not {str(r) for r in requests if r.code in (401, 403)}
