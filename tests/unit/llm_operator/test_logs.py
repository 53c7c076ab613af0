"""Log lines: one JSON object each, whoever wrote them."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from llm_operator.logs import configure_logs
from llm_operator.settings import LogFormat, LogLevel


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    """Leave the logging of the test session as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """What was written, parsed."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_is_one_json_object_with_time_level_and_logger(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Machines read every line alike, with the values that were bound to it."""
    configure_logs(LogLevel.INFO, LogFormat.JSON)
    structlog.get_logger("llm_operator.x").info("Reconciled", name="chat")
    (line,) = lines(capsys)
    assert line["event"] == "Reconciled"
    assert (line["name"], line["level"], line["logger"]) == ("chat", "info", "llm_operator.x")
    assert str(line["timestamp"]).endswith("Z")


def test_lines_of_libraries_go_the_same_way_but_only_when_they_matter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Kopf's warnings are JSON too; its chatter is left out."""
    configure_logs(LogLevel.INFO, LogFormat.JSON)
    logging.getLogger("kopf.objects").info("Handler succeeded")
    logging.getLogger("kopf.objects").warning("Something broke: %s", "why")
    (line,) = lines(capsys)
    assert (line["event"], line["level"]) == ("Something broke: why", "warning")


def test_an_exception_is_a_field_of_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback does not spread over lines of its own."""
    configure_logs(LogLevel.INFO, LogFormat.JSON)
    try:
        int("bug")
    except ValueError:
        structlog.get_logger("x").exception("Failed")
    (line,) = lines(capsys)
    assert "ValueError: invalid literal" in str(line["exception"])


def test_what_is_below_the_level_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """The level holds for all loggers."""
    configure_logs(LogLevel.ERROR, LogFormat.JSON)
    structlog.get_logger("x").warning("quiet")
    assert lines(capsys) == []


def test_without_a_terminal_auto_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pod nobody looks at colours."""
    configure_logs(LogLevel.INFO, LogFormat.AUTO)
    structlog.get_logger("x").info("hello")
    assert lines(capsys)[0]["event"] == "hello"


def test_the_console_form_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for, lines are columns and no JSON."""
    configure_logs(LogLevel.INFO, LogFormat.CONSOLE)
    structlog.get_logger("x").info("hello")
    written = capsys.readouterr().out
    assert "hello" in written
    assert not written.startswith("{")
