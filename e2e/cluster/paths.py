"""Where the local cluster keeps what it caches and what it runs from.

Not a cache policy: each builder decides its own keys. Everything lies outside the checkout, so
that two checkouts share what they build and `git clean` never costs ten minutes.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

DEFAULT_NAME = "llm-operator"
SOURCE = Path(__file__).parent
CHECKOUT = SOURCE.parent.parent
_NAME_PATTERN = re.compile(r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?")


def cache_root() -> Path:
    """The directory of `LLM_OPERATOR_CACHE`, else of the XDG rule."""
    if explicit := os.environ.get("LLM_OPERATOR_CACHE"):
        return Path(explicit).absolute()
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "llm-operator"


def uv_cache() -> Path:
    """Where uv keeps what it downloaded: shared by `.venv` and the image builds."""
    explicit = os.environ.get("UV_CACHE_DIR")
    return Path(explicit) if explicit else cache_root() / "uv-cache"


def checked_name(name: str) -> str:
    """Return `name` if it can name a cluster, a network namespace and containers.

    Raises:
        ValueError: It is not a DNS label of at most 30 characters that starts with a letter.
    """
    if not _NAME_PATTERN.fullmatch(name):
        msg = (
            f"cluster name {name!r}: allowed are 1 to 30 of a-z, 0-9 and '-', "
            "starting with a letter and ending with a letter or digit"
        )
        raise ValueError(msg)
    return name


@dataclass(frozen=True, slots=True)
class ClusterFiles:
    """The files of one running cluster. `down` removes the directory."""

    root: Path

    @classmethod
    def of(cls, name: str) -> "ClusterFiles":
        """Return the files of the cluster `name`, which need not exist."""
        return cls(cache_root() / "clusters" / checked_name(name))

    @property
    def kubeconfig(self) -> Path:
        """Valid only where the cluster's API server answers, i.e. inside its namespace."""
        return self.root / "kubeconfig"

    @property
    def facts(self) -> Path:
        """What was decided when the cluster was made. Written last: without it, `up` failed."""
        return self.root / "cluster.json"

    @property
    def containers_conf(self) -> Path:
        """Podman's settings for this machine."""
        return self.root / "containers.conf"

    @property
    def audit(self) -> Path:
        """The directory that the API server writes its audit log to."""
        return self.root / "audit"
