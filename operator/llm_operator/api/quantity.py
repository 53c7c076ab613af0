"""Reading Kubernetes quantities, to compare a request with a limit."""

import re
from decimal import Decimal
from typing import Final

PATTERN: Final = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
"""The quantities that the API takes: not negative, without exponent."""

_FACTORS: Final = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}


def parse_quantity(text: str) -> Decimal:
    """Return the number that a quantity means.

    >>> parse_quantity("500m"), parse_quantity("2Ki")
    (Decimal('0.500'), Decimal('2048'))

    Raises:
        ValueError: the text does not match ``PATTERN``.
    """
    if not re.match(PATTERN, text):
        msg = f"{text!r} is not a quantity such as 500m, 2 or 4Gi"
        raise ValueError(msg)
    number = text.rstrip("mkMGTPEKi")
    return Decimal(number) * _FACTORS[text[len(number) :]]
