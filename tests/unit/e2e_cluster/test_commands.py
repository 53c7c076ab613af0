import io
import sys

import pytest
from rich.console import Console

from e2e.cluster.commands import CommandFailed, CommandTimeout, attempt, follow, run
from e2e.cluster.progress import Step


def test_a_failed_command_says_what_it_said() -> None:
    """The error holds the command, its status and the end of its standard error."""
    with pytest.raises(CommandFailed) as failure:
        run("sh", "-c", "echo out; echo reason >&2; exit 3")
    assert failure.value.outcome.returncode == 3
    assert "exit status 3" in str(failure.value)
    assert "reason" in str(failure.value)


def test_an_attempt_returns_what_happened() -> None:
    """A status that is not 0 is a result, not an error."""
    outcome = attempt("sh", "-c", "cat; exit 1", stdin="text")
    assert (outcome.ok, outcome.stdout) == (False, "text")


def test_a_command_that_hangs_is_killed() -> None:
    """A command has only so long, and the error says how long."""
    with pytest.raises(CommandTimeout, match="killed after 0 s"):
        attempt("sleep", "60", timeout_seconds=0.2)


def test_a_followed_command_hands_over_each_line() -> None:
    """Lines of both outputs come as they are written."""
    lines: list[str] = []
    follow("sh", "-c", "echo one; echo two >&2", on_line=lines.append)
    assert sorted(lines) == ["one", "two"]


def test_a_followed_command_that_fails_ends_with_its_last_lines() -> None:
    """A build that fails after thousands of lines shows the end, not the beginning."""
    with pytest.raises(CommandFailed) as failure:
        follow(sys.executable, "-c", "for i in range(99): print(f'<{i}>')\nexit(1)",
               on_line=lambda _: None)  # fmt: skip
    assert "<98>" in str(failure.value)
    assert "<1>" not in str(failure.value)


def test_a_step_leaves_one_line_with_its_time() -> None:
    """Outside a terminal a short step is one line: mark, title, seconds."""
    written = io.StringIO()
    step = Step("image localhost:5000/x:1", Console(file=written, width=20))
    step.say("a detail that nobody saw")
    step.end("done")
    assert written.getvalue().startswith("done image localhost:5000/x:1  0.")
    assert written.getvalue().count("\n") == 1
