from pathlib import Path

import pytest

from e2e.cluster.host import HostPlaces, record_host, restore_host


@pytest.fixture
def places(tmp_path: Path) -> HostPlaces:
    """A machine of directories."""
    settings = {
        "vm/overcommit_memory": "0",
        "vm/panic_on_oom": "0",
        "kernel/panic": "1",
        "kernel/panic_on_oops": "0",
        "kernel/keys/root_maxkeys": "200",
        "kernel/keys/root_maxbytes": "20000",
        "fs/file-max": "1000",
        "fs/nr_open": "1000",
    }
    for name, value in settings.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    (tmp_path / "cgroup/memory").mkdir(parents=True)
    (tmp_path / "netns").mkdir()
    return HostPlaces(
        record=tmp_path / "clusters/host.json",
        sysctl=tmp_path / "sys",
        namespaces=tmp_path / "netns",
        modules=tmp_path / "modules",
        cgroups=tmp_path / "cgroup",
    )


def _settings(places: HostPlaces) -> dict[str, str]:
    files = (path for path in places.sysctl.rglob("*") if path.is_file())
    return {str(path): path.read_text().strip() for path in files}


def test_what_a_node_changed_is_put_back(places: HostPlaces) -> None:
    """Kernel settings, podman's empty cgroups and a directory made for kind are as before."""
    before = _settings(places)
    record_host(places)
    assert places.modules.is_dir()
    (places.sysctl / "kernel/panic").write_text("10")
    (places.sysctl / "fs/file-max").write_text("9223372036854775807")
    (places.cgroups / "memory/libpod_parent/libpod-1").mkdir(parents=True)
    restore_host(places)
    assert _settings(places) == before
    assert not places.modules.exists()
    assert not (places.cgroups / "memory/libpod_parent").exists()
    assert not places.record.exists()


def test_a_second_cluster_does_not_overwrite_the_record(places: HostPlaces) -> None:
    """The record is of the machine before the first cluster, however many follow."""
    before = _settings(places)
    record_host(places)
    (places.sysctl / "kernel/panic").write_text("10")
    record_host(places)
    restore_host(places)
    assert _settings(places) == before


def test_what_was_there_before_stays(places: HostPlaces) -> None:
    """A directory and cgroups that somebody else made are not removed."""
    places.modules.mkdir()
    (places.cgroups / "memory/libpod_parent").mkdir()
    record_host(places)
    restore_host(places)
    assert places.modules.is_dir()
    assert (places.cgroups / "memory/libpod_parent").is_dir()


def test_a_cgroup_in_use_stays(places: HostPlaces) -> None:
    """A cgroup with something in it is somebody's container; it is left alone."""
    record_host(places)
    (places.cgroups / "memory/libpod_parent").mkdir()
    (places.cgroups / "memory/libpod_parent/cgroup.procs").write_text("17\n")
    restore_host(places)
    assert (places.cgroups / "memory/libpod_parent").is_dir()


def test_without_a_record_nothing_is_changed(places: HostPlaces) -> None:
    """Restoring a machine that was never recorded leaves it as it is."""
    (places.sysctl / "kernel/panic").write_text("10")
    before = _settings(places)
    restore_host(places)
    assert _settings(places) == before
