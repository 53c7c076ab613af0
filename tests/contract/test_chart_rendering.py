"""Rules of what helm renders from the chart."""

import re
from collections import defaultdict

import pytest

from llm_operator.permissions import PERMISSIONS, Scope, Verb
from llm_operator.settings import ENV_PREFIX, OperatorSettings
from llm_server import contract
from tests.models.chart import (
    CHART,
    NAMESPACE,
    RELEASE,
    Helm,
    Json,
    container,
    helm_program,
    of_kind,
)

# Where helm must be compiled first, that is no part of a test's time.
pytestmark = [pytest.mark.programs, pytest.mark.timeout(120, func_only=True)]

SERVICE_MONITOR = "monitoring.coreos.com/v1/ServiceMonitor"
CLUSTER_SCOPED = {"ClusterRole", "ClusterRoleBinding"}
Grants = dict[tuple[str, str], set[str]]


@pytest.fixture(scope="module")
def helm() -> Helm:
    """Helm without a cluster."""
    return Helm(helm_program())


def pod_of(objects: tuple[Json, ...]) -> Json:
    """Return the operator's pod template."""
    (deployment,) = of_kind(objects, "Deployment")
    template: Json = deployment["spec"]["template"]
    return template


def environment(objects: tuple[Json, ...]) -> dict[str, str | None]:
    """Return the container's variables; None for those that the kubelet fills in."""
    return {entry["name"]: entry.get("value") for entry in container(objects)["env"]}


def bound_grants(objects: tuple[Json, ...], binding_kind: str) -> Grants:
    """Return verbs by (group, resource) of all roles bound to the operator by such bindings."""
    roles = {
        (role["kind"], role["metadata"].get("namespace"), role["metadata"]["name"]): role["rules"]
        for kind in ("Role", "ClusterRole")
        for role in of_kind(objects, kind)
    }
    granted: Grants = defaultdict(set)
    for binding in of_kind(objects, binding_kind):
        (subject,) = binding["subjects"]
        assert (subject["name"], subject["namespace"]) == (RELEASE, NAMESPACE)
        reference = binding["roleRef"]
        where = binding["metadata"].get("namespace") if reference["kind"] == "Role" else None
        for rule in roles[reference["kind"], where, reference["name"]]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    granted[group, resource] |= set(rule["verbs"])
    return dict(granted)


def needed(*scopes: Scope) -> Grants:
    """Return what the operator's own list says, in the same form."""
    return {(p.group, p.resource): set(p.verbs) for p in PERMISSIONS if p.scope in scopes}


def test_lint_has_nothing_to_say(helm: Helm) -> None:
    """``helm lint --strict`` passes without a warning."""
    done = helm.run("lint --strict", str(CHART))

    assert done.returncode == 0, done.stdout
    assert not re.search(r"\[(WARNING|ERROR)\]", done.stdout)


def test_the_cluster_role_grants_what_the_operator_asks_for_and_no_more(helm: Helm) -> None:
    """Watched kinds: rendered rules equal the operator's list, missing and surplus both fail."""
    granted = bound_grants(helm.render(), "ClusterRoleBinding")

    assert granted == needed(Scope.WATCHED, Scope.CLUSTER)


def test_outside_its_objects_it_may_only_hold_its_own_lease(helm: Helm) -> None:
    """In its own namespace the operator has its Lease, by name, and nothing else."""
    objects = helm.render()

    assert bound_grants(objects, "RoleBinding") == needed(Scope.OWN)
    (role,) = of_kind(objects, "Role")
    unnamed = {
        verb for rule in role["rules"] if not rule.get("resourceNames") for verb in rule["verbs"]
    }
    names = [name for rule in role["rules"] for name in rule.get("resourceNames", ())]
    assert unnamed == {Verb.CREATE}
    assert names == [environment(objects)["LLM_OPERATOR_LEASE_NAME"]]


