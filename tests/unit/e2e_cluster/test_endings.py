"""A failure ends the programs with words and a status, not with a traceback."""

import sys

import httpx
import pytest
from rich.console import Console

from e2e import demo
from e2e.cluster import __main__ as command_line
from e2e.cluster import lifecycle
from e2e.cluster.commands import CommandTimeout

FAILURES = [
    RuntimeError("the operator is not there"),
    AssertionError("no Ready condition"),
    TimeoutError("the registry does not answer"),
    ConnectionRefusedError(111, "Connection refused"),
    httpx.ReadTimeout("timed out"),
    httpx.ConnectError("no route"),
]


@pytest.mark.parametrize("failure", [*FAILURES, httpx.ReadTimeout("")], ids=repr)
def test_the_demo_says_which_stage_failed_and_what_to_do(
    failure: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever of the cluster, the registry or the API fails, the status is 1 and words follow."""

    def fail(_: object, stages: demo.Stages) -> None:
        with stages.run("model", "kubectl apply"):
            raise failure

    monkeypatch.setattr(demo, "demonstrate", fail)

    assert demo.run(demo.Stages(Console())) == 1
    told = capsys.readouterr().out
    assert f"'model' failed: {str(failure) or 'ReadTimeout'}" in told
    assert "`make demo` tries again from there" in told


@pytest.mark.parametrize(
    "failure", [CommandTimeout(("kind",), 5), *FAILURES[2:4], PermissionError("/proc/x")], ids=repr
)
def test_the_cluster_says_why_it_failed(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure of the machine ends a command with an `error:` line."""

    def fail(_: str) -> None:
        raise failure

    monkeypatch.setattr(lifecycle, "down", fail)
    monkeypatch.setattr(sys, "argv", ["e2e.cluster", "down"])

    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == f"error: {failure}"
