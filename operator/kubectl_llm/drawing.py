"""Tables and lines for people. Nothing is decided here."""

import json
from collections.abc import Iterable
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from kubectl_llm.changes import Change
from kubectl_llm.ledger import Ledger
from llm_operator.api.schema import Effect

_VERDICT_STYLES: Final = {"Promoted": "green", "Rejected": "red"}
_EFFECT_WORDS: Final = {Effect.HOT: "hot", Effect.REVISION: "new revision"}


def table(*columns: str) -> Table:
    """Return an empty table in the manner of ``kubectl get``."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column, no_wrap=True)
    return made


def short_image(image: str) -> str:
    """Return an image reference without its registry."""
    return image.rsplit("/", maxsplit=1)[-1]


def history_table(ledger: Ledger) -> Table:
    """Return the kept revisions, newest first."""
    columns = ("N", "REVISION", "VERDICT", "REASON", "STARTED", "ENDED", "SOURCE", "IMAGE", "NOW")
    made = table(*columns)
    for revision in ledger.revisions:
        record = revision.record
        verdict = record.verdict.value if record.verdict else "-"
        made.add_row(
            str(revision.number),
            revision.hash,
            Text(verdict, style=_VERDICT_STYLES.get(verdict, "")),
            record.reason or "-",
            record.started_at or "-",
            record.ended_at or "-",
            str(revision.spec.get("model", {}).get("source", "-")),
            short_image(revision.server_image),
            ", ".join(ledger.marks(revision)) or "-",
        )
    return made


def changes_lines(changes: Iterable[Change]) -> list[Text]:
    """Return two lines for each change, as ``diff`` has them, below the field and its effect."""
    lines = []
    for change in changes:
        lines.append(Text.assemble((change.path, "bold"), f"  ({_EFFECT_WORDS[change.effect]})"))
        if change.before is not None:
            lines.append(Text(f"- {value_text(change.before)}", style="red"))
        if change.after is not None:
            lines.append(Text(f"+ {value_text(change.after)}", style="green"))
    return lines


def value_text(value: Any) -> str:
    """Return a value of a spec on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
