"""The local cluster itself: what it gives a pod, and that nothing of it stays on the machine.

Uses a cluster of its own name beside any other, so that what it finds is its own doing.
"""

import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from e2e.cluster import Cluster, ClusterMissing, down, up
from e2e.cluster.commands import attempt
from e2e.cluster.paths import ClusterFiles
from e2e.cluster.podman import podman_environment
from e2e.cluster.preflight import inspect, judge

NAME = "llm-operator-inventory"
NODE = f"{NAME}-control-plane"
KIND_STARTS_SECONDS = 1800  # cold, the programs are built first
SHELL_IMAGE = "registry.k8s.io/kube-proxy:v1.36.4"
VOLATILE_SETTINGS = re.compile(
    r"fs/(dentry-state|file-nr|inode-(nr|state)|quota/|epoll)|kernel/(random/|ns_last_pid|pty/nr)"
    r"|net/netfilter/(nf_conntrack_count|nf_log/)|net/core/netdev_rss_key"
    r"|net/ipv4/tcp_(available_.*|fastopen_key)"
    r"|net/ipv[46]/(conf|neigh)/(?!all/|default/)"  # these come and go with interfaces
)
PROGRAMS = {  # by 15 characters, as `ps` says; not those that come and go: shims, kubectl, buildah
    *("conmon", "docker-registry", "kind", "containerd", "kubelet", "etcd"),
    *("kube-apiserver", "kube-scheduler", "kube-controller", "kube-proxy", "coredns"),
}

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600, func_only=True)]


@cache
def _tool() -> str:
    return judge(inspect()).tool.value


def _lines(*command: str) -> set[str]:
    if shutil.which(command[0]) is None:
        return set()  # what that program would make cannot be there
    outcome = attempt(*command, env=podman_environment())
    return set(outcome.stdout.splitlines())


def _kernel_settings() -> set[str]:
    found = set()
    for area in ("fs", "kernel", "vm", "net"):
        for path in Path("/proc/sys", area).rglob("*"):
            name = str(path.relative_to("/proc/sys"))
            if VOLATILE_SETTINGS.match(name) or not path.is_file():
                continue
            try:
                found.add(f"setting {name} = {path.read_text().strip()}")
            except OSError:
                continue  # write-only
    return found


def _processes() -> set[str]:
    """Programs that a cluster starts, counted: another cluster's may restart meanwhile."""
    outcome = attempt("ps", "-eo", "stat,comm", "--no-headers")
    counts = Counter(
        name
        for state, name in (line.split(maxsplit=1) for line in outcome.stdout.splitlines())
        if name in PROGRAMS and not state.startswith("Z")  # a zombie is its parent's
    )
    return {f"{name} {place}" for name, count in counts.items() for place in range(count)}


def _mounts() -> set[str]:
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    points = {line.split()[4] for line in mounts}
    return {point for point in points if not point.endswith("/merged")}  # of image builds


def _inventory() -> set[str]:
    root = Path("/sys/fs/cgroup")
    groups = [*root.glob("libpod*"), *root.glob("*/libpod*")]
    return {
        *_kernel_settings(),
        *(f"process {line}" for line in _processes()),
        *(f"mount {point}" for point in _mounts()),
        *(f"cgroup {path}" for group in groups for path in (group, *group.glob("libpod*"))),
        *(f"container {line}" for line in _lines(_tool(), "ps", "--all", "--quiet")),
        *(f"network {line}" for line in _lines(_tool(), "network", "ls", "--quiet")),
        *(f"volume {line}" for line in _lines(_tool(), "volume", "ls", "--quiet")),
        *(f"namespace {line}" for line in _lines("ip", "netns", "list")),
        *(f"interface {line}" for line in _lines("ip", "-o", "link")),
        *(f"route {line}" for line in _lines("ip", "route")),
        *(f"rule {line}" for line in _lines("nft", "--stateless", "list", "ruleset")),
    }


def _added(before: set[str], after: set[str]) -> set[str]:
    """What came, but for settings of the network that a kernel module brought: it may stay."""
    known = {line.partition(" = ")[0] for line in before}
    return {
        line
        for line in after - before
        if not line.startswith("setting net/") or line.partition(" = ")[0] in known
    }