def test_one_namespace_needs_nothing_of_the_cluster(helm: Helm) -> None:
    """Namespaced mode renders no cluster-scoped object, and a Role with what is watched there."""
    objects = helm.render('watchNamespace="team"')
    there = tuple(obj for obj in objects if obj["metadata"].get("namespace") == "team")
    here = tuple(obj for obj in objects if obj["metadata"].get("namespace") == NAMESPACE)

    assert not {obj["kind"] for obj in objects} & CLUSTER_SCOPED
    assert bound_grants(there, "RoleBinding") == needed(Scope.WATCHED)
    assert bound_grants(here, "RoleBinding") == needed(Scope.OWN)
    assert environment(objects)["LLM_OPERATOR_WATCH_NAMESPACE"] == "team"


def test_roles_for_people_are_not_bound_to_the_operator(helm: Helm) -> None:
    """The roles that join view, edit and admin concern LLMDeployments alone and bind nobody."""
    objects = helm.render()
    aggregated = [
        role
        for role in of_kind(objects, "ClusterRole")
        if any("aggregate-to" in label for label in role["metadata"]["labels"])
    ]
    bound = {binding["roleRef"]["name"] for binding in of_kind(objects, "ClusterRoleBinding")}

    assert len(aggregated) == 2
    assert not {role["metadata"]["name"] for role in aggregated} & bound
    groups = {group for role in aggregated for rule in role["rules"] for group in rule["apiGroups"]}
    assert groups == {"serving.llm-operator.io"}


def test_every_variable_is_a_setting_and_every_setting_a_variable(helm: Helm) -> None:
    """The rendered environment and OperatorSettings have the same names."""
    wanted = {ENV_PREFIX + name.upper() for name in OperatorSettings.model_fields}

    assert set(environment(helm.render())) == wanted


