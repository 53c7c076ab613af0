import pytest

from llm_server.contract import Outcome
from llm_server.http.exchange import Exchange


@pytest.mark.parametrize(
    ("status", "end"),
    [
        (None, Outcome.CANCELLED),
        (400, Outcome.REFUSED),
        (401, Outcome.REFUSED),
        (413, Outcome.REFUSED),
        (429, Outcome.OVERLOADED),
        (500, Outcome.FAILED),
        (503, Outcome.UNAVAILABLE),
        (504, Outcome.FAILED),
    ],
)
def test_a_request_without_a_generation_ends_as_its_status_says(
    status: int | None, end: Outcome
) -> None:
    """A wrong request, a full queue, a server that does not admit and its faults are told apart."""
    assert Exchange("id", status=status).end is end


def test_a_generation_has_the_last_word() -> None:
    """An error inside a stream that began with 200 is a failure, whatever the status was."""
    assert Exchange("id", outcome=Outcome.FAILED, status=200).end is Outcome.FAILED
