"""What a cluster needs from the container tool, whichever it is.

`podman_engine` and `docker_engine` implement it; the choice is made once, by `preflight`, and
remembered in the cluster's files. Everything above this line is the same for both.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

REGISTRY = "localhost:5000"
"""What images are called, in the namespace (podman) or on the machine (Docker), and on the node."""


class ContainerTool(StrEnum):
    """The one switch: `CONTAINER_TOOL=docker|podman`."""

    DOCKER = "docker"
    PODMAN = "podman"


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """An image to build. `options` are flags that docker and podman share."""

    context: Path
    dockerfile: Path
    reference: str
    args: Mapping[str, str]
    options: tuple[str, ...] = ()

    def flags(self) -> list[str]:
        """Return the order as flags of `docker build` and `podman build`."""
        args = [f"--build-arg={key}={value}" for key, value in self.args.items()]
        return ["-f", str(self.dockerfile), "-t", self.reference, *args, *self.options]


class Engine(Protocol):
    """Everything that differs between the two routes."""

    @property
    def tool(self) -> ContainerTool:
        """Which of the two this is."""
        ...

    @property
    def programs(self) -> Path | None:
        """Directory with kind, kubectl and helm; None if those of PATH are used."""
        ...

    def prefix(self, name: str, /) -> list[str]:
        """Words before each command that talks to the cluster `name`."""
        ...

    def environment(self, name: str, /) -> dict[str, str]:
        """Environment of each command that talks to the cluster, KUBECONFIG apart."""
        ...

    def prepare(self, name: str, /) -> list[str]:
        """Make what kind does not, before it creates the cluster; return its further flags."""
        ...

    def start_registry(self, name: str, /) -> str:
        """Have a registry answer at `REGISTRY`; return its URL as the node reaches it."""
        ...

    def clear(self, name: str, /) -> None:
        """Remove what `prepare` and `start_registry` made, complete or not."""
        ...

    def leftovers(self, name: str, /) -> list[str]:
        """What there is of it outside its files, e.g. `container llm-operator-registry`."""
        ...

    def build(self, order: BuildOrder) -> None:
        """Build an image."""
        ...

    def prune(self, name: str, /) -> None:
        """Remove older builds of the image `name` and what failed builds of it left."""
        ...

    def has_image(self, reference: str) -> bool:
        """Whether the image is in the local store."""
        ...

    def push(self, name: str, reference: str, /) -> None:
        """Bring an image of the local store to the cluster's registry."""
        ...

    def base_image(self) -> str:
        """The reference for the build argument BASE_IMAGE."""
        ...


def path_with(programs: Path | None) -> str:
    """Return PATH with `programs` first."""
    path = os.environ.get("PATH", os.defpath)
    return path if programs is None else f"{programs}{os.pathsep}{path}"
