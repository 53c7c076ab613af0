"""Where output goes: text and tables on stdout, what went wrong on stderr; colour on terminals.

Rich obeys ``NO_COLOR`` by itself. What is piped has no colour and is never folded to a width.
"""

import json
import sys
from typing import Any, Final

from rich.console import Console

_PIPE_WIDTH: Final = 400
"""Columns of what is no terminal; wide enough that no line of a table is folded."""


def output() -> Console:
    """Return the console of results."""
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def complaints() -> Console:
    """Return the console of what went wrong."""
    width = None if sys.stderr.isatty() else _PIPE_WIDTH
    return Console(width=width, stderr=True, highlight=False, markup=False, emoji=False)


def print_json(value: Any) -> None:
    """Print a document for programs: indented, keys as given, never coloured."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
