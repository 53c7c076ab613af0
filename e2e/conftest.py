"""The cluster, a namespace per test, and what is saved when a test fails.

``LLM_OPERATOR_E2E_CLUSTER=NAME`` makes the session use the running cluster of that name, with the
chart upgraded to the working tree, and leave it; without it the session makes a cluster of its own
and removes it.
"""

import os
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest
import yaml

import e2e.cluster
from e2e import diagnostics, gateway, hub_pod, turns
from e2e.access import api_client
from e2e.asking import Client, start_client
from e2e.cluster.content import exclusive
from e2e.hub_pod import Hub
from e2e.installation import install_operator, pull_images
from e2e.manifests import restricted_namespace
from e2e.story import Cluster, Namespace
from llm_operator.kinds import ResourceKind

OWN_CLUSTER = "llm-operator-test"
TEST_SECONDS = 420
RUN_ID = "PYTEST_XDIST_TESTRUNUID"
SERVICE_ACCOUNTS = ResourceKind("", "v1", "serviceaccounts", "ServiceAccount")
CONFIG_MAPS = ResourceKind("", "v1", "configmaps", "ConfigMap")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that want the cluster for themselves last; give each test its time limit.

    The limit leaves out the making of the cluster.
    """
    items.sort(key=lambda item: turns.place(item.path))
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()) and not item.get_closest_marker(
            "timeout"
        ):
            item.add_marker(pytest.mark.timeout(TEST_SECONDS, func_only=True))


@contextmanager
def _running_cluster() -> Iterator[e2e.cluster.Cluster]:
    shared = os.environ.get("LLM_OPERATOR_E2E_CLUSTER")
    if shared:
        yield e2e.cluster.Cluster.existing(shared)
        return
    with turns.joined(OWN_CLUSTER, os.environ.get(RUN_ID, str(os.getpid()))) as is_last:
        try:
            yield e2e.cluster.up(OWN_CLUSTER)
        finally:
            if is_last():
                e2e.cluster.down(OWN_CLUSTER)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A running cluster with the images of the working tree and the operator installed."""
    with _running_cluster() as backend, api_client(backend) as api:
        with exclusive("session-set-up"):
            images = e2e.cluster.images(backend)
            install_operator(backend, images)
            pull_images(backend, images)
            cluster = Cluster(backend, api, images)
            gateway.ensure_kinds(cluster)
        yield cluster
        if request.session.testsfailed:
            backend.diagnose(diagnostics.directory_of("cluster"))


@pytest.fixture(scope="module", autouse=True)
def _turn(request: pytest.FixtureRequest) -> Iterator[None]:
    with turns.turn(request.path):
        yield


@contextmanager
def _fresh_namespace(cluster: Cluster) -> Iterator[Namespace]:
    namespace = Namespace(cluster, f"e2e-{uuid.uuid4().hex[:8]}")
    cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump(restricted_namespace(namespace.name)))
    # Pods that are created before these two exist are refused or wait for a mount.
    namespace.until(
        "a new namespace has its default service account and CA",
        lambda: (
            namespace.get(SERVICE_ACCOUNTS, "default")
            and namespace.get(CONFIG_MAPS, "kube-root-ca.crt")
        ),
        within_seconds=30,
    )
    yield namespace
    cluster.kubectl("delete", "namespace", namespace.name, "--wait=false")


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    """A fresh namespace with PodSecurity ``restricted`` enforced; deleted afterwards."""
    with _fresh_namespace(cluster) as namespace:
        yield namespace


@pytest.fixture(scope="module")
def module_namespace(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace that the tests of a module share."""
    with _fresh_namespace(cluster) as namespace:
        yield namespace


@pytest.fixture(scope="module")
def client(module_namespace: Namespace) -> Client:
    """A pod that asks, in the namespace that the tests of a module share."""
    return start_client(module_namespace)


@pytest.fixture(scope="session")
def hub(cluster: Cluster) -> Iterator[Hub]:
    """The small Hub in a pod: a public, a private and a failing repository."""
    place = f"{hub_pod.NAMESPACE}-{uuid.uuid4().hex[:8]}"
    yield hub_pod.start_hub(cluster, place)
    hub_pod.stop_hub(cluster, place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Save the namespace and the operator's log of a test that failed, and say where."""
    report = yield
    arguments = getattr(item, "funcargs", {})
    if report.when != "call" or not report.failed or "cluster" not in arguments:
        return report
    folder = diagnostics.save_operator(item.name, arguments["cluster"])
    for fixture in ("namespace", "module_namespace"):
        if fixture in arguments:
            diagnostics.save_namespace(item.name, arguments[fixture])
    report.sections.append(("diagnostics", f"saved in {folder}"))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests measured."""
    measured = [
        (report.nodeid.rpartition("::")[2], name, value)
        for report in terminalreporter.getreports("passed")
        if report.when == "call" and "e2e/" in report.nodeid
        for name, value in report.user_properties
    ]
    if measured:
        terminalreporter.section("figures of the end-to-end tests")
    for test, name, value in measured:
        terminalreporter.write_line(f"{test}: {name} = {value}")