@pytest.fixture(scope="module")
def before() -> set[str]:
    """What is on the machine before this module's cluster."""
    down(NAME)
    return _inventory()


@pytest.fixture(scope="module")
def own(before: set[str]) -> Iterator[Cluster]:
    """A cluster of this module, made where a run was killed while kind was creating it."""
    with subprocess.Popen([sys.executable, "-m", "e2e.cluster", "up", "--name", NAME]) as killed:
        deadline = time.monotonic() + KIND_STARTS_SECONDS
        while NODE not in _lines(_tool(), "ps", "--all", "--format", "{{.Names}}"):
            assert time.monotonic() < deadline, "kind has not started a node"
            time.sleep(0.5)
        killed.kill()
    yield up(NAME)
    down(NAME)


def test_up_clears_what_a_killed_run_left(own: Cluster) -> None:
    """After a run that was killed midway, `up` makes a cluster with one ready node."""
    ready = own.kubectl("get", "nodes", "--no-headers")
    assert ready.split()[:2] == [NODE, "Ready"]


def test_up_keeps_a_healthy_cluster(own: Cluster) -> None:
    """A second `up` returns the same cluster: its node is not made again."""
    uid = own.get_json("node", own.node)["metadata"]["uid"]
    again = up(NAME)
    assert again.get_json("node", again.node)["metadata"]["uid"] == uid


def test_a_pod_of_any_user_can_write_to_a_claimed_volume(own: Cluster) -> None:
    """The default StorageClass gives a directory that a non-root pod writes to."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "16Mi"}},
        },
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "writer"},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001},
            "containers": [
                {
                    "name": "writer",
                    "image": SHELL_IMAGE,
                    "command": ["bash", "-c", "echo written > /data/file && cat /data/file"],
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        },
    }
    own.apply([claim, pod])
    own.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/writer", "--timeout=60s")
    assert own.kubectl("logs", "writer") == "written\n"
    volume = own.get_json("pvc", "data")["spec"]["volumeName"]
    own.delete("pod/writer", "pvc/data")
    own.kubectl("wait", "--for=delete", f"pv/{volume}", "--timeout=60s")


def test_the_audit_log_tells_who_asked_for_what(own: Cluster) -> None:
    """A request made after a mark is in the events since the mark, with its caller's agent."""
    mark = own.audit_mark()
    own.kubectl("create", "configmap", "counted", "--from-literal=a=b")
    own.delete("configmap/counted")
    events = [e for e in own.audit_events(mark) if "kubectl" in e.get("userAgent", "")]
    asked = [
        (event["verb"], event["objectRef"]["name"])
        for event in events
        if event.get("objectRef", {}).get("resource") == "configmaps"
        and event["verb"] in ("create", "delete")
    ]
    assert asked == [("create", "counted"), ("delete", "counted")]


def test_a_fake_accelerator_places_a_pod(own: Cluster) -> None:
    """A pod that asks for a device is scheduled once the node offers one, and not before."""
    limits = {"example.com/device": "1"}
    container = {"name": "user", "image": SHELL_IMAGE, "command": ["sleep", "60"]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "device-user"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{**container, "resources": {"limits": limits}}],
        },
    }
    own.apply(pod)
    condition = "--for=jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}"
    own.kubectl("wait", f"{condition}=Unschedulable", "pod/device-user", "--timeout=30s")
    own.fake_accelerator("example.com/device", 2)
    own.kubectl("wait", "--for=condition=PodScheduled", "pod/device-user", "--timeout=60s")
    own.delete("pod/device-user")
    own.remove_accelerator("example.com/device")


def test_down_leaves_nothing_on_the_machine(own: Cluster, before: set[str]) -> None:
    """After `down` the machine has nothing that it did not have before `up`, caches apart."""
    assert own.engine.leftovers(NAME), "the cluster was there"
    down(NAME)
    assert _added(before, _inventory()) == set()
    assert own.engine.leftovers(NAME) == []
    assert not ClusterFiles.of(NAME).root.exists()
    with pytest.raises(ClusterMissing, match=f"up --name {NAME}"):
        Cluster.existing(NAME)
