from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.cluster import preflight
from e2e.cluster.engine import ContainerTool
from e2e.cluster.preflight import Machine, describe, judge

PODMAN_MACHINE = Machine(
    container_tool="",
    docker_answers=False,
    docker_programs_missing=("kind", "helm"),
    linux=True,
    root=True,
    debian=True,
    go_version=(1, 26, 4),
    packages_missing=("podman", "buildah"),
    disk_free_gib=60.0,
    memory_gib=15.6,
    open_files_limit=20_000,
    cgroup_version=1,
    may_raise_limits=False,
    built_before=False,
)
DOCKER_MACHINE = replace(
    PODMAN_MACHINE, docker_answers=True, docker_programs_missing=(), root=False, debian=False
)


def test_a_docker_engine_that_answers_is_the_default() -> None:
    """Without CONTAINER_TOOL the route is Docker if an engine answers, whatever else there is."""
    verdict = judge(DOCKER_MACHINE)
    assert verdict.tool is ContainerTool.DOCKER
    assert verdict.refusals == ()


def test_podman_is_taken_where_no_engine_answers() -> None:
    """Without an engine the route is podman; Debian's packages are installed, not asked for."""
    verdict = judge(PODMAN_MACHINE)
    assert verdict.tool is ContainerTool.PODMAN
    assert verdict.refusals == ()


@pytest.mark.parametrize("tool", list(ContainerTool))
def test_the_switch_overrules_what_is_found(tool: ContainerTool) -> None:
    """CONTAINER_TOOL decides, even if the other route would work."""
    machine = replace(DOCKER_MACHINE, container_tool=tool.value, root=True, debian=True)
    assert judge(machine).tool is tool


def test_docker_asked_for_and_silent_is_refused() -> None:
    """CONTAINER_TOOL=docker without an engine is refused, never turned into podman."""
    verdict = judge(replace(PODMAN_MACHINE, container_tool="docker"))
    assert verdict.tool is ContainerTool.DOCKER
    assert any("docker info" in reason for reason in verdict.refusals)


def test_an_unknown_tool_is_refused_with_the_allowed_ones() -> None:
    """A wrong CONTAINER_TOOL is named, with what is allowed."""
    assert judge(replace(PODMAN_MACHINE, container_tool="nerdctl")).refusals == (
        "CONTAINER_TOOL='nerdctl': allowed is docker or podman",
    )


@pytest.mark.parametrize(
    ("lack", "said"),
    [
        ({"linux": False}, "needs Linux"),
        ({"root": False}, "needs root"),
        ({"debian": False}, "podman buildah"),
        ({"go_version": None}, "found: none"),
        ({"go_version": (1, 26, 3)}, "found: 1.26.3"),
        ({"open_files_limit": 1024}, "1024"),
        ({"disk_free_gib": 24.0}, "24 GiB of disk"),
        ({"memory_gib": 5.9}, "5.9 GiB of memory"),
    ],
)
def test_each_lack_is_named(lack: dict[str, object], said: str) -> None:
    """What the podman route misses is a reason of its own that says what was found."""
    refusals = judge(replace(PODMAN_MACHINE, **lack)).refusals  # type: ignore[arg-type] # by field
    assert len(refusals) == 1
    assert said in refusals[0]


def test_all_lacks_are_named_at_once() -> None:
    """A machine is refused once with everything that it lacks, not once per lack."""
    machine = replace(PODMAN_MACHINE, root=False, go_version=None, disk_free_gib=1.0)
    assert len(judge(machine).refusals) == 3


def test_a_machine_that_built_before_needs_less_disk() -> None:
    """What is cached already needs no room again."""
    machine = replace(PODMAN_MACHINE, disk_free_gib=12.0)
    assert judge(machine).refusals
    assert not judge(replace(machine, built_before=True)).refusals


def test_memory_is_what_the_container_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of the cgroup counts where it is below the machine's memory; `max` is none."""
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(preflight, "_MEMORY_LIMITS", (limit, tmp_path / "not-there"))
    whole = preflight._memory_gib()
    limit.write_text("max\n")
    assert preflight._memory_gib() == whole
    limit.write_text(f"{2**28}\n")
    assert preflight._memory_gib() == 0.25


def test_programs_missing_for_docker_are_named() -> None:
    """With Docker, kind and helm come from PATH; what is not there is named."""
    verdict = judge(replace(DOCKER_MACHINE, docker_programs_missing=("kind", "helm")))
    assert verdict.refusals == ("not on PATH: kind, helm",)


@given(
    st.sampled_from(["", "docker", "podman", "other"]),
    st.booleans(),
    st.booleans(),
    st.one_of(st.none(), st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(0, 20))),
    st.floats(0, 100),
)
def test_no_machine_is_admitted_half(
    tool: str, docker: bool, root: bool, go: tuple[int, int, int] | None, disk: float
) -> None:
    """Whatever is found, an admitted machine has all that its route needs."""
    machine = replace(
        PODMAN_MACHINE,
        container_tool=tool,
        docker_answers=docker,
        docker_programs_missing=(),
        root=root,
        go_version=go,
        disk_free_gib=disk,
    )
    verdict = judge(machine)
    if verdict.refusals:
        return
    assert disk >= 25
    if verdict.tool is ContainerTool.DOCKER:
        assert docker
    else:
        assert root
        assert go is not None
        assert go >= (1, 26, 4)


def test_what_was_found_is_said_for_every_machine() -> None:
    """The report has a value for each thing, also where nothing was found."""
    for machine in (PODMAN_MACHINE, DOCKER_MACHINE, replace(PODMAN_MACHINE, go_version=None)):
        assert all(what and found for what, found in describe(machine))