def test_the_rendered_environment_is_read_back_as_it_was_meant(
    helm: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OperatorSettings parses the rendered values to the numbers and names of the chart."""
    objects = helm.render("settings.relistSeconds=86400", "settings.leaseRetrySeconds=1.5")
    for name, value in environment(objects).items():
        monkeypatch.setenv(name, value if value is not None else "from-the-pod")

    settings = OperatorSettings()

    assert settings.relist_seconds == 86400
    assert settings.lease_retry_seconds == 1.5
    assert settings.workers == 16
    assert settings.watch_namespace == ""
    assert settings.server_image == "llm-server:0.1.0"


def test_pod_name_and_namespace_come_from_the_pod(helm: Helm) -> None:
    """Identity in the Lease is the pod's own name, and the Lease is in the pod's namespace."""
    fields = {
        entry["name"]: entry["valueFrom"]["fieldRef"]["fieldPath"]
        for entry in container(helm.render())["env"]
        if "valueFrom" in entry
    }

    assert fields == {
        "LLM_OPERATOR_NAMESPACE": "metadata.namespace",
        "LLM_OPERATOR_POD_NAME": "metadata.name",
    }


def test_the_pod_meets_pod_security_restricted(helm: Helm) -> None:
    """Non-root by number, no privilege, no capability, seccomp, read-only root."""
    pod = pod_of(helm.render())["spec"]
    security = container(helm.render())["securityContext"]

    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": contract.RUN_AS_ID,
        "runAsGroup": contract.RUN_AS_ID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert security == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [set(volume) - {"name"} for volume in pod["volumes"]] == [{"emptyDir"}]


def test_requests_are_small_and_memory_is_bounded(helm: Helm) -> None:
    """The operator fits on a small node and cannot take all of its memory."""
    resources = container(helm.render())["resources"]

    assert resources["requests"] == {"cpu": "50m", "memory": "128Mi"}
    assert set(resources["limits"]) == {"memory"}


def test_probes_ask_the_port_that_the_operator_listens_on(helm: Helm) -> None:
    """Liveness and start-up ask /livez, readiness /readyz, all on the probe port."""
    objects = helm.render()
    operator = container(objects)
    (port,) = operator["ports"]

    assert str(port["containerPort"]) == environment(objects)["LLM_OPERATOR_PROBE_PORT"]
    asked = {name: probe["httpGet"] for name, probe in operator.items() if name.endswith("Probe")}
    assert asked == {
        "startupProbe": {"path": "/livez", "port": port["name"]},
        "livenessProbe": {"path": "/livez", "port": port["name"]},
        "readinessProbe": {"path": "/readyz", "port": port["name"]},
    }


@pytest.mark.parametrize(("drain_seconds", "grace_seconds"), [("20", 45), ("60", 85), ("2.5", 28)])
def test_the_grace_period_outlasts_the_drain(
    helm: Helm, drain_seconds: str, grace_seconds: int
) -> None:
    """The kubelet kills 25 s after the operator should have ended its passes."""
    pod = pod_of(helm.render(f"settings.drainSeconds={drain_seconds}"))["spec"]

    assert pod["terminationGracePeriodSeconds"] == grace_seconds


def test_two_replicas_prefer_different_nodes(helm: Helm) -> None:
    """One node's end leaves a replica, and a cluster of one node can still run both."""
    objects = helm.render()
    (deployment,) = of_kind(objects, "Deployment")
    affinity = pod_of(objects)["spec"]["affinity"]["podAntiAffinity"]
    (term,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]

    assert deployment["spec"]["replicas"] == 2
    assert term["podAffinityTerm"]["labelSelector"] == deployment["spec"]["selector"]


def test_every_selector_finds_the_pods(helm: Helm) -> None:
    """Deployment, Service, disruption budget and monitor select what the template labels."""
    objects = helm.render("metrics.serviceMonitor.enabled=true", kinds=(SERVICE_MONITOR,))
    labels = pod_of(objects)["metadata"]["labels"].items()
    (service,) = of_kind(objects, "Service")
    (monitor,) = of_kind(objects, "ServiceMonitor")

    for kind in ("Deployment", "PodDisruptionBudget"):
        (found,) = of_kind(objects, kind)
        assert found["spec"]["selector"]["matchLabels"].items() <= labels
    assert service["spec"]["selector"].items() <= labels
    selected = monitor["spec"]["selector"]["matchLabels"].items()
    assert selected <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


@pytest.mark.parametrize(("replicas", "budgets"), [(1, 0), (2, 1)])
def test_a_single_replica_may_be_drained(helm: Helm, replicas: int, budgets: int) -> None:
    """A budget exists only where another replica can go on."""
    assert len(of_kind(helm.render(f"replicas={replicas}"), "PodDisruptionBudget")) == budgets


@pytest.mark.parametrize(
    ("enabled", "kinds", "monitors"),
    [("true", (SERVICE_MONITOR,), 1), ("true", (), 0), ("false", (SERVICE_MONITOR,), 0)],
)
def test_a_service_monitor_needs_its_kind_and_the_wish(
    helm: Helm, enabled: str, kinds: tuple[str, ...], monitors: int
) -> None:
    """Without the Prometheus Operator the chart still installs."""
    objects = helm.render(f"metrics.serviceMonitor.enabled={enabled}", kinds=kinds)

    assert len(of_kind(objects, "ServiceMonitor")) == monitors


def test_images_name_a_version(helm: Helm) -> None:
    """The default tag is the release, never latest; a digest wins over a tag."""
    digest = "sha256:" + "a" * 64
    pinned = helm.render(f'image={{"digest": "{digest}", "tag": "1"}}', 'server.image.tag="2"')

    assert container(helm.render())["image"] == "llm-operator:0.1.0"
    assert container(pinned)["image"] == f"llm-operator@{digest}"
    assert environment(pinned)["LLM_OPERATOR_SERVER_IMAGE"] == "llm-server:2"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("image.tag=latest", "/image/tag"),
        ("settings.workers=0", "/settings/workers"),
        ("settings.logLevel=loud", "/settings/logLevel"),
        ("replicas=-1", "/replicas"),
        ("watchNamespace=A_b", "/watchNamespace"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("server.images=x", "images"),
    ],
)
def test_a_wrong_value_is_refused_by_name(helm: Helm, value: str, named: str) -> None:
    """Helm refuses it before anything is installed and says which value it is."""
    done = helm.run("template", RELEASE, str(CHART), f"--set={value}")

    assert done.returncode != 0
    assert named in done.stderr


def test_namespaced_objects_say_where_they_are(helm: Helm) -> None:
    """What is rendered can be applied by kubectl or GitOps without a namespace of their own."""
    for obj in helm.render():
        assert ("namespace" in obj["metadata"]) is (obj["kind"] not in CLUSTER_SCOPED), obj["kind"]
