"""Run a program to its end and say what it said.

The one place of this package that starts processes, except for the ones that stay: the registry
and what `Cluster.popen` returns.
"""

import os
import shlex
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_TAIL_LINES = 25


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished command."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the exit status was 0."""
        return self.returncode == 0


class CommandFailed(RuntimeError):
    """A command that had to succeed exited with another status than 0."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        said = (outcome.stderr.strip() or outcome.stdout.strip()).splitlines()[-_TAIL_LINES:]
        lines = [f"{shlex.join(outcome.argv)}: exit status {outcome.returncode}", *said]
        super().__init__("\n  ".join(lines))


class CommandTimeout(RuntimeError):
    """A command was killed because it ran longer than it was given."""

    def __init__(self, argv: tuple[str, ...], timeout_seconds: float) -> None:
        self.argv = argv
        super().__init__(f"{shlex.join(argv)}: killed after {timeout_seconds:.0f} s")


def attempt(
    *argv: str,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_seconds: float = 120,
) -> Outcome:
    """Run `argv` and return how it ended, whatever its exit status.

    Raises:
        CommandTimeout: It ran longer than `timeout_seconds` and was killed.
    """
    started = time.monotonic()
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            env=None if env is None else dict(env),
            cwd=cwd,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        raise CommandTimeout(argv, timeout_seconds) from expired
    return Outcome(argv, done.returncode, done.stdout, done.stderr, time.monotonic() - started)


def run(
    *argv: str,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_seconds: float = 120,
) -> str:
    """Run `argv` and return its standard output.

    Raises:
        CommandFailed: The exit status was not 0.
        CommandTimeout: It ran longer than `timeout_seconds` and was killed.
    """
    outcome = attempt(*argv, stdin=stdin, env=env, cwd=cwd, timeout_seconds=timeout_seconds)
    if not outcome.ok:
        raise CommandFailed(outcome)
    return outcome.stdout


def follow(
    *argv: str,
    on_line: Callable[[str], None],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a long command and hand every line of its output to `on_line` as it comes.

    Raises:
        CommandFailed: The exit status was not 0; the message ends with its last lines.
    """
    started = time.monotonic()
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    environment = dict(os.environ if env is None else env)
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        cwd=cwd,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            tail.append(line.rstrip())
            on_line(line.rstrip())
    if process.returncode != 0:
        seconds = time.monotonic() - started
        raise CommandFailed(Outcome(argv, process.returncode, "\n".join(tail), "", seconds))
