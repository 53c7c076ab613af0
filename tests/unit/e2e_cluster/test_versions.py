import re
import shutil
from pathlib import Path

import pytest
import yaml

from e2e.cluster import content, programs
from e2e.cluster.cluster import Cluster, ClusterMissing
from e2e.cluster.paths import SOURCE, checked_name


def test_metrics_server_is_the_version_of_the_module() -> None:
    """The manifest's image is the one that the node image carries, which go.mod decides."""
    manifest = (SOURCE / "manifests/metrics-server.yaml").read_text()
    image = re.search(r"image: (\S+)", manifest)
    assert image is not None
    assert image.group(1).endswith(programs.module_version("sigs.k8s.io/metrics-server"))


def test_every_program_that_is_built_is_required_by_the_module() -> None:
    """A module that go.mod does not name has no version, and the error says which."""
    for path in ("k8s.io/kubernetes", "sigs.k8s.io/kind", "helm.sh/helm/v4"):
        assert programs.module_version(path).startswith("v")
    with pytest.raises(LookupError, match="does not require"):
        programs.module_version("example.com/none")


def test_the_manifests_are_yaml_that_kind_and_kubectl_read() -> None:
    """Every manifest and every kubeadm patch in it parses, with its kinds in place."""
    kind = yaml.safe_load((SOURCE / "manifests/kind.yaml").read_text())
    patches = [yaml.safe_load(patch) for patch in kind["kubeadmConfigPatches"]]
    assert [patch["kind"] for patch in patches] == ["KubeletConfiguration", "ClusterConfiguration"]
    for path in (*SOURCE.glob("manifests/*.yaml"), *SOURCE.glob("node/root/kind/manifests/*")):
        assert all("kind" in document for document in yaml.safe_load_all(path.read_text()))


def test_the_audit_log_is_bounded() -> None:
    """The API server keeps a bounded number of files of a bounded size."""
    kind = yaml.safe_load((SOURCE / "manifests/kind.yaml").read_text())
    server = yaml.safe_load(kind["kubeadmConfigPatches"][1])["apiServer"]
    flags = {argument["name"]: argument["value"] for argument in server["extraArgs"]}
    assert int(flags["audit-log-maxsize"]) * (1 + int(flags["audit-log-maxbackup"])) <= 600


def test_the_programs_key_changes_with_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another source of the programs is another build; the same source is the same one."""
    module = tmp_path / "go"
    shutil.copytree(SOURCE / "go", module)
    key = programs.programs_key()
    monkeypatch.setattr(programs, "_MODULE", module)
    assert programs.programs_key() == key
    (module / "main.go").write_text("package main")
    assert programs.programs_key() != key


def test_a_key_tells_where_one_part_ends() -> None:
    """Moving text from one input to the next makes another key."""
    assert content.key_of(["ab", "c"]) != content.key_of(["a", "bc"])


@pytest.mark.parametrize("name", ["", "1a", "A", "a_b", "a-", "a" * 31, "a/b", "..", "a b"])
def test_a_name_that_cannot_name_a_cluster_is_refused(name: str) -> None:
    """A cluster's name becomes a path, a namespace and containers; anything else is refused."""
    with pytest.raises(ValueError, match="1 to 30"):
        checked_name(name)


def test_a_missing_cluster_says_how_to_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Using a cluster that is not there names the command that makes it."""
    monkeypatch.setenv("LLM_OPERATOR_CACHE", str(tmp_path))
    with pytest.raises(ClusterMissing, match="up --name absent"):
        Cluster.existing("absent")
