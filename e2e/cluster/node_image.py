"""The kind node image, made on the spot from our programs, Debian packages and kind's base files.

Only the podman route needs it; with Docker, kind pulls its stock image. Cached in podman's store
under the hash of everything that goes into it: a minute and a half when something changed.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster.commands import run
from e2e.cluster.content import exclusive, key_of
from e2e.cluster.debian import debian_image
from e2e.cluster.paths import SOURCE, cache_root
from e2e.cluster.podman import image_exists, podman, podman_build, try_podman
from e2e.cluster.programs import Programs, module_directory, module_version
from e2e.cluster.progress import Step, step

_FILES = SOURCE / "node"
_NODE_PACKAGES = (
    *("systemd", "conntrack", "iptables", "nftables", "iproute2", "ethtool", "util-linux"),
    *("mount", "kmod", "libseccomp2", "pigz", "bash", "ca-certificates", "curl", "jq", "procps"),
    *("containerd", "runc", "containernetworking-plugins", "hostname"),
)
_CONTROL_PLANE_PACKAGES = ("iptables", "nftables", "conntrack", "kmod")  # kube-proxy's tools
_METRICS_SERVER = "registry.k8s.io/metrics-server/metrics-server"


def node_image(programs: Programs) -> str:
    """Return the reference of the node image, building it if its inputs changed.

    Raises:
        CommandFailed: A step of the build failed.
    """
    inputs: list[str | Path] = [_FILES, programs.key, *_NODE_PACKAGES, *_CONTROL_PLANE_PACKAGES]
    reference = f"localhost/llm-operator-node:{key_of(inputs)}"
    with exclusive("node-image"):
        if not image_exists(reference):
            systemd = debian_image(_NODE_PACKAGES)
            tools = debian_image(_CONTROL_PLANE_PACKAGES)
            with step("node image") as progress, _context("node") as context:
                _stage(context, programs, _control_plane_images(programs))
                _archive_components(context, programs, tools, progress)
                _build(context, programs, systemd, reference, progress)
            _remove_unused(reference)
    return reference


def _remove_unused(current: str) -> None:
    """Remove former node images; podman keeps one that a running cluster still uses."""
    names = ("--filter", "reference=localhost/llm-operator-node")
    former = podman("images", *names, "--format", "{{.Repository}}:{{.Tag}}").split()
    for reference in former:
        if reference != current:
            try_podman("rmi", reference)


@contextmanager
def _context(name: str) -> Iterator[Path]:
    directory = cache_root() / "contexts" / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _control_plane_images(programs: Programs) -> list[str]:
    """The references that kubeadm will ask for, e.g. `registry.k8s.io/etcd:3.6.8-0`."""
    said = run(
        str(programs.directory / "kubeadm"),
        *("config", "images", "list", "--kubernetes-version", programs.kubernetes_version),
    )
    return said.split()


def _named(images: list[str], component: str) -> str:
    return next(image for image in images if f"/{component}:" in image)


def _stage(context: Path, programs: Programs, images: list[str]) -> None:
    base = module_directory("sigs.k8s.io/kind") / "images" / "base" / "files"
    shutil.copytree(base / "usr", context / "kind" / "usr", copy_function=shutil.copyfile)
    shutil.copytree(base / "kind", context / "kind" / "kind", copy_function=shutil.copyfile)
    shutil.copytree(base / "etc", context / "kind" / "etc", copy_function=shutil.copyfile)
    for directory in (context / "kind").rglob("*"):
        directory.chmod(0o755 if directory.is_dir() else 0o644)
    shutil.copytree(_FILES / "root", context / "root")
    storage = context / "root" / "kind" / "manifests" / "default-storage.yaml"
    manifest = storage.read_text().replace("KUBERNETES_IMAGE", _named(images, "kube-proxy"))
    storage.write_text(manifest)
    for script in ("configure.sh", "load-images.sh"):
        shutil.copy(_FILES / script, context)
    (context / "bin").mkdir()
    for source, target in (("cluster", "kubernetes"), ("kubeadm", "kubeadm"), ("crictl", "crictl")):
        (context / "bin" / target).hardlink_to(programs.directory / source)


def _archive_components(context: Path, programs: Programs, debian: str, progress: Step) -> None:
    """Build the control plane's images and write them to `images.tar`."""
    tags: dict[str, list[str]] = {}
    for image in [*_control_plane_images(programs), _metrics_server_image()]:
        name = image.rsplit("/", 1)[1].split(":")[0]
        own = name if name in ("coredns", "pause", "metrics-server") else "kubernetes"
        tags.setdefault(own, []).append(image)
    for target, names in tags.items():
        progress.say(f"image {target}")
        options = ["--target", target, "--build-arg", f"DEBIAN={debian}"]
        options += [option for name in names for option in ("-t", name)]
        options += ["-f", str(_FILES / "components.Containerfile")]
        podman_build(programs.directory, progress, *options)
    every = [name for names in tags.values() for name in names]
    progress.say("archive of the control plane's images")
    podman("save", "--quiet", "-m", "-o", str(context / "images.tar"), *every)
    podman("rmi", *every)


def _metrics_server_image() -> str:
    return f"{_METRICS_SERVER}:{module_version('sigs.k8s.io/metrics-server')}"


def _build(context: Path, programs: Programs, debian: str, reference: str, progress: Step) -> None:
    pause = _named(_control_plane_images(programs), "pause")
    podman_build(
        context,
        progress,
        *("-f", str(_FILES / "Containerfile"), "--layers=false"),
        *("--build-arg", f"DEBIAN={debian}"),
        *("--build-arg", f"KUBERNETES_VERSION={programs.kubernetes_version}"),
        *("--build-arg", f"PAUSE_IMAGE={pause}", "-t", reference),
    )
