"""A pytest plugin that says what a run left out and why, so that green claims no more than it is.

The section appears where ``-m`` left out tests marked ``long``. Under xdist the workers deselect
and the controller prints: each worker hands over its list as it goes down.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from e2e.cluster import preflight
from e2e.cluster.engine import ContainerTool

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ("states", "sweep", "diagnose", "gateway-shares", "bench-operator", "steady")
"""Targets of the Makefile that take from minutes to hours; `make test` runs samples of them."""
NVIDIA_DEVICE = Path("/dev/nvidiactl")
DESELECTED = pytest.StashKey[set[str]]()
OUTPUT = "long_tests_deselected"


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing left out."""
    config.stash[DESELECTED] = set()


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Note the tests that take minutes; who chose by ``-k`` knows what they left out."""
    for item in items:
        if item.config.option.markexpr and item.get_closest_marker("long"):
            item.config.stash[DESELECTED].add(item.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand over what was noted, in a worker of xdist."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        noted = session.config.stash[DESELECTED]
        output[OUTPUT] = sorted(noted)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Take over what a worker noted; one that crashed has no output."""
    config: pytest.Config = getattr(node, "config")  # noqa: B009  # xdist's nodes are untyped
    config.stash[DESELECTED].update(getattr(node, "workeroutput", {}).get(OUTPUT, ()))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the section before pytest's own last line."""
    deselected = config.stash[DESELECTED]
    if not deselected:
        return
    terminalreporter.section("left out of this run")
    lines = [*long_tests(deselected), *figures((ROOT / "Makefile").read_text()), *hardware()]
    for line in lines:
        terminalreporter.write_line(line)


def long_tests(nodeids: Iterable[str]) -> Iterator[str]:
    """Name the tests by file, each once whatever its parameters."""
    files, count = defaultdict[str, set[str]](set), 0
    for nodeid in nodeids:
        file, _, test = nodeid.partition("::")
        files[file].add(test.partition("[")[0])
        count += 1
    yield f"{count} tests that take minutes each on the cluster; `make e2e-long` runs them:"
    for file, tests in sorted(files.items()):
        yield f"  {file}: {', '.join(sorted(tests))}"


def figures(makefile: str) -> Iterator[str]:
    """Name the targets whose figures take from minutes to hours, as `make help` does."""
    told = dict(re.findall(r"^([a-z-]+):.*## (.*)$", makefile, re.MULTILINE))
    yield "figures that take from minutes to hours, of which this run takes samples at most:"
    for target in FIGURES:
        yield f"  make {target}: {told[target]}"


def hardware() -> Iterator[str]:
    """Name what needs another machine, and why this one is not it."""
    device = "no test uses it yet" if NVIDIA_DEVICE.exists() else "this machine has none"
    route = preflight.judge(preflight.inspect()).tool
    other = next(tool for tool in ContainerTool if tool != route)
    yield "what needs other hardware or another machine:"
    yield f"  the server on a GPU and its image with ACCELERATOR=cuda need a CUDA device: {device}"
    yield f"  the local cluster by {other}: here it runs by {route}"
