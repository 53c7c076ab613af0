"""All faults, and the few that stand for them in an ordinary test run."""

from typing import Final

from e2e.diagnose import failing, living, not_made, refused
from e2e.diagnose.fault import Fault

FAULTS: Final[tuple[Fault, ...]] = (
    *refused.FAULTS,
    *not_made.FAULTS,
    *failing.FAULTS,
    *living.FAULTS,
)
SAMPLE: Final = tuple(fault for fault in FAULTS if fault.in_sample)
