"""Bodies made from the document of the API: those that fit it, and those that do not.

The number of examples is bounded and they are the same in every run.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from schemathesis import Case, CheckContext, GenerationMode, Response
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.api_document import MAX_MODEL_LEN, api_document
from tests.server_process import RunningServer, start_server

MAX_EXAMPLES = 50


def documented(mode: GenerationMode) -> BaseSchema:
    """Return the document for examples of one kind."""
    schema = schemathesis.openapi.from_dict(api_document())
    schema.config.generation.update(modes=[mode], max_examples=MAX_EXAMPLES, deterministic=True)
    schema.config.checks.negative_data_rejection.expected_statuses = ["4xx"]
    return schema


FITTING = documented(GenerationMode.POSITIVE)
BROKEN = documented(GenerationMode.NEGATIVE).include(method="POST")  # only they have bodies


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[RunningServer]:
    """Serve the simulated model, which takes no time and whose answers are short."""
    server = start_server(
        *("--max-model-len", str(MAX_MODEL_LEN)),
        *("--simulated-kv-capacity-tokens", str(10 * MAX_MODEL_LEN)),
        *("--simulated-prefill-tokens-per-second", "1e9"),
        *("--simulated-step-milliseconds", "0"),
        *("--simulated-step-milliseconds-per-sequence", "0"),
        *("--simulated-answer-tokens", "4"),
    )
    server.wait_until_ready()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """One connection for all examples."""
    with requests.Session() as session:
        yield session


def without_whole_floats(body: object) -> Any:
    """Write 1.0 as 1: an integer to JSON Schema, and not to the server, which is strict."""
    return json.loads(json.dumps(body), parse_float=_shortest)


def _shortest(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() else number


def answered_or_refused_as_a_whole(
    _context: CheckContext, response: Response, case: Case[Any]
) -> bool | None:
    """A body that fits is refused only for fields that do not go together."""
    if response.status_code == 200:
        return None
    error = response.json()["error"]
    if error["param"] is None or error["code"] == "context_length_exceeded":
        return None
    raise RejectedPositiveData(
        operation=case.operation.label,
        message=error["message"],
        status_code=response.status_code,
        allowed_statuses=["200"],
    )


@FITTING.parametrize()
def test_a_body_that_fits_the_document_is_answered(
    case: Case[Any], fuzzed: RunningServer, session: requests.Session
) -> None:
    """It is answered in the documented shape, or refused for fields that do not go together."""
    if case.operation.body:
        case.body = without_whole_floats(case.body)
    case.call_and_validate(
        base_url=fuzzed.url,
        session=session,
        excluded_checks=[positive_data_acceptance],
        additional_checks=[answered_or_refused_as_a_whole],
    )


@BROKEN.parametrize()
def test_a_body_that_does_not_fit_the_document_is_refused(
    case: Case[Any], fuzzed: RunningServer, session: requests.Session
) -> None:
    """It is refused with 4xx and OpenAI's error object, never answered and never with 5xx."""
    case.call_and_validate(base_url=fuzzed.url, session=session)
