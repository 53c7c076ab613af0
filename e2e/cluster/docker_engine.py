"""The Docker route: kind as its documentation has it, stock node image, a registry container.

kind, kubectl and helm come from PATH; `preflight` refuses where one is missing.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.commands import attempt, follow, run
from e2e.cluster.engine import REGISTRY, BuildOrder, ContainerTool
from e2e.cluster.progress import step

_REGISTRY_IMAGE = "registry:2"
_REGISTRY_VOLUME = "llm-operator-registry"
_BASE_IMAGE = "docker.io/library/python:3.11-slim-bookworm"


@dataclass(frozen=True, slots=True)
class DockerEngine:
    """An `Engine` on Docker."""

    @property
    def tool(self) -> ContainerTool:
        """Docker."""
        return ContainerTool.DOCKER

    @property
    def programs(self) -> Path | None:
        """None: those of PATH."""
        return None

    def prefix(self, _name: str, /) -> list[str]:
        """Nothing: the cluster's ports are the machine's."""
        return []

    def environment(self, name: str, /) -> dict[str, str]:
        """The user's own, with kind held to Docker and to a network of the cluster's own."""
        own = {"KIND_EXPERIMENTAL_PROVIDER": "docker", "KIND_EXPERIMENTAL_DOCKER_NETWORK": name}
        return {**os.environ, **own}

    def prepare(self, _name: str, /) -> list[str]:
        """Nothing: kind makes its network and pulls its node image."""
        return []

    def start_registry(self, name: str, /) -> str:
        """Run a registry on the cluster's network, published on the loopback only."""
        container = _registry_container(name)
        if not attempt("docker", "inspect", container).ok:
            run(
                *("docker", "run", "--detach", "--name", container, "--network", name),
                *("--publish", f"127.0.0.1:{REGISTRY.split(':')[1]}:5000"),
                *("--volume", f"{_REGISTRY_VOLUME}:/var/lib/registry", _REGISTRY_IMAGE),
                timeout_seconds=300,
            )
        run("docker", "start", container)
        return f"http://{container}:5000"

    def clear(self, name: str, /) -> None:
        """Remove node, registry and network; the registry's volume stays as a cache."""
        attempt("docker", "rm", "--force", "--volumes", *_nodes(name), _registry_container(name))
        attempt("docker", "network", "rm", name)

    def leftovers(self, name: str, /) -> list[str]:
        """Node, registry and network of this name."""
        found = [f"container {node}" for node in _nodes(name)]
        if attempt("docker", "inspect", _registry_container(name)).ok:
            found.append(f"container {_registry_container(name)}")
        if attempt("docker", "network", "inspect", name).ok:
            found.append(f"network {name}")
        return found

    def build(self, order: BuildOrder) -> None:
        """Build with BuildKit; a CA bundle given by SSL_CERT_FILE goes in as a secret."""
        options = ["--progress=plain"]
        if bundle := os.environ.get("SSL_CERT_FILE"):
            options.append(f"--secret=id=ca,src={bundle}")
        environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
        with step(f"image {order.reference}") as progress:
            follow(
                *("docker", "build", *options, *order.flags(), str(order.context)),
                on_line=progress.say,
                env=environment,
            )

    def prune(self, name: str, /) -> None:
        """Remove the images that lost their tag; BuildKit bounds its own cache."""
        title = f"label=org.opencontainers.image.title={name}"
        attempt("docker", "image", "prune", "--force", "--filter", title)

    def has_image(self, reference: str) -> bool:
        """Ask the engine's store."""
        return attempt("docker", "image", "inspect", reference).ok

    def push(self, _name: str, reference: str, /) -> None:
        """Push to the registry on the loopback."""
        run("docker", "push", "--quiet", reference, timeout_seconds=900)

    def base_image(self) -> str:
        """The official slim Python, as a plain `docker build` takes it."""
        return _BASE_IMAGE


def _nodes(name: str) -> list[str]:
    label = f"label=io.x-k8s.kind.cluster={name}"
    return attempt("docker", "ps", "--all", "--quiet", "--filter", label).stdout.split()


def _registry_container(name: str) -> str:
    return f"{name}-registry"
