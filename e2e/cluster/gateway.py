"""The Gateway API and an implementation of it, as an add-on of a cluster.

Traefik is compiled from its Go module like the other programs: six minutes on two cores, then
cached by content. Nothing but the tests of traffic needs it, so no cluster has it from the start.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Final

from e2e.cluster import commands
from e2e.cluster.cluster import Cluster
from e2e.cluster.content import exclusive, key_of
from e2e.cluster.engine import BuildOrder
from e2e.cluster.images import provide
from e2e.cluster.paths import SOURCE, cache_root
from e2e.cluster.progress import Step, step

NAMESPACE: Final = "gateway"
GATEWAY: Final = "public"
"""The Gateway; routes of every namespace may hang on it."""
ADDRESS: Final = f"http://traefik.{NAMESPACE}.svc"
"""Where pods reach what the Gateway serves."""
CLASS: Final = "traefik"

_MODULE: Final = SOURCE / "traefik"
_MANIFEST: Final = SOURCE / "manifests" / "gateway.yaml"
_IMAGE: Final = "llm-e2e-traefik"
_PACKAGE: Final = "github.com/traefik/traefik/v3/cmd/traefik"
_KINDS: Final = "sigs.k8s.io/gateway-api"
_READY_SECONDS: Final = 120


def install(cluster: Cluster) -> None:
    """Have the kinds of the standard channel, Traefik, and a Gateway that is programmed.

    Safe to repeat.

    Raises:
        CommandFailed: Go or kubectl failed, or something is not ready in time.
    """
    reference = _image(cluster)
    with step(f"cluster {cluster.name}: Gateway API, Traefik"):
        install_kinds(cluster)
        cluster.apply(_MANIFEST.read_text().replace("TRAEFIK_IMAGE", reference))
        for target, condition in (("deployment/traefik", "Available"), (_gateway(), "Programmed")):
            cluster.kubectl(
                *("-n", NAMESPACE, "wait", f"--for=condition={condition}", target),
                f"--timeout={_READY_SECONDS}s",
                timeout_seconds=_READY_SECONDS + 5,
            )


def _gateway() -> str:
    return f"gateway/{GATEWAY}"


def install_kinds(cluster: Cluster) -> None:
    """Install the CRDs of the version that Traefik was built with.

    An operator that runs already learns of them with its next round of lists.
    """
    said = _go("mod", "download", "-json", _KINDS)
    directory = Path(json.loads(said)["Dir"]) / "config" / "crd" / "standard"
    # By the server: the routes' schema is larger than an annotation may be.
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(directory))
    crds = [path.stem.partition("_") for path in directory.glob("*.yaml")]
    names = [f"crd/{plural}.{group}" for group, _, plural in crds]
    cluster.kubectl("wait", "--for=condition=Established", *names, "--timeout=30s")


def _image(cluster: Cluster) -> str:
    containerfile = _MODULE / "Containerfile"
    key = key_of([_MODULE, *_build_command(Path("bin"))])

    def build(reference: str) -> None:
        context = cache_root() / "contexts" / _IMAGE
        shutil.rmtree(context, ignore_errors=True)
        context.mkdir(parents=True)
        try:
            (context / "traefik").hardlink_to(_program(key))
            cluster.engine.build(BuildOrder(context, containerfile, reference, {}))
            cluster.engine.prune(_IMAGE)
        finally:
            shutil.rmtree(context, ignore_errors=True)

    return provide(cluster, _IMAGE, key, build)


def _program(key: str) -> Path:
    """Return the compiled program; there is one at a time in the cache."""
    with exclusive("traefik"):
        target = cache_root() / "traefik" / key
        if not target.exists():
            shutil.rmtree(target.parent, ignore_errors=True)
            target.parent.mkdir(parents=True)
            partial = target.with_suffix(".partial")
            with step("program: Traefik (Go)") as progress:
                _compile(partial, progress)
            partial.rename(target)
        return target


def _compile(target: Path, progress: Step) -> None:
    progress.say("downloading modules")
    total = len(_go("list", "-deps", _PACKAGE).splitlines())
    compiled = 0

    def count(line: str) -> None:
        nonlocal compiled
        compiled += 1
        progress.say(f"{compiled} of at most {total} packages, now {line}")

    try:
        # Tests with deadlines may run beside it.
        build = ("nice", *_build_command(target))
        commands.follow(*build, on_line=count, cwd=_MODULE, env=_environment())
    finally:
        shutil.rmtree(_go_cache(), ignore_errors=True)  # only a second build would use it


def _build_command(target: Path) -> list[str]:
    flags = ("-v", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w")
    return ["go", "build", *flags, "-o", str(target), _PACKAGE]


def _go(*arguments: str) -> str:
    return commands.run("go", *arguments, cwd=_MODULE, env=_environment(), timeout_seconds=1200)


def _go_cache() -> Path:
    return cache_root() / "go-build-traefik"


def _environment() -> dict[str, str]:
    own = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOCACHE": str(_go_cache()), "GOFLAGS": ""}
    return {**os.environ, **own}
