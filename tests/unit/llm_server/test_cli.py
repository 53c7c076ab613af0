import json
from pathlib import Path

import pytest

from llm_server import cli, contract


@pytest.fixture
def termination_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the termination log where a test may write."""
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setattr(contract, "TERMINATION_LOG_PATH", str(path))
    return path


@pytest.mark.parametrize(
    ("flags", "reason", "named"),
    [
        (["--max-batch-size", "0"], "InvalidSettings", "--max-batch-size"),
        (["--model", "ftp://x"], "InvalidSettings", "ftp://x"),
        (["--model", "builtin://unknown"], "ModelNotFound", "builtin://unknown"),
        (["--no-such-flag", "1"], "InvalidSettings", "--no-such-flag"),
    ],
)
def test_a_start_that_cannot_be_leaves_its_reason(
    flags: list[str], reason: str, named: str, termination_log: Path
) -> None:
    """The exit code is not 0 and the kubelet finds a typed reason that names what is wrong."""
    assert cli._serve(flags, {}) == 1

    left = json.loads(termination_log.read_text())
    assert left["reason"] == reason
    assert named in left["message"]


def test_without_a_termination_log_none_is_made(
    termination_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside a pod no file appears."""
    missing = termination_log.parent / "missing"
    monkeypatch.setattr(contract, "TERMINATION_LOG_PATH", str(missing))

    assert cli._serve(["--max-batch-size", "0"], {}) == 1
    assert not missing.exists()


@pytest.mark.parametrize("arguments", [[], ["run"], ["--serve"]])
def test_an_unknown_command_shows_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and the usage, as command lines do."""
    assert cli.run(arguments, {}) == 2
    assert "llm-server serve" in capsys.readouterr().err
