"""What a sweep keeps away from itself: log lines, certificates, and frequent looks for garbage."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from unittest.mock import patch

import structlog

_CRITICAL: Final = 50
_OBJECTS: Final = 50_000
"""So many new objects before garbage is looked for."""


@contextmanager
def quietly() -> Iterator[None]:
    """Log nothing below a defect, and load no certificates, which takes longer than a rollout."""
    before, thresholds = structlog.get_config(), gc.get_threshold()
    gc.set_threshold(_OBJECTS, *thresholds[1:])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_CRITICAL))
    try:
        with patch.dict(os.environ, {"SSL_CERT_FILE": os.devnull}):
            yield
    finally:
        structlog.configure(**before)
        gc.set_threshold(*thresholds)
