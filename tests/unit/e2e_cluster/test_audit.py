import json
from pathlib import Path

import pytest

from e2e.cluster.audit import events_since, mark_of


def _write(directory: Path, *numbers: int) -> None:
    with (directory / "audit.log").open("a") as log:
        for number in numbers:
            log.write(json.dumps({"auditID": number}) + "\n")


def _numbers(events: list[dict[str, int]]) -> list[int]:
    return [event["auditID"] for event in events]


def test_events_after_a_mark_are_those_written_after_it(tmp_path: Path) -> None:
    """A mark divides the log: before it nothing, after it everything, in order."""
    _write(tmp_path, 1, 2)
    mark = mark_of(tmp_path)
    _write(tmp_path, 3, 4)
    assert _numbers(events_since(tmp_path, mark)) == [3, 4]
    assert _numbers(events_since(tmp_path, None)) == [1, 2, 3, 4]


def test_a_mark_survives_the_rotation_of_the_log(tmp_path: Path) -> None:
    """Events that were rotated into another file since the mark are still found."""
    _write(tmp_path, 1)
    mark = mark_of(tmp_path)
    _write(tmp_path, 2)
    (tmp_path / "audit.log").rename(tmp_path / "audit-2026-01-01T00-00-00.000.log")
    _write(tmp_path, 3)
    assert _numbers(events_since(tmp_path, mark)) == [2, 3]


def test_a_mark_that_was_rotated_away_is_an_error(tmp_path: Path) -> None:
    """A count over a log with a hole would be wrong, so it is refused."""
    _write(tmp_path, 1)
    mark = mark_of(tmp_path)
    (tmp_path / "audit.log").rename(tmp_path / "gone")
    _write(tmp_path, 2)
    with pytest.raises(LookupError, match="rotated"):
        events_since(tmp_path, mark)


def test_a_line_being_written_is_left_for_later(tmp_path: Path) -> None:
    """Half a line at the end of the log is not read yet."""
    _write(tmp_path, 1)
    with (tmp_path / "audit.log").open("a") as log:
        log.write('{"auditID": 2')
    assert _numbers(events_since(tmp_path, None)) == [1]
