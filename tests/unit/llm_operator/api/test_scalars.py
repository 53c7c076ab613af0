from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from llm_operator.api.quantity import parse_quantity
from llm_operator.api.schema import ApiModel, Quantity, Time, list_map

QUANTITY: TypeAdapter[str] = TypeAdapter(Quantity)
TIME: TypeAdapter[datetime] = TypeAdapter(Time)


class Entry(ApiModel):
    """An entry."""

    host_name: str
    """The key."""


ENTRIES: TypeAdapter[tuple[Entry, ...]] = TypeAdapter(
    Annotated[tuple[Entry, ...], list_map("hostName")]
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("500m", "0.5"),
        ("1.5", "1.5"),
        ("2k", "2000"),
        ("3M", "3000000"),
        ("1Ki", "1024"),
        ("2Gi", "2147483648"),
        ("1E", "1000000000000000000"),
        ("1Ei", "1152921504606846976"),
    ],
)
def test_a_quantity_means_the_number_that_kubernetes_means(text: str, value: str) -> None:
    """Suffixes are those of apimachinery's resource.Quantity."""
    assert QUANTITY.validate_python(text) == text
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "-1", "1e3", "1ki", "Gi", ".5", "1 Gi", "1..5", "1Gim"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """Neither the model nor the arithmetic takes it."""
    with pytest.raises(ValidationError):
        QUANTITY.validate_python(text)
    with pytest.raises(ValueError, match="quantity"):
        parse_quantity(text)


@given(st.integers(0, 2**53))
def test_a_whole_number_is_the_quantity_of_its_digits(number: int) -> None:
    """cpu: 2 and cpu: "2" are one revision."""
    assert QUANTITY.validate_python(number) == str(number)


@pytest.mark.parametrize("value", [True, 1.5, None, -1])
def test_booleans_fractions_and_negatives_are_no_quantities(value: object) -> None:
    """YAML's other scalars are refused."""
    with pytest.raises(ValidationError):
        QUANTITY.validate_python(value)


@given(
    st.datetimes(
        min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        max_value=datetime(2100, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        timezones=st.sampled_from([UTC]),
    )
)
def test_a_time_survives_writing_and_reading(time: datetime) -> None:
    """Times are RFC 3339 in UTC, with the fraction if there is one."""
    written = TIME.dump_python(time, mode="json")
    assert written.endswith("Z")
    assert TIME.validate_python(written) == time


def test_a_whole_second_is_written_as_kubernetes_writes_it() -> None:
    """A time without fraction has none in its text."""
    time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC) + timedelta(0)
    assert TIME.dump_python(time, mode="json") == "2026-01-02T03:04:05Z"


def test_a_repeated_key_of_a_list_map_is_refused_by_name() -> None:
    """The API server merges such lists by key, so a key stands once."""
    ENTRIES.validate_python([{"hostName": "a"}, {"hostName": "b"}])
    with pytest.raises(ValidationError, match="'a' is repeated"):
        ENTRIES.validate_python([{"hostName": "a"}, {"hostName": "b"}, {"hostName": "a"}])
