"""Kubernetes, kind, helm and the add-ons, compiled from their Go modules.

Needed where no registry hands out a node image. One module holds all of them, so they share one
dependency graph and are compiled once: about ten minutes on two cores, then cached by content.
"""

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.commands import follow, run
from e2e.cluster.content import exclusive, key_of
from e2e.cluster.paths import SOURCE, cache_root
from e2e.cluster.progress import Step, step

_MODULE = SOURCE / "go"
_TAGS = "providerless,notest,grpcnotrace"
_PACKAGES = (
    ".",
    "./pause",
    "helm.sh/helm/v4/cmd/helm",
    "github.com/coredns/coredns",
    "sigs.k8s.io/metrics-server/cmd/metrics-server",
    "sigs.k8s.io/cri-tools/cmd/crictl",
    "k8s.io/kubernetes/cmd/kubeadm",
    "sigs.k8s.io/kind",
)
_KEPT_BUILDS = 3
_COMPONENTS = (
    "etcd",
    "kubectl",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)
COMBINED = "cluster"
"""The file that is every component, by the name it is called by."""


@dataclass(frozen=True, slots=True)
class Programs:
    """A directory of static binaries and what they are."""

    directory: Path
    kubernetes_version: str
    key: str


def module_version(path: str) -> str:
    """Return the version of a required module, e.g. `v1.36.4`.

    Raises:
        LookupError: go.mod does not require it.
    """
    found = re.search(
        rf"^\s*(?:require )?{re.escape(path)} (v\S+)",
        (_MODULE / "go.mod").read_text(),
        re.MULTILINE,
    )
    if found is None:
        msg = f"go.mod does not require {path}"
        raise LookupError(msg)
    return found.group(1)


def programs_key() -> str:
    """Name what `build_programs` would build."""
    return key_of([_MODULE, *_build_command(Path("bin"))])


def cached_programs() -> Programs | None:
    """Return the programs if they are built."""
    key = programs_key()
    directory = cache_root() / "programs" / key
    version = module_version("k8s.io/kubernetes")
    return Programs(directory, version, key) if directory.is_dir() else None


def build_programs() -> Programs:
    """Compile the programs unless the cache has them."""
    with exclusive("programs"):
        if cached := cached_programs():
            return cached
        target = cache_root() / "programs" / programs_key()
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with step("programs: Kubernetes, kind, helm, CoreDNS, metrics-server (Go)") as progress:
            _compile(partial, progress)
        for name in _COMPONENTS:
            (partial / name).symlink_to(COMBINED)
        partial.rename(target)
        _keep_newest(target.parent)
        built = cached_programs()
        assert built is not None
        return built


def _keep_newest(directory: Path) -> None:
    """Bound the cache; two checkouts may alternate, more are built again."""
    builds = sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in builds[_KEPT_BUILDS:]:
        shutil.rmtree(old, ignore_errors=True)


def module_directory(path: str) -> Path:
    """Return where the source of a module lies, downloading it if needed."""
    said = run(
        "go", "mod", "download", "-json", path, cwd=_MODULE, env=_environment(), timeout_seconds=300
    )
    return Path(json.loads(said)["Dir"])


def _compile(target: Path, progress: Step) -> None:
    progress.say("downloading modules")
    listed = run("go", "list", *_selection(), cwd=_MODULE, env=_environment(), timeout_seconds=1200)
    total = len(listed.splitlines())
    compiled = 0

    def count(line: str) -> None:
        nonlocal compiled
        compiled += 1
        progress.say(f"{compiled} of at most {total} packages, now {line}")

    try:
        follow(*_build_command(target), on_line=count, cwd=_MODULE, env=_environment())
    finally:
        shutil.rmtree(_go_cache(), ignore_errors=True)  # 3.7 GB that only a second build would use


def _selection() -> list[str]:
    return ["-deps", "-tags", _TAGS, *_PACKAGES]


def _build_command(target: Path) -> list[str]:
    flags = f"-s -w {_version_flags(module_version('k8s.io/kubernetes'))}"
    return [
        *("go", "build", "-v", "-trimpath", "-buildvcs=false", "-tags", _TAGS, "-ldflags", flags),
        *("-o", f"{target}/", *_PACKAGES),
    ]


def _version_flags(version: str) -> str:
    """Linker flags that make the components report `version`, as upstream's build does."""
    major, minor, _ = version.removeprefix("v").split(".")
    values = {
        "gitVersion": version,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "e2e",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(f"-X {p}.{name}={value}" for p in packages for name, value in values.items())


def _go_cache() -> Path:
    return cache_root() / "go-build"


def _environment() -> dict[str, str]:
    own = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOCACHE": str(_go_cache())}
    return {**os.environ, **own, "GOFLAGS": ""}
