"""Who may ask: the bearer keys of ``server.apiKeysSecretRef``."""

import base64

import pytest

from e2e.asking import Client
from e2e.manifests import llm_deployment, secret
from e2e.story import Namespace
from llm_operator.kinds import ResourceKind

pytestmark = pytest.mark.cluster

NAME = "locked"
KEYS = "keys"
SECRETS = ResourceKind("", "v1", "secrets", "Secret")
SYNC_SECONDS = 180
"""The kubelet looks at the Secrets of a pod about once a minute."""


@pytest.fixture(scope="module", autouse=True)
def locked(module_namespace: Namespace) -> None:
    """A resource that admits the key of one caller."""
    module_namespace.apply(secret(KEYS, alice="key-of-alice"))
    module_namespace.apply(llm_deployment(NAME, server={"apiKeysSecretRef": {"name": KEYS}}))
    module_namespace.until_settled(NAME)


def processes(namespace: Namespace) -> set[tuple[str, int]]:
    """Return each pod with the number of times that its server was started again."""
    return {
        (pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"])
        for pod in namespace.live_pods(NAME)
    }


def test_only_a_key_of_the_secret_opens(client: Client) -> None:
    """A request without a key or with a wrong one gets 401, one with a key of the Secret 200."""
    assert client.status_of_asking(NAME) == 401
    assert client.status_of_asking(NAME, key="key-of-mallory") == 401
    assert client.status_of_asking(NAME, key="key-of-alice") == 200


@pytest.mark.long
def test_keys_change_without_a_restart(module_namespace: Namespace, client: Client) -> None:
    """A key put into the Secret opens and one taken out closes, in the pods that there are."""
    before = processes(module_namespace)
    bob = base64.b64encode(b"key-of-bob").decode()

    module_namespace.patch(SECRETS, KEYS, {"data": {"alice": None, "bob": bob}})

    module_namespace.until(
        "the new key is admitted",
        lambda: client.status_of_asking(NAME, key="key-of-bob") == 200,
        within_seconds=SYNC_SECONDS,
    )
    assert client.status_of_asking(NAME, key="key-of-alice") == 401
    assert processes(module_namespace) == before
