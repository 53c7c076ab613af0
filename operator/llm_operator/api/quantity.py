"""Reading Kubernetes quantities, to compare a request with a limit."""

from decimal import Decimal
from typing import Final

_FACTORS: Final = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}


def parse_quantity(text: str) -> Decimal:
    """Return the number that a quantity of ``schema.QUANTITY_PATTERN`` means.

    >>> parse_quantity("500m"), parse_quantity("2Ki")
    (Decimal('0.500'), Decimal('2048'))

    Raises:
        ValueError: the text is not a quantity.
    """
    number = text.rstrip("mkMGTPEKi")
    factor = _FACTORS.get(text[len(number) :])
    if factor is None or not number.replace(".", "", 1).isdecimal():
        msg = f"{text!r} is not a quantity such as 500m, 2 or 4Gi"
        raise ValueError(msg)
    return Decimal(number) * factor
