from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.models.kubectl_llm import Person
from tests.models.user_cluster import UserCluster, reachable


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    """A person with a kubeconfig for a cluster that has nothing in it yet."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with reachable(UserCluster(), tmp_path) as cluster:
        yield Person(cluster)
