"""Arguments and options that several verbs have."""

from enum import StrEnum
from typing import Annotated

import typer


class OutputFormat(StrEnum):
    """How a result is printed."""

    TEXT = "text"
    JSON = "json"


Name = Annotated[str, typer.Argument(help="Name of the LLMDeployment.")]
Output = Annotated[OutputFormat, typer.Option("--output", "-o", help="text, or json for programs.")]
Interval = Annotated[
    float, typer.Option("--interval", min=0.1, max=60, help="Seconds between two looks.")
]
