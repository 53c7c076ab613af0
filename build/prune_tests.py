"""Removes the test suites that some scientific packages ship inside their wheels.

Runs in the image build of the server, after installation and before ``verify_torch``. Only
packages named here are touched: numpy's test modules are imported by ``numpy.testing``, so a rule
for every directory called ``tests`` would break users of it. Standard library only.
"""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

_PACKAGES = ("mpmath", "networkx", "sympy")


def test_suites(site_packages: Path) -> Iterator[Path]:
    """Yield the topmost ``tests`` directories of the packages that ship their tests."""
    for package in _PACKAGES:
        found = sorted((site_packages / package).rglob("tests"))
        yield from (
            path
            for path in found
            if path.is_dir() and not any(parent in found for parent in path.parents)
        )


def main() -> None:
    """Prune the ``site-packages`` directory named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("site_packages", type=Path)
    suites = tuple(test_suites(parser.parse_args().site_packages))
    for suite in suites:
        shutil.rmtree(suite)
    print(f"prune_tests: {len(suites)} test suites removed")  # noqa: T201  # the build's log


if __name__ == "__main__":
    main()
