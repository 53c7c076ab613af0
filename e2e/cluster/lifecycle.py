"""How a cluster comes and goes.

`up` is safe to repeat: a healthy cluster of the name is kept, what a killed run left is cleared
first. `down` leaves caches (programs, images, the registry's store) and nothing else.
"""

import json
import shutil

from e2e.cluster import commands
from e2e.cluster.cluster import Cluster, ClusterMissing
from e2e.cluster.content import exclusive
from e2e.cluster.docker_engine import DockerEngine
from e2e.cluster.engine import REGISTRY, ContainerTool, Engine
from e2e.cluster.paths import DEFAULT_NAME, SOURCE, ClusterFiles
from e2e.cluster.podman import max_open_files
from e2e.cluster.podman_engine import PodmanEngine
from e2e.cluster.preflight import admit, inspect, judge
from e2e.cluster.progress import step

_MANIFESTS = SOURCE / "manifests"
_READY_SECONDS = 180
_PROBE_SECONDS = 10


def up(name: str = DEFAULT_NAME) -> Cluster:
    """Return a cluster in which a pod can start now, making it unless a healthy one is there.

    Raises:
        PreflightRefused: This machine cannot run one; the message says what is missing.
        CommandFailed: A step failed; what it left goes with the next `up` or `down`.
    """
    with exclusive(f"cluster-{name}"):
        if (running := _healthy(name)) is not None:
            return running
        tool = admit()
        _clear(name, tool)
        engine: Engine = DockerEngine() if tool is ContainerTool.DOCKER else PodmanEngine.ready()
        cluster = Cluster(name, engine)
        flags = _prepare(cluster)
        with step(f"cluster {name}: kind create"):
            _create(cluster, flags)
        with step(f"cluster {name}: registry, metrics-server, storage"):
            _connect_registry(cluster)
            _install_metrics_server(cluster)
            _await_system(cluster)
        _write_facts(cluster)
        return cluster


def down(name: str = DEFAULT_NAME) -> None:
    """Remove the cluster and everything that it changed on the machine; caches stay."""
    with exclusive(f"cluster-{name}"):
        try:
            tool = Cluster.existing(name).engine.tool
        except ClusterMissing:
            tool = judge(inspect()).tool  # removing needs nothing that a preflight would refuse
        with step(f"cluster {name}: remove"):
            _clear(name, tool)


def _healthy(name: str) -> Cluster | None:
    try:
        cluster = Cluster.existing(name)
        ready = cluster.attempt(
            "kubectl", "get", "--raw", "/readyz", timeout_seconds=_PROBE_SECONDS
        )
        if not ready.ok:
            return None
        cluster.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=10s")
        _connect_registry(cluster)
    except (ClusterMissing, commands.CommandFailed, commands.CommandTimeout):
        return None
    return cluster


def _clear(name: str, tool: ContainerTool) -> None:
    files = ClusterFiles.of(name)
    engine: Engine = DockerEngine() if tool is ContainerTool.DOCKER else PodmanEngine()
    engine.clear(name)
    shutil.rmtree(files.root, ignore_errors=True)


def _prepare(cluster: Cluster) -> list[str]:
    """Write the files that kind reads; return the flags that it needs on this route."""
    files = cluster.files
    files.audit.mkdir(parents=True)
    # There before the API server: it keeps owner and mode, or only root could read its log.
    (files.audit / "audit.log").touch(mode=0o644)
    shutil.copy(_MANIFESTS / "audit-policy.yaml", files.root)
    config = (_MANIFESTS / "kind.yaml").read_text()
    (files.root / "kind.yaml").write_text(config.replace("MAX_OPEN_FILES", str(max_open_files())))
    return cluster.engine.prepare(cluster.name)


def _create(cluster: Cluster, flags: list[str]) -> None:
    files = cluster.files
    commands.run(
        *cluster.argv("kind", "create", "cluster", "--name", cluster.name, *flags),
        *("--config", "kind.yaml", "--kubeconfig", str(files.kubeconfig)),
        *("--wait", f"{_READY_SECONDS}s"),
        env=cluster.environment(),
        cwd=files.root,
        timeout_seconds=2 * _READY_SECONDS,
    )


def _connect_registry(cluster: Cluster) -> None:
    url = cluster.engine.start_registry(cluster.name)
    directory = f"/etc/containerd/certs.d/{REGISTRY}"
    # With `server` an unknown image is not found, instead of being looked for on the node itself.
    hosts = f'server = "{url}"\n[host."{url}"]'
    script = f"mkdir -p {directory} && echo '{hosts}' > {directory}/hosts.toml"
    cluster.node_exec("sh", "-c", script)


def _install_metrics_server(cluster: Cluster) -> None:
    cluster.apply((_MANIFESTS / "metrics-server.yaml").read_text())


def _await_system(cluster: Cluster) -> None:
    """Wait for what a first pod needs: it would fail or hang without any of these."""
    patience = f"--timeout={_READY_SECONDS}s"
    wait = ("wait", patience)
    for kind, name, what in (
        ("serviceaccount", "default", "create"),
        ("configmap", "kube-root-ca.crt", "create"),
    ):
        cluster.kubectl(*wait, f"--for={what}", kind, name, timeout_seconds=_READY_SECONDS + 5)
    available = ("--for=condition=Available", "-n", "kube-system")
    for target in (("deployment", "--all"), ("apiservice", "v1beta1.metrics.k8s.io")):
        cluster.kubectl(*wait, *available, *target, timeout_seconds=_READY_SECONDS + 5)


def _write_facts(cluster: Cluster) -> None:
    programs = cluster.engine.programs
    facts = {
        "tool": cluster.engine.tool.value,
        "programs": None if programs is None else str(programs),
    }
    partial = cluster.files.facts.with_suffix(".partial")
    partial.write_text(json.dumps(facts))
    partial.rename(cluster.files.facts)
