"""The podman route: one network namespace per cluster, images and programs made on the spot.

For root on Debian where neither a Docker engine nor an image registry is within reach.
"""

import json
import os
import shlex
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import namespace
from e2e.cluster.commands import attempt, run
from e2e.cluster.debian import debian_image
from e2e.cluster.engine import REGISTRY, BuildOrder, ContainerTool, path_with
from e2e.cluster.host import host_places, record_host, restore_host
from e2e.cluster.node_image import node_image
from e2e.cluster.paths import ClusterFiles, cache_root, uv_cache
from e2e.cluster.podman import image_exists, podman, podman_build, podman_environment, try_podman
from e2e.cluster.programs import build_programs
from e2e.cluster.progress import step

_REGISTRY_PORT = 5000
_REGISTRY_START_SECONDS = 10.0
_REGISTRY_MAX_BYTES = 20 * 2**30
_PYTHON_PACKAGES = ("python3", "python3-venv", "ca-certificates", "libgomp1")
_CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
_KEPT_BUILDS = 2
_CONTAINER_MONITOR = "conmon"  # podman must find it to remove its container in order
_CONTAINER_START_SECONDS = 2.0
_REGISTRY_CONFIG = """\
version: 0.1
log: {{accesslog: {{disabled: true}}, level: warn}}
storage: {{filesystem: {{rootdirectory: {storage}}}, delete: {{enabled: true}}}}
http: {{addr: "0.0.0.0:{port}"}}
"""


