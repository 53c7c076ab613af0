"""Settings that all tests share."""

from pathlib import Path

import pytest
from hypothesis import settings

# Machines that run these tests are shared: an example may wait for the CPU, which proves nothing.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in its own hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process, so that what they share is made once."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(_HERE))))
