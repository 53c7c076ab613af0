import re

import pytest

from tests import left_out

pytest_plugins = ["pytester"]

TESTS = """
import pytest

@pytest.mark.long
@pytest.mark.parametrize("number", range(3))
def test_for_minutes(number): pass

def test_for_a_moment(): pass
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project of its own with the plugin, three long tests and a short one."""
    pytester.makeini(
        f"[pytest]\npythonpath = {left_out.ROOT}\nmarkers = long: takes minutes\n"
        "asyncio_default_fixture_loop_scope = function\n"
    )
    pytester.makeconftest('pytest_plugins = ["tests.left_out"]')
    pytester.makepyfile(test_times=TESTS)
    return pytester


def assert_left_out_is_told(result: pytest.RunResult) -> None:
    """The section names file, test and count, once; the last line is pytest's own summary."""
    result.stdout.fnmatch_lines(
        [
            "*= left out of this run =*",
            "3 tests *`make e2e-long`*",
            "  test_times.py: test_for_min*",
        ]
    )
    assert result.stdout.str().count("test_for_minutes") == 1
    assert re.fullmatch(r"=+ 1 passed.* in [\d.]+s =+", result.outlines[-1])


def test_a_run_names_the_long_tests_that_it_left_out(project: pytest.Pytester) -> None:
    """A section before the last line says which tests did not run and how to run them."""
    assert_left_out_is_told(project.runpytest_inprocess("-m", "not long"))


def test_a_run_in_several_processes_names_them_too(project: pytest.Pytester) -> None:
    """Workers leave tests out, each the same ones, and the process that prints hears of it."""
    assert_left_out_is_told(project.runpytest_subprocess("-n", "2", "-m", "not long"))


@pytest.mark.parametrize("chosen", [(), ("-k", "moment")])
def test_a_run_that_left_nothing_long_out_has_no_such_section(
    project: pytest.Pytester, chosen: tuple[str, ...]
) -> None:
    """Who runs all tests, or picks one by its name, reads nothing about it."""
    assert "left out" not in project.runpytest_inprocess(*chosen).stdout.str()


def test_each_target_of_the_figures_is_one_of_the_makefile() -> None:
    """What the section sends people to exists, and is told in the words of `make help`."""
    lines = list(left_out.figures((left_out.ROOT / "Makefile").read_text()))

    assert len(lines) == 1 + len(left_out.FIGURES)
    assert any(re.fullmatch(r"  make sweep: .*fault.*", line) for line in lines)


def test_what_needs_another_machine_is_named_with_the_reason() -> None:
    """The GPU and the route of the cluster that this machine does not take."""
    told = "\n".join(left_out.hardware())

    assert "CUDA device" in told
    assert re.search(r"cluster by (docker: here .* podman|podman: here .* docker)", told)