@dataclass(frozen=True, slots=True)
class PodmanEngine:
    """An `Engine` on podman. `programs` is where an existing cluster's programs lie."""

    programs: Path | None = None

    @property
    def tool(self) -> ContainerTool:
        """Podman."""
        return ContainerTool.PODMAN

    @classmethod
    def ready(cls) -> "PodmanEngine":
        """Return an engine whose programs are built: ten minutes the first time."""
        return cls(build_programs().directory)

    def prefix(self, name: str, /) -> list[str]:
        """Enter the cluster's namespace."""
        return namespace.entering(name)

    def environment(self, name: str, /) -> dict[str, str]:
        """Podman's settings, the cluster's own network, our programs first on PATH."""
        own = {"KIND_EXPERIMENTAL_PODMAN_NETWORK": name, "PATH": path_with(self.programs)}
        return {**podman_environment(), **own}

    def prepare(self, name: str, /) -> list[str]:
        """Record the machine, make namespace and network, and name the node image."""
        image = node_image(build_programs())
        record_host(host_places())
        namespace.create(name)
        # No DNS of podman's own: it is one process for all networks, and names need not leave.
        run(*self.prefix(name), "podman", "network", "create", "--disable-dns", name,
            env=podman_environment())  # fmt: skip
        return ["--image", image]

    def start_registry(self, name: str, /) -> str:
        """Start Debian's registry in the namespace; what it stores outlives the cluster."""
        if not self._registry_answers(name):
            self._spawn_registry(name)
        return f"http://{self._gateway(name)}:{_REGISTRY_PORT}"

    def clear(self, name: str, /) -> None:
        """End the namespace's processes, remove it and the network, put the machine back."""
        if namespace.exists(name):
            namespace.end_processes(name, sparing=_CONTAINER_MONITOR)
        # Where its firewall rules are; with the namespace gone, where it can write none.
        place = self.prefix(name) if namespace.exists(name) else ["unshare", "--net"]
        removal = (*place, "podman", "rm", "--force", "--time", "0", "--volumes")
        for container in self._containers(name):
            attempt(*removal, container, env=podman_environment())
        for volume in self._volumes(name):
            try_podman("volume", "rm", "--force", volume)
        if namespace.exists(name):
            namespace.remove(name)
        try_podman("network", "rm", "--force", name)
        _remove_orphaned_namespaces()
        others = [path for path in (cache_root() / "clusters").glob("*/") if path.name != name]
        if not others:
            restore_host(host_places())

    def leftovers(self, name: str, /) -> list[str]:
        """Containers, network and namespace of this name."""
        found = [f"container {container}" for container in self._containers(name)]
        found += [f"volume {volume}" for volume in self._volumes(name)]
        if try_podman("network", "exists", name).ok:
            found.append(f"network {name}")
        if namespace.exists(name):
            found.append(f"network namespace {name}")
        return found

    def build(self, order: BuildOrder) -> None:
        """Build on the host's network, with its CA bundle as a secret and its uv cache."""
        cache = uv_cache()
        cache.mkdir(parents=True, exist_ok=True)
        options = ["--volume", f"{cache}:/root/.cache/uv:rw"]
        bundles = [os.environ.get("SSL_CERT_FILE", ""), *_CA_BUNDLES]
        bundle = next((path for path in bundles if path and Path(path).is_file()), None)
        if bundle:
            options += ["--secret", f"id=ca,src={bundle}"]
        with step(f"image {order.reference}") as progress:
            podman_build(order.context, progress, *order.flags(), *options)

    def prune(self, name: str, /) -> None:
        """Keep the newest builds of an image; a checkout and its neighbour may alternate."""
        filters = ("--filter", f"reference={REGISTRY}/{name}")
        columns = ("--sort", "created", "--format", "{{.Repository}}:{{.Tag}}")
        tags = try_podman("images", *filters, *columns).stdout.split()
        for old in tags[_KEPT_BUILDS:]:
            try_podman("rmi", old)
        title = f"label=org.opencontainers.image.title={name}"
        try_podman("image", "prune", "--force", "--filter", title)

    def has_image(self, reference: str) -> bool:
        """Ask podman's store."""
        return image_exists(reference)

    def push(self, name: str, reference: str, /) -> None:
        """Push to the registry in the namespace; zstd takes a third of gzip's time."""
        run(
            *self.prefix(name),
            *("podman", "push", "--quiet", "--tls-verify=false"),
            *("--compression-format", "zstd", reference),
            env=podman_environment(),
            timeout_seconds=900,
        )

    def base_image(self) -> str:
        """Debian with its Python."""
        return debian_image(_PYTHON_PACKAGES)

    def _containers(self, name: str) -> list[str]:
        label = f"label=io.x-k8s.kind.cluster={name}"
        return try_podman("ps", "--all", "--quiet", "--filter", label).stdout.split()

    def _volumes(self, name: str) -> list[str]:
        label = f"label={name}-control-plane"  # kind labels a volume with its node's name
        return try_podman("volume", "ls", "--quiet", "--filter", label).stdout.split()

    def _gateway(self, name: str) -> str:
        networks = json.loads(podman("network", "inspect", name))
        return str(networks[0]["subnets"][0]["gateway"])

    def _registry_answers(self, name: str) -> bool:
        port = f"sport = :{_REGISTRY_PORT}"
        return bool(attempt(*self.prefix(name), "ss", "-Hltn", port).stdout.strip())

    def _spawn_registry(self, name: str) -> None:
        files = ClusterFiles.of(name)
        storage = cache_root() / "registry"
        _bound(storage)
        config = files.root / "registry.yaml"
        config.write_text(_REGISTRY_CONFIG.format(storage=storage, port=_REGISTRY_PORT))
        # By a shell that forks it off: no process of ours stays its parent.
        start = f"exec setsid --fork docker-registry serve {shlex.quote(str(config))}"
        log = shlex.quote(str(files.root / "registry.log"))
        run(*self.prefix(name), "sh", "-c", f"{start} > {log} 2>&1 < /dev/null")
        deadline = time.monotonic() + _REGISTRY_START_SECONDS
        while not self._registry_answers(name):
            if time.monotonic() > deadline:
                msg = f"registry does not listen on {REGISTRY}: see {files.root / 'registry.log'}"
                raise TimeoutError(msg)
            time.sleep(0.1)


def _remove_orphaned_namespaces() -> None:
    """Remove namespaces that a podman killed while it made a container left behind.

    Looks twice: for a moment, one that is being made has no container and no process either.
    """
    if orphans := _orphaned_namespaces():
        time.sleep(_CONTAINER_START_SECONDS)
        for orphan in orphans & _orphaned_namespaces():
            attempt("ip", "netns", "delete", orphan)


def _orphaned_namespaces() -> set[str]:
    containers = podman("ps", "--all", "--quiet").split()
    keys = "{{.NetworkSettings.SandboxKey}}"
    known = podman("inspect", "--format", keys, *containers).split() if containers else []
    found = {path.name for path in Path("/run/netns").glob("netns-*")}
    return {name for name in found - {Path(key).name for key in known} if namespace.is_empty(name)}


def _bound(storage: Path) -> None:
    """Drop the registry's store when it has grown too large: images are pushed again."""
    size = 0
    for path in storage.rglob("*"):
        with suppress(FileNotFoundError):
            size += path.lstat().st_size
    if size > _REGISTRY_MAX_BYTES:
        shutil.rmtree(storage, ignore_errors=True)
