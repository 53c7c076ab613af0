"""Images: Dockerfile → build → the cluster's registry → kubelet.

A Dockerfile here must also work as a plain `docker build` at the top of the checkout:

* `ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm`, `FROM ${BASE_IMAGE}`; the podman
  route passes a Debian with python3, python3-venv, ca-certificates and libgomp1 instead.
* uv comes from `requirements/uv.txt` by pip inside the step that installs, and goes in the same
  step. An optional secret `ca` is a CA bundle; the cache mount `/root/.cache/uv` is uv's cache
  (the podman route mounts the one that made `.venv`, so nothing is downloaded twice).
* Each COPY names what it needs; the context holds nothing else (`build_context`).

An image's tag is the hash of its inputs, so a changed image has a new reference and an unchanged
one is neither built nor pushed nor pulled.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

from e2e.cluster.build_context import context_key, sources_of, stage
from e2e.cluster.cluster import Cluster
from e2e.cluster.content import exclusive
from e2e.cluster.engine import REGISTRY, BuildOrder
from e2e.cluster.paths import CHECKOUT, cache_root
from e2e.cluster.progress import step

_PROBE = """
import sys, urllib.error, urllib.request
accept = ", ".join((
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
))
request = urllib.request.Request(sys.argv[1], method="HEAD", headers={"Accept": accept})
try:
    urllib.request.urlopen(request, timeout=10)
except urllib.error.HTTPError as answer:
    sys.exit(3 if answer.code == 404 else f"{sys.argv[1]}: HTTP {answer.code}")
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one image is made."""

    name: str
    dockerfile: str
    args: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Images:
    """References that the cluster's kubelet can pull."""

    operator: str
    server: str
    client: str


RECIPES = {
    "operator": Recipe("llm-operator", "Dockerfile.operator"),
    "server": Recipe("llm-server", "Dockerfile.server", (("ACCELERATOR", "cpu"),)),
    "client": Recipe("llm-e2e-client", "e2e/images/client/Dockerfile"),
}
"""By the field of `Images` that each one fills."""


def images(cluster: Cluster) -> Images:
    """Build what changed, push what the registry lacks, and return all references.

    Raises:
        CommandFailed: A build or a push failed; the message ends with what it printed.
        ValueError: A Dockerfile does not keep to the rules above.
    """
    return Images(**{field: image(cluster, field) for field in RECIPES})


def image(cluster: Cluster, field: str) -> str:
    """As `images`, for the one image that fills `field`."""
    recipe = RECIPES[field]
    args = {"BASE_IMAGE": cluster.engine.base_image(), **dict(recipe.args)}
    key = context_key(CHECKOUT, CHECKOUT / recipe.dockerfile, args)
    return provide(
        cluster, recipe.name, key, lambda reference: _build(cluster, recipe, reference, args)
    )


def provide(cluster: Cluster, name: str, key: str, build: Callable[[str], None]) -> str:
    """Return the reference of an image in the registry; build it only if it is nowhere yet.

    `key` names the image's inputs; `build` is given the reference.
    """
    reference = f"{REGISTRY}/{name}:{key}"
    with exclusive(f"image-{name}"):
        if not _in_registry(cluster, name, key):
            if not cluster.engine.has_image(reference):
                build(reference)
            _push(cluster, reference)
    return reference


def load(cluster: Cluster, source: str) -> str:
    """Push an image of the local store under the registry's name, and return its reference."""
    last = source.rsplit("/", 1)[-1]
    reference = f"{REGISTRY}/{last if ':' in last else f'{last}:latest'}"
    cluster.run(cluster.engine.tool.value, "tag", source, reference)
    _push(cluster, reference)
    return reference


def _push(cluster: Cluster, reference: str) -> None:
    with step(f"push {reference}"):
        cluster.engine.push(cluster.name, reference)


def _in_registry(cluster: Cluster, name: str, tag: str) -> bool:
    url = f"http://{REGISTRY}/v2/{name}/manifests/{tag}"
    return cluster.attempt(sys.executable, "-I", "-S", "-c", _PROBE, url).ok


def _build(cluster: Cluster, recipe: Recipe, reference: str, args: dict[str, str]) -> None:
    context = cache_root() / "contexts" / recipe.name
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir(parents=True)
    dockerfile = CHECKOUT / recipe.dockerfile
    try:
        stage(CHECKOUT, dockerfile, context)
        options = ("--no-cache",) if sources_of(dockerfile.read_text()).bound else ()
        cluster.engine.build(BuildOrder(context, dockerfile, reference, args, options))
        cluster.engine.prune(recipe.name)
    finally:
        shutil.rmtree(context, ignore_errors=True)
