"""The Gateway of the test cluster, as far as it can be told without one."""

import math

import pytest
import yaml

from e2e.cluster import gateway
from e2e.cluster.paths import SOURCE
from e2e.gateway import bound_points

DOCUMENTS = list(yaml.safe_load_all((SOURCE / "manifests/gateway.yaml").read_text()))


def of_kind(kind: str) -> dict[str, object]:
    """Return the one object of a kind in the manifest."""
    (found,) = (document for document in DOCUMENTS if document["kind"] == kind)
    return dict(found)


def test_the_listener_has_the_port_of_the_entry_point() -> None:
    """Traefik attaches a listener only to an entry point with its very port."""
    text = (SOURCE / "manifests/gateway.yaml").read_text()
    (gateway_object,) = (d for d in DOCUMENTS if d["kind"] == "Gateway")
    (listener,) = gateway_object["spec"]["listeners"]

    assert f"--entrypoints.web.address=:{listener['port']}" in text


def test_the_names_that_tests_use_are_those_of_the_manifest() -> None:
    """Gateway, namespace and class are the ones that routes and addresses are made with."""
    assert of_kind("Gateway")["metadata"] == {
        "name": gateway.GATEWAY,
        "namespace": gateway.NAMESPACE,
    }
    assert of_kind("GatewayClass")["metadata"] == {"name": gateway.CLASS}
    assert of_kind("Service")["metadata"] == {
        "name": gateway.CLASS,
        "namespace": gateway.NAMESPACE,
    }


@pytest.mark.parametrize(("requests", "weight_percent"), [(1500, 10), (1500, 50), (10_000, 25)])
def test_the_bound_of_a_sample_is_that_of_chance(requests: int, weight_percent: int) -> None:
    """Between three and four standard deviations; a split two weights off is found out."""
    weight = weight_percent / 100
    deviation = 100 * math.sqrt(weight * (1 - weight) / requests)

    assert 3 * deviation < bound_points(requests, weight_percent) < 4 * deviation
    assert bound_points(requests, weight_percent) < weight_percent / 2
